"""Confidence maps and prediction sets: what they promise, counted on rows they were not fitted on."""

from __future__ import annotations

import numpy as np
import pytest

from sextant.confidence import (
    counted_confidence,
    fitted_temperature,
    measure,
    of_place,
    prediction_sets,
    read_confidence,
    read_thresholds,
    require_cases,
    set_threshold,
    tempered,
)
from sextant.errors import CalibrationError, ParametersError


def softmax(logits):
    raised = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return raised / raised.sum(axis=-1, keepdims=True)


def classes(rows, seed, members=5, count=10):
    """Truth and members' probabilities (M, N, C): each over-confident, sharing most of their errors."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, count, rows)
    known = 2 * np.eye(count)[truth] + rng.normal(size=(rows, count))
    return truth, softmax(4 * np.array([known + 0.5 * rng.normal(size=(rows, count)) for _ in range(members)]))


def surprise(probabilities, truth):
    """The mean of minus the logarithm of what the truth was given; a truth of -1 was given nothing."""
    return -np.log(np.maximum(of_place(probabilities, truth), 1e-12)).mean()


def surplus(probabilities, truth):
    """Mean confidence less accuracy."""
    return probabilities.max(axis=1).mean() - np.mean(probabilities.argmax(axis=1) == truth)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_the_temperature_that_made_the_rows_is_found(temperature):
    rng = np.random.default_rng(0)
    true = softmax(rng.normal(0, 1.5, (20_000, 4)))
    truth = (rng.uniform(size=(20_000, 1)) > np.cumsum(true, axis=1)).sum(axis=1).clip(0, 3)
    said = tempered(true, 1 / temperature)

    assert fitted_temperature(said, truth) == pytest.approx(temperature, rel=0.04)


def test_no_other_temperature_is_likelier():
    truth, members = classes(2000, seed=1)
    pooled = members.mean(axis=0)
    best = fitted_temperature(pooled, truth)
    likely = [surprise(tempered(pooled, best * factor), truth) for factor in (0.97, 1.0, 1.03)]

    assert likely[1] < min(likely[0], likely[2])


def test_pooling_calibrated_members_is_under_confident_and_pooling_first_is_not():
    """The mean of calibrated forecasts is less extreme than what they know together."""
    truth, members = classes(20_000, seed=2)
    fit, new = slice(None, 10_000), slice(10_000, None)
    cooled = [tempered(each, fitted_temperature(each[fit], truth[fit])) for each in members]
    pooled = members.mean(axis=0)
    after = tempered(pooled, fitted_temperature(pooled[fit], truth[fit]))

    assert surplus(members[0][new], truth[new]) > 0.2
    assert surplus(pooled[new], truth[new]) > 0.05
    assert surplus(np.mean(cooled, axis=0)[new], truth[new]) < -0.08
    assert abs(surplus(after[new], truth[new])) < 0.04


def test_a_probability_of_nothing_for_the_truth_has_a_temperature_all_the_same():
    pooled = np.tile([[1.0, 0.0]], (100, 1))

    temperature = fitted_temperature(pooled, np.repeat([0, 1], [90, 10]))

    assert tempered(pooled, temperature)[0, 0] == pytest.approx(0.9, abs=1e-6)


def test_rows_that_are_all_right_have_the_coldest_temperature_and_not_none():
    assert fitted_temperature(np.tile([[0.6, 0.4]], (60, 1)), np.zeros(60, int)) == pytest.approx(0.05)


def test_a_truth_that_no_member_knows_counts_as_one_that_was_given_nothing():
    truth, members = classes(400, seed=3)
    pooled = members.mean(axis=0)
    stranger = np.where(np.arange(400) < 40, -1, truth)

    assert fitted_temperature(pooled, stranger) > fitted_temperature(pooled, truth)
    assert surprise(pooled, stranger) > surprise(pooled, truth)


def test_few_rows_are_refused_with_the_number_it_takes():
    with pytest.raises(CalibrationError, match="a confidence needs 50 known cases, got 49"):
        require_cases(49)


def test_a_temperature_changes_probabilities_and_an_isotonic_line_only_the_confidence():
    pooled, winner, agreement = np.array([[0.9, 0.1], [0.4, 0.6]]), np.array([0, 1]), np.array([1.0, 0.6])
    hot = read_confidence({"confidence": {"kind": "temperature", "temperature": 2.0}})
    line = read_confidence({"confidence": {"kind": "isotonic", "of": "agreement", "x": [0.6, 1.0], "y": [0.5, 0.75]}})

    assert hot.probabilities(pooled)[:, 0] == pytest.approx([0.75, 0.449490], abs=1e-6)
    assert hot.confidence(pooled, winner, agreement) == pytest.approx([75.0, 55.0510], abs=1e-4)
    assert line.probabilities(pooled).tolist() == pooled.tolist()
    assert line.confidence(pooled, winner, agreement).tolist() == [75.0, 50.0]
    assert read_confidence({"confidence": None}) is None
    assert read_confidence({}) is None


def test_the_winner_of_a_tie_need_not_be_the_first_of_the_largest():
    pooled = np.array([[0.5, 0.5, 0.0]])

    assert measure("margin", pooled, [1], [0.5]).tolist() == [0.0]
    assert measure("top_probability", pooled, [1], [0.5]).tolist() == [0.5]
    assert measure("agreement", pooled, [1], [0.25]).tolist() == [0.25]


def test_two_votes_of_one_class_have_their_whole_share_as_margin():
    assert measure("margin", [[1.0]], [0], [1.0]).tolist() == [1.0]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("temperature", "confidence: expected a mapping of the kind temperature or isotonic, got 'temperature'"),
        ({"kind": "platt"}, "confidence: expected a mapping of the kind"),
        ({"kind": "temperature"}, "confidence.temperature: expected a number above 0, got None"),
        ({"kind": "temperature", "temperature": -1}, "confidence.temperature: expected a number above 0"),
        ({"kind": "temperature", "x": [1]}, "confidence.x: unknown"),
        ({"kind": "isotonic", "of": "entropy"}, "confidence.of: expected one of top_probability, agreement, margin"),
        ({"kind": "isotonic", "of": "margin", "x": [0, 1], "y": [1]}, "confidence.y: expected 2 finite numbers"),
        ({"kind": "isotonic", "of": "margin", "x": [0, 1], "y": [0.9, 0.1]}, "confidence.y: expected shares .* fall"),
        ({"kind": "isotonic", "of": "margin", "x": [1, 0], "y": [0.1, 0.9]}, "confidence.y: expected shares"),
        ({"kind": "isotonic", "of": "margin", "x": [0, 1], "y": [0.1, 1.9]}, "confidence.y: expected shares of 0 to 1"),
    ],
)
def test_a_map_that_is_wrong_is_named(given, said):
    with pytest.raises(ParametersError, match=said):
        read_confidence({"confidence": given})


def test_the_count_of_votes_is_never_certain():
    assert counted_confidence([5, 3, 1, 0], 5).round(1).tolist() == [85.7, 57.1, 28.6, 14.3]
    assert counted_confidence([2, 1], [2, 1]).round(1).tolist() == [75.0, 66.7]


@pytest.mark.parametrize("level", [0.8, 0.9, 0.95])
def test_sets_hold_the_truth_as_often_as_they_say(level):
    """Three hundred calibrations on a hundred rows each, by over-confident members' raw probabilities."""
    truth, members = classes(60_000, seed=4)
    pooled = members.mean(axis=0)
    of_truth = pooled[np.arange(len(truth)), truth].reshape(300, 200)
    thresholds = [set_threshold(rows[:100], level) for rows in of_truth]

    held = np.mean([np.mean(rows[100:] >= least) for rows, least in zip(of_truth, thresholds, strict=True)])

    assert level - 0.005 <= held <= level + 1 / 101 + 0.005


def test_votes_that_come_in_steps_still_hold_what_they_promise():
    """Five votes give six shares: ties make sets larger, never smaller than promised."""
    rng = np.random.default_rng(5)
    truth, members = classes(40_000, seed=6)
    votes = np.eye(10)[members.argmax(axis=2)].mean(axis=0).astype(np.float32)
    of_truth = rng.permutation(votes[np.arange(len(truth)), truth]).reshape(200, 200)

    held = np.mean([np.mean(rows[100:] >= set_threshold(rows[:100], 0.9)) for rows in of_truth])

    assert held >= 0.895


def test_a_set_is_never_empty_and_larger_levels_hold_more():
    pooled = np.array([[0.4, 0.35, 0.25], [0.98, 0.01, 0.01]])

    sets = prediction_sets(pooled, [0, 0], np.array([0.5, 0.3, 0.005]))

    assert sets.sum(axis=2).tolist() == [[1, 2, 3], [1, 1, 3]]
    assert sets.dtype == np.bool_


def test_the_winner_is_in_the_set_though_its_probability_is_small():
    assert prediction_sets([[0.5, 0.5]], [1], np.array([0.6])).tolist() == [[[False, True]]]


def test_float32_probabilities_reach_the_threshold_they_set():
    pooled = np.random.default_rng(7).dirichlet(np.ones(3), 200).astype(np.float32)
    threshold = set_threshold(pooled[:, 0], 0.9)

    inside = prediction_sets(pooled, np.full(200, 2), np.array([threshold]))[:, 0, 0]

    assert inside.sum() == 181


def test_without_thresholds_a_set_holds_every_class():
    assert prediction_sets([[0.5, 0.5]], [1], read_thresholds({}, 2)).all()
    assert read_thresholds({"thresholds": [0.2, 0.1]}, 2).tolist() == [0.2, 0.1]
    with pytest.raises(ParametersError, match="thresholds: expected 3 finite numbers"):
        read_thresholds({"thresholds": [0.2, 0.1]}, 3)


def test_a_set_that_few_rows_cannot_promise_says_how_many_it_takes():
    with pytest.raises(CalibrationError, match="a 0.95 set needs 19 known cases, got 18"):
        set_threshold(np.full(18, 0.5), 0.95)
    with pytest.raises(ParametersError, match="between 0 and 1"):
        set_threshold(np.full(18, 0.5), 95)
    with pytest.raises(CalibrationError, match="not a number"):
        set_threshold([np.nan], 0.5)
