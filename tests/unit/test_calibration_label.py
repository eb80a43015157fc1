"""What known cases teach a vote: a confidence that is kept, sets that hold, and what the receipt says of both."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from sextant.binomial import coverage_interval
from sextant.blocks.vote import Vote
from sextant.confidence import read_confidence
from sextant.errors import CalibrationError
from sextant.reliability import expected_calibration_error
from sextant_export.calibration.confidences import Polled, fitted_confidence, fitted_line
from sextant_export.calibration.facts import belonging, counted, stamp
from sextant_export.calibration.folds import FOLDS, ordered_folds, random_folds
from sextant_export.calibration.label import _fitted_sets, _polled
from sextant_export.calibration.voters import fit
from sextant_export.calibration_summary import calibration_summary

CLASSES = [f"c{i}" for i in range(6)]


def softmax(logits):
    raised = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return raised / raised.sum(axis=-1, keepdims=True)


def members(rows, seed, count=5):
    """Truth, and the over-confident probabilities of *count* members (M, N, C) who share most of their errors."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 6, rows)
    known = 1.6 * np.eye(6)[truth] + rng.normal(size=(rows, 6))
    return truth, softmax(3 * np.array([known + 0.5 * rng.normal(size=(rows, 6)) for _ in range(count)]))


def vote(method, **more):
    words = {"soft": "probabilities"}.get(method, "label")
    dtype = "FP32" if words == "probabilities" else "BYTES"
    named = [f"m{i}" for i in range(5)]
    return {
        "method": method,
        "classes": CLASSES,
        "members": named,
        "slots": {f"{words}_{i}": dtype for i in range(5)},
        "release": 3,
        **more,
    }


def slots(probabilities, method):
    if method == "soft":
        return {f"probabilities_{i}": each.astype(np.float32) for i, each in enumerate(probabilities)}
    names = np.array([name.encode() for name in CLASSES], dtype=object)
    return {f"label_{i}": names[each.argmax(axis=1)][:, None] for i, each in enumerate(probabilities)}


def polled_as(shares, agreement, right, group=None):
    """Cases of two classes, as they were voted on: the first wins, and is *right* or not."""
    rows = len(right)
    folds = random_folds(rows, group), ordered_folds(np.zeros(rows), group)
    return Polled(shares, np.zeros(rows, int), agreement, np.where(right, 0, 1), *folds, belonging(rows, group))


METHODS = ["plurality", "weighted", "soft", "dawid_skene"]


@pytest.mark.parametrize("method", METHODS)
def test_a_confidence_is_kept_on_rows_that_were_not_seen(method):
    """Whatever the method: calibration error at most 0.04 on four thousand new rows, and a half of it raw at best."""
    truth, probabilities = members(1500, seed=1)
    fresh_truth, fresh = members(4000, seed=2)
    page = vote(method)
    polled, few = _polled(page, slots(probabilities, method), truth)
    learned = fit(page, slots(probabilities, method), truth)
    confidence, facts = fitted_confidence(polled)

    raw = Vote({**page, **learned})(**slots(fresh, method))
    answer = Vote({**page, **learned, "confidence": confidence})(**slots(fresh, method))

    right = answer["label"][:, 0] == np.array([name.encode() for name in CLASSES], dtype=object)[fresh_truth]
    error = expected_calibration_error(answer["confidence"][:, 0].astype(float) / 100, right)
    before = expected_calibration_error(raw["probabilities"].max(axis=1).astype(float).clip(0, 1), right)
    assert few == 0
    assert answer["calibrated"].all()
    assert not raw["calibrated"].any()
    assert error <= 0.04
    assert error < before / 2
    assert facts["after"]["ece"] == pytest.approx(error, abs=0.03)
    assert facts["after"]["brier"] <= facts["before"]["brier"]


@pytest.mark.parametrize(
    ("method", "level", "most_held", "most_classes"),
    [
        ("soft", 0.9, 0.93, 2.6),
        ("dawid_skene", 0.9, 0.93, 4.4),
        ("dawid_skene", 0.75, 0.79, 1.9),
        ("weighted", 0.75, 0.79, 1.7),
        ("plurality", 0.75, 0.83, 1.9),
        # One truth in ten gets no vote at all: only sets of every class promise more.
        ("weighted", 0.9, 1.0, 6.0),
        ("plurality", 0.9, 1.0, 6.0),
    ],
)
def test_sets_hold_the_truth_of_new_rows_and_not_every_class(method, level, most_held, most_classes):
    """Sixty calibrations on three hundred rows."""
    held, sizes = [], []
    fresh_truth, fresh = members(2000, seed=0)
    for seed in range(1, 61):
        truth, probabilities = members(300, seed)
        given = slots(probabilities, method)
        page = vote(method, confidence_levels=[level])
        polled, _ = _polled(page, given, truth)
        thresholds, facts = _fitted_sets(polled, [level])
        served = Vote({**page, **fit(page, given, truth), "thresholds": thresholds})(**slots(fresh, method))
        sets = served["prediction_set"][:, 0]
        held.append(sets[np.arange(2000), fresh_truth].mean())
        sizes.append((sets.sum(axis=1).mean(), facts[f"{level}"]["mean_size"]))

    assert np.mean(held) >= level - 0.005
    assert np.mean(held) <= most_held
    assert np.mean(sizes, axis=0)[0] <= most_classes
    assert np.mean(sizes, axis=0)[0] == pytest.approx(np.mean(sizes, axis=0)[1], rel=0.05)


def sets_of(truth, probabilities, method, group=None):
    """The facts of the 90 % sets."""
    polled, _ = _polled(vote(method), slots(probabilities, method), truth, group)
    return _fitted_sets(polled, [0.9])[1]["0.9"]


@pytest.mark.parametrize("method", ["soft", "dawid_skene"])
def test_sets_of_rows_that_are_alike_hold_in_folds_what_they_promise(method):
    shares = [sets_of(*members(300, seed), method)["coverage"] for seed in range(1, 31)]

    assert np.mean(shares) == pytest.approx(0.9, abs=0.01)


def test_sets_of_a_file_that_drifts_hold_less_than_they_promise():
    """Half of the later probabilities are those of other rows.  Counted on the rows that set it: always .90."""
    truth, probabilities = members(600, seed=1)
    probabilities[:, 300::2] = probabilities[:, 301::2]

    level = sets_of(truth, probabilities, "soft")

    assert level["coverage_interval"][1] < 0.9
    assert level["coverage_by_fold"][0] > 0.97
    assert level["coverage_by_fold"][1] < 0.75


def test_sets_of_groups_that_differ_hold_less_than_they_promise():
    """Of one walk in five nothing is known."""
    truth, probabilities = members(600, seed=1)
    walk = np.arange(600) % 5
    probabilities[:, walk == 2] = np.roll(probabilities[:, walk == 2], 1, axis=1)

    alone, named = sets_of(truth, probabilities, "soft"), sets_of(truth, probabilities, "soft", walk)

    assert alone["coverage"] == pytest.approx(0.9, abs=0.02)
    assert named["coverage"] < 0.88
    assert named["coverage_interval"][1] - named["coverage_interval"][0] > 0.5
    assert min(named["coverage_by_fold"]) == named["coverage_by_fold"][2] < 0.5


def test_sets_of_few_rows_are_not_judged():
    """Half of 110 rows cannot promise 99 %, as all of them can."""
    truth, probabilities = members(110, seed=1)
    polled, _ = _polled(vote("soft"), slots(probabilities, "soft"), truth)

    _, facts = _fitted_sets(polled, [0.9, 0.99])

    assert "coverage" in facts["0.9"]
    assert "coverage" not in facts["0.99"]
    assert facts["0.99"]["threshold"] > 0


def test_what_is_learned_of_members_is_not_scored_on_the_rows_it_was_learned_from():
    """Confusions of many classes learnt by heart from few rows are sure of them, and of no others."""
    rng = np.random.default_rng(4)
    truth = rng.integers(0, 6, 120)
    votes = np.where(rng.uniform(size=(120, 5)) < 0.3, truth[:, None], rng.integers(0, 6, (120, 5)))
    names = np.array([name.encode() for name in CLASSES], dtype=object)
    given = {f"label_{i}": names[votes[:, i]][:, None] for i in range(5)}
    page = vote("dawid_skene")

    honest, _ = _polled(page, given, truth)
    by_heart = Vote({**page, **fit(page, given, truth)}).polled(**given)

    assert np.mean(by_heart.winner == truth) > np.mean(honest.right) + 0.05


def test_a_line_never_falls_and_never_says_never():
    rng = np.random.default_rng(3)
    agreement = rng.integers(1, 6, 400) / 5
    right = rng.uniform(size=400) < agreement
    right[agreement == 1] = True
    right[agreement == 0.2] = False
    polled = polled_as(np.tile(np.float32([0.6, 0.4]), (400, 1)), agreement, right)

    line = fitted_line(polled, "agreement")

    assert line["x"] == [0.2, 0.4, 0.6, 0.8, 1.0]
    assert line["y"] == sorted(line["y"])
    ends = np.sum(agreement == 0.2), np.sum(agreement == 1)
    assert (line["y"][0], line["y"][-1]) == pytest.approx((1 / (ends[0] + 2), (ends[1] + 1) / (ends[1] + 2)))
    served = read_confidence({"confidence": line}).confidence(polled.shares, polled.winner, agreement)
    assert served[agreement == 0.6].mean() == pytest.approx(100 * right[agreement == 0.6].mean())


def test_the_map_is_the_one_with_the_least_brier_score_on_held_out_folds():
    """Shares that say nothing and an agreement that says all: no temperature can know."""
    rng = np.random.default_rng(5)
    agreement = rng.choice([0.4, 1.0], 600)
    right = rng.uniform(size=600) < np.where(agreement == 1.0, 0.95, 0.3)
    shares = np.tile(np.float32([0.7, 0.3]), (600, 1))
    polled = polled_as(shares, agreement, right)

    parameter, facts = fitted_confidence(polled)

    assert facts["chosen"] == "isotonic agreement"
    assert (parameter["kind"], parameter["of"]) == ("isotonic", "agreement")
    assert min(facts["brier"], key=facts["brier"].get) == "isotonic agreement"
    assert facts["after"]["brier"] < facts["before"]["brier"]


def test_folds_are_even_and_the_same_every_time():
    assert sorted(np.bincount(random_folds(52))) == [10, 10, 10, 11, 11]
    assert (random_folds(52) == random_folds(52)).all()
    assert len(set(random_folds(52))) == FOLDS


def test_a_group_stays_in_one_fold():
    group = np.repeat(list("abcdefghij"), 7)

    dealt = random_folds(70, group)

    assert all(len(set(dealt[group == one])) == 1 for one in "abcdefghij")
    assert set(dealt) == set(range(FOLDS))
    with pytest.raises(CalibrationError, match="belong to 4 groups, and a confidence is judged on 5 folds"):
        random_folds(28, group[:28])


def test_ten_copies_of_a_row_are_no_ten_rows():
    """Dealt out at random, each row has a copy in the folds that fit the line, which then knows it by heart."""
    rng = np.random.default_rng(2)
    sure = rng.uniform(0.5, 1.0, 80).repeat(10)
    right = (rng.uniform(size=80) < sure[::10]).repeat(10)
    shares = np.stack([sure, 1 - sure], axis=1).astype(np.float32)
    group = np.arange(80).repeat(10)

    _, dealt_out = fitted_confidence(polled_as(shares, sure, right))
    _, grouped = fitted_confidence(polled_as(shares, sure, right, group))

    assert dealt_out["chosen"].startswith("isotonic")
    assert grouped["chosen"] == "temperature"
    assert dealt_out["after"]["brier"] < grouped["after"]["brier"] - 0.01


@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_the_digest_of_scores_is_that_of_little_endian_numbers_on_every_machine(kind):
    scores = np.array([0.5, 1.5, -2.0])

    digests = {stamp(scores.astype(order + kind))["scores_sha256"] for order in "<>="}

    assert digests == {hashlib.sha256(scores.astype(f"<{kind}").tobytes()).hexdigest()}


def test_few_cases_are_refused_with_the_number_it_takes():
    truth, probabilities = members(49, seed=1)
    polled, _ = _polled(vote("soft"), slots(probabilities, "soft"), truth)

    with pytest.raises(CalibrationError, match="a confidence needs 50 known cases, got 49"):
        fitted_confidence(polled)
    with pytest.raises(CalibrationError, match="a 0.99 set needs 99 known cases, got 49"):
        _fitted_sets(polled, [0.99])


def test_rows_on_which_too_few_voted_are_counted_and_left_out():
    truth, probabilities = members(100, seed=1)
    given = slots(probabilities, "plurality")
    for i in range(3):
        given[f"label_{i}"][:10] = b""

    polled, few = _polled(vote("plurality"), given, truth)

    assert (len(polled), few) == (90, 10)


def test_a_truth_that_no_member_knows_is_a_wrong_answer_and_in_no_set():
    truth, probabilities = members(400, seed=1)
    truth = np.where(np.arange(400) % 10 == 0, -1, truth)
    polled, _ = _polled(vote("soft"), slots(probabilities, "soft"), truth)

    _, sets = _fitted_sets(polled, [0.85])

    assert not polled.right[truth < 0].any()
    assert 0.85 <= sets["0.85"]["coverage"] <= 0.87
    with pytest.raises(
        CalibrationError, match="40 of 400 known cases are of no class of the vote, so no set holds 0.95"
    ):
        _fitted_sets(polled, [0.95])


def test_an_accuracy_of_walks_is_known_as_well_as_there_are_walks():
    right = np.arange(400) < 300
    shares = np.tile(np.float32([0.9, 0.1]), (400, 1))
    alone, walks = (polled_as(shares, np.ones(400), right, group) for group in (None, np.arange(400) // 20))

    known_alone, known_walks = (counted(polled.right, "accuracy", polled.own) for polled in (alone, walks))

    assert known_alone["accuracy_interval"] == pytest.approx(coverage_interval(300, 400))
    assert known_walks["accuracy_interval"] == pytest.approx(coverage_interval(15, 20))


def test_the_summary_says_what_was_gained():
    truth, probabilities = members(400, seed=1)
    polled, _ = _polled(vote("soft"), slots(probabilities, "soft"), truth)
    _, sets = _fitted_sets(polled, [0.9])
    facts = {
        "rows": 400,
        "accuracy": 0.71,
        "accuracy_interval": [0.66, 0.75],
        "confidence": fitted_confidence(polled)[1],
        "sets": sets,
    }

    said = calibration_summary("label", facts)

    assert "400 known cases, accuracy 71.0% (66.0% to 75.0%); confidence by " in said
    assert "; 90% sets of " in said
    assert " classes, held 91.0% (87.8% to 93.6%) in folds" in said
    assert "less than always answering" not in said
    strange = calibration_summary("label", facts | {"commonest": 0.8})
    assert "(66.0% to 75.0%), less than always answering the commonest class (80.0%); confidence" in strange
    assert (
        calibration_summary("label", None)
        == "no known cases: confidence from the count of votes alone, calibrated: false"
    )
