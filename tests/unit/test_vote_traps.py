"""The traps of votes that science lists, each walked into on purpose."""

from __future__ import annotations

import numpy as np
import pytest

from sextant.blocks import Vote
from sextant.classes import Classes
from sextant.confidence import fitted_temperature, tempered
from sextant.reliability import brier_score, expected_calibration_error
from sextant.vote import first_choices, plurality, soft_vote
from vote_promises import LABELS, said


@pytest.fixture(scope="module")
def members():
    """Five over-confident members of ten classes that err partly alike: probabilities (6000, 5, 10), and the truth."""
    random = np.random.default_rng(17)
    truth = random.integers(0, 10, 6_000)
    own, shared = random.normal(size=(6_000, 5, 10)), random.normal(size=(6_000, 1, 10)) / 2
    seen = 2.5 * np.eye(10)[truth][:, None] + own + shared
    raised = np.exp(4 * seen)  # 2.0 would be honest
    return raised / raised.sum(axis=2, keepdims=True), truth


def judged(shares, truth, rows):
    """Error of calibration, mean confidence less accuracy, and Brier score, of the winner's share."""
    winner = shares.argmax(axis=1)
    said_, right = shares[np.arange(len(shares)), winner][rows], (winner == truth)[rows]
    return expected_calibration_error(said_, right), float(said_.mean() - right.mean()), brier_score(said_, right)


KNOWN, FRESH = slice(0, 3_000), slice(3_000, None)


def test_members_are_pooled_first_and_calibrated_then(members):
    """
    Calibrate each member and pool them, and the pool is under-confident: the mean forgets that they agree.

    Rahaman and Thiery 2021; science D4: .044 and -.023 against .039 and -.005.
    """
    probabilities, truth = members
    each = [tempered(p, fitted_temperature(p[KNOWN], truth[KNOWN])) for p in probabilities.swapaxes(0, 1)]
    one = soft_vote(probabilities).shares

    before = judged(one, truth, FRESH)
    calibrated_first = judged(soft_vote(np.stack(each, axis=1)).shares, truth, FRESH)
    pooled_first = judged(tempered(one, fitted_temperature(one[KNOWN], truth[KNOWN])), truth, FRESH)

    assert calibrated_first[1] < -0.02
    assert abs(pooled_first[1]) < 0.01
    assert pooled_first[0] < min(before[0], calibrated_first[0], 0.04)


def test_agreement_is_no_confidence(members):
    """Members that saw the same agree when they are wrong: the share of hard votes is the worst of all confidences."""
    probabilities, truth = members
    poll = plurality(first_choices(probabilities), 10)
    right = poll.winner == truth
    one = soft_vote(probabilities).shares
    warm = tempered(one, fitted_temperature(one[KNOWN], truth[KNOWN]))

    by_agreement = expected_calibration_error(poll.agreement[FRESH], right[FRESH])
    by_count = expected_calibration_error(((poll.votes + 1) / 7)[FRESH], right[FRESH])

    assert judged(warm, truth, FRESH)[0] < by_agreement / 2
    assert judged(warm, truth, FRESH)[2] < brier_score(poll.agreement[FRESH], right[FRESH])
    assert by_count != pytest.approx(by_agreement, abs=1e-3)


def test_a_count_of_votes_is_never_certain():
    """Five of five are 86, one of one is 67: what is not measured must not say 100."""
    five = {**LABELS, "members": list("abcde"), "slots": {f"label_{i}": "BYTES" for i in range(5)}}
    one = {**LABELS, "members": ["a"], "slots": {"label_0": "BYTES"}}

    assert Vote(five)(**said(["cat"] * 5))["confidence"].ravel() == pytest.approx([85.71], abs=0.01)
    assert Vote(one)(**said(["cat"]))["confidence"].ravel() == pytest.approx([66.67], abs=0.01)


def test_true_is_not_one():
    """Counter([True, 1, 1.0]) counts three of a kind; here a label of another type names no class."""
    assert Classes((0, 1)).indices(np.array([True])).tolist() == [-1]
    assert Classes((0, 1)).indices(np.array([1.0])).tolist() == [-1]
    assert Classes(("True", "1")).indices(np.array(["True", "1"], object)).tolist() == [0, 1]
    assert Classes(("True", "1")).indices(np.array([True, 1], object)).tolist() == [-1, -1]


def test_nan_is_not_equal_to_itself_and_no_vote():
    """Two members that both say NaN do not agree with one another: both have failed."""
    poll = soft_vote(np.array([[[np.nan] * 3, [np.nan] * 3, [0.2, 0.5, 0.3]]]))

    assert (poll.voters.tolist(), poll.winner.tolist()) == ([1], [1])
    assert poll.agreement.tolist() == [pytest.approx(1 / 3)]


def test_sums_in_another_order_are_the_same_tie():
    """0.1 + 0.2 + 0.3 and 0.3 + 0.2 + 0.1 differ in the last bit; a tie must not hang on who votes first."""
    weights = np.array([0.1, 0.2, 0.3, 0.6])
    for order in ([0, 1, 2, 3], [2, 1, 0, 3], [3, 2, 1, 0], [1, 3, 0, 2]):
        votes = np.array([0, 0, 0, 1])[order][None]
        assert plurality(votes, 2, weights=weights[order]).tied.tolist() == [True], order


def test_a_tie_is_decided_alike_every_time():
    """Not by lot, as elsewhere, nor by the smallest label, which would favour it on every tie there is."""
    votes = np.array([[2, 0], [0, 2], [1, 2], [2, 1]])

    winners = {tuple(plurality(votes, 3).winner.tolist()) for _ in range(20)}

    assert winners == {(2, 0, 1, 2)}
