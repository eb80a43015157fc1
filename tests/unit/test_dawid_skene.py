"""Dawid and Skene: voters known by the company they keep."""

from __future__ import annotations

import numpy as np
import pytest

from crowds import barzan, share_of_ties, snow
from sextant.dawid_skene import dawid_skene_vote, evidence, fit_dawid_skene, one_coin_confusion
from sextant.errors import CalibrationError, ParametersError
from sextant.vote import plurality


def crowd_of(confusion, rows, asked, seed):
    """Votes of voters with *confusion* (K, C, C) on *rows* things, each asked with chance *asked*."""
    random = np.random.default_rng(seed)
    voters, classes, _ = confusion.shape
    truth = random.integers(0, classes, rows)
    thrown = random.random((rows, voters, 1))
    votes = (thrown > np.cumsum(confusion[:, truth].swapaxes(0, 1), axis=2)).sum(axis=2)
    return np.where(random.random((rows, voters)) < asked, votes, -1), truth


@pytest.fixture
def confusion():
    """Two good voters, one that always says 0, one that swaps 1 and 2, one at random."""
    good = one_coin_confusion([0.85, 0.8], 3)
    stuck = np.tile([0.96, 0.02, 0.02], (3, 1))
    swapping = np.array([[0.9, 0.05, 0.05], [0.05, 0.05, 0.9], [0.05, 0.9, 0.05]])
    return np.stack([*good, stuck, swapping, np.full((3, 3), 1 / 3)])


def right(indices, truth):
    return float((indices == truth).mean())


def test_confusions_are_found_without_knowing_one_truth(confusion):
    votes, truth = crowd_of(confusion, 4_000, 0.8, seed=1)

    fitted = fit_dawid_skene(votes, 3)

    assert fitted.converged
    assert np.abs(fitted.confusion - confusion).max() < 0.08
    assert right(fitted.posterior.argmax(axis=1), truth) > right(plurality(votes, 3).winner, truth) + 0.1


def test_confusions_are_found_from_the_truth(confusion):
    votes, truth = crowd_of(confusion, 4_000, 0.8, seed=1)

    fitted = fit_dawid_skene(votes, 3, truths=truth)

    assert np.abs(fitted.confusion - confusion).max() < 0.05
    assert fitted.prior == pytest.approx([1 / 3] * 3, abs=0.03)


def test_a_voter_that_swaps_classes_is_heard_as_what_it_means(confusion):
    """Its 1 is evidence of 2: a confusion matrix knows what no weight can say."""
    poll = dawid_skene_vote([[-1, -1, -1, 1, -1]], evidence(confusion))

    assert poll.winner.tolist() == [2]
    assert poll.votes.tolist() == [0]


def test_one_coin_learns_one_number_a_voter():
    confusion = one_coin_confusion([0.9, 0.7, 0.6, 0.6], 4)
    votes, _ = crowd_of(confusion, 3_000, 1.0, seed=2)

    fitted = fit_dawid_skene(votes, 4, one_coin=True)

    assert fitted.confusion[:, 0, 0] == pytest.approx([0.9, 0.7, 0.6, 0.6], abs=0.05)
    assert fitted.confusion[1, 2, 2] == fitted.confusion[1, 0, 0]
    assert fitted.confusion.sum(axis=2) == pytest.approx(1)


def test_one_coin_is_a_plurality_weighed_by_odds():
    """The two ways to count must agree: log-odds of being right, times C - 1."""
    accuracies = np.array([0.9, 0.7, 0.55])
    votes = np.random.default_rng(3).integers(-1, 4, (200, 3))
    weights = np.log(accuracies * 3 / (1 - accuracies))

    by_posterior = dawid_skene_vote(votes, evidence(one_coin_confusion(accuracies, 4)))
    by_weight = plurality(votes, 4, weights=weights)

    assert by_posterior.winner.tolist() == by_weight.winner.tolist()


def test_the_same_votes_always_give_the_same_answer(confusion):
    votes, _ = crowd_of(confusion, 300, 0.5, seed=4)

    first, second = fit_dawid_skene(votes, 3), fit_dawid_skene(votes.copy(), 3)

    assert (first.posterior == second.posterior).all()
    assert first.rounds == second.rounds


def test_serving_a_vote_gives_what_the_fit_thought_of_it(confusion):
    votes, _ = crowd_of(confusion, 300, 0.5, seed=4)
    fitted = fit_dawid_skene(votes, 3, tolerance=1e-12)

    poll = dawid_skene_vote(votes, evidence(fitted.confusion), np.log(fitted.prior))

    assert poll.shares == pytest.approx(fitted.posterior, abs=1e-9)


def test_a_confusion_never_seen_is_rare_and_not_impossible():
    """One voter always right in training: its vote must not make everybody else's worth nothing."""
    fitted = fit_dawid_skene([[0, 0, 0], [1, 1, 1]] * 5, 2, truths=[0, 1] * 5)

    poll = dawid_skene_vote([[0, 1, 1]], evidence(fitted.confusion), np.log(fitted.prior))

    assert poll.shares.min() > 0
    assert poll.winner.tolist() == [1]


def test_whoever_was_not_asked_says_nothing(confusion):
    spoken = evidence(confusion)

    assert dawid_skene_vote([[-1] * 5], spoken).shares == pytest.approx(np.full((1, 3), 1 / 3))
    some = dawid_skene_vote([[0, -1, -1, -1, 2]], spoken).shares
    assert some == pytest.approx(dawid_skene_vote([[0, -1, -1, -1, -1]], spoken).shares)


def test_a_thing_nobody_labelled_stays_open():
    fitted = fit_dawid_skene([[0, 0], [1, 1], [-1, -1]], 2)

    assert fitted.posterior[2] == pytest.approx([0.5, 0.5])


def test_rounds_that_do_not_suffice_are_said(confusion):
    votes, _ = crowd_of(confusion, 300, 0.5, seed=4)

    fitted = fit_dawid_skene(votes, 3, rounds=1)

    assert (fitted.rounds, fitted.converged) == (1, False)


@pytest.mark.parametrize(
    ("votes", "truths", "said"),
    [
        ([[-1, -1]], None, "nobody voted"),
        ([[0, 3]], None, "expected votes for 2 classes, from 0 on; got 3"),
        ([[0, -2]], None, "expected -1 where no vote was cast, got -2"),
        ([[0, 0.7]], None, "votes: expected whole numbers, got 0.7"),
        ([0, 1], None, r"votes: expected shape \(N, K\), got \(2,\)"),
        ([[0, 1]], [0.5], "truths: expected whole numbers, got 0.5"),
        ([[0, 1]], [2], "expected a true class from 0 to 1 for each of 1 rows"),
        ([[0, 1]], [0, 1], "expected a true class from 0 to 1 for each of 1 rows"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(votes, truths, said):
    with pytest.raises(CalibrationError, match=said):
        fit_dawid_skene(votes, 2, truths=truths)


@pytest.mark.parametrize(
    ("votes", "said"),
    [
        ([[0, -2, 1]], "votes: expected classes from 0 to 1, or -1; got -2 to 1"),
        ([[0, 2, 1]], "votes: expected classes from 0 to 1, or -1; got 0 to 2"),
        ([[0, 1]], "votes: expected those of 3 voters, got 2 columns"),
        ([[0, 0.7, 1]], "votes: expected whole numbers, got 0.7"),
    ],
)
def test_a_vote_that_is_evidence_of_nothing_is_refused(votes, said):
    """Minus two abstained without a word, for it is the last row but one."""
    spoken = evidence(one_coin_confusion([0.9, 0.6, 0.6], 2))

    with pytest.raises(ParametersError, match=said):
        dawid_skene_vote(votes, spoken)
    with pytest.raises(ParametersError, match="asked: expected as many as voted, 3 in row 0, or more"):
        dawid_skene_vote([[0, 1, 1]], spoken, asked=[2])


FIGURES = {
    "temp": (lambda data: snow(data, "temp"), 0.9361, 0.9416),
    "wsd": (lambda data: snow(data, "wsd"), 0.9944, 0.9944),
    "barzan": (barzan, 0.696, 0.712),
}


@pytest.mark.parametrize("name", sorted(FIGURES))
def test_crowds_are_as_right_as_published(real_data, name):
    """The reference figures of the data: plurality with ties by lot, and Dawid and Skene, within 0.2 points."""
    read, by_plurality, by_dawid_skene = FIGURES[name]
    crowd = read(real_data)
    classes = len(crowd.classes)

    fitted = fit_dawid_skene(crowd.votes, classes)
    poll = dawid_skene_vote(crowd.votes, evidence(fitted.confusion), np.log(fitted.prior))

    assert share_of_ties(plurality(crowd.votes, classes).shares, crowd.truth) == pytest.approx(by_plurality, abs=0.002)
    assert fitted.converged
    assert right(poll.winner, crowd.truth) == pytest.approx(by_dawid_skene, abs=0.002)
