"""Votes: who wins, who ties, who abstains, and what it is worth."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as drawn

from sextant.classes import Classes, read_classes
from sextant.errors import CalibrationError, ParametersError
from sextant.reliability import expected_calibration_error
from sextant.vote import (
    accuracy_weights,
    counted,
    first_choices,
    member_accuracies,
    plurality,
    pooled,
    soft_vote,
)

NAN = float("nan")


@pytest.mark.parametrize(
    ("votes", "winner", "tied"),
    [
        ([[0, 0, 1]], 0, False),
        ([[2, 1, 1]], 1, False),
        ([[0, 1]], 0, True),
        ([[1, 0]], 1, True),
        ([[2, 1, 0]], 2, True),
        ([[-1, 2, 1]], 2, True),
        ([[-1, -1, 1]], 1, False),
    ],
)
def test_the_most_votes_win_and_of_a_tie_the_first_member_decides(votes, winner, tied):
    poll = plurality(votes, 3)

    assert (poll.winner.tolist(), poll.tied.tolist()) == ([winner], [tied])


def test_a_plurality_wins_without_a_majority():
    """Two of five are the most, and less than half: the word is plurality."""
    poll = plurality([[0, 0, 1, 2, 3]], 4)

    assert poll.winner.tolist() == [0]
    assert poll.agreement.tolist() == [0.4]
    assert not poll.tied[0]


def test_whoever_abstains_counts_against_the_agreement():
    """Two of two who voted, and two of five who were asked."""
    poll = plurality([[1, 1, -1, -1, -1]], 2)

    assert (poll.agreement.tolist(), poll.voters.tolist(), poll.shares.tolist()) == ([0.4], [2], [[0.0, 1.0]])


@pytest.mark.parametrize("weights", [[0.1, 0.2, 0.3], [0.3, 0.6, 0.9], [1e-9, 2e-9, 3e-9], [1e12, 2e12, 3e12]])
def test_sums_of_weights_are_compared_with_tolerance(weights):
    """0.1 + 0.2 > 0.3 in floating point; A, A, B by these weights is a tie, which the two votes for A break."""
    poll = plurality([[0, 0, 1], [1, 0, 0]], 2, weights=weights)

    assert poll.tied.tolist()[0]
    assert poll.winner.tolist()[0] == 0
    assert not poll.tied[1]


def test_of_equal_weights_and_equal_votes_the_first_member_decides():
    poll = plurality([[1, 0], [0, 1]], 2, weights=[0.7, 0.7])

    assert (poll.winner.tolist(), poll.tied.tolist()) == ([1, 0], [True, True])


def test_probabilities_break_a_tie_of_votes_before_the_first_member_does():
    poll = plurality([[0, 1]], 2, probabilities=[[0.4, 0.6]])

    assert (poll.winner.tolist(), poll.tied.tolist()) == ([1], [True])


def test_probabilities_break_nothing_that_is_not_tied():
    assert plurality([[0, 0, 1]], 2, probabilities=[[0.1, 0.9]]).winner.tolist() == [0]


def test_nobody_voted_is_everybody_tied():
    poll = plurality([[-1, -1]], 3)

    assert (poll.voters.tolist(), poll.tied.tolist(), poll.agreement.tolist()) == ([0], [True], [0.0])
    assert poll.shares.tolist() == [[1 / 3] * 3]


def test_those_who_were_not_asked_count_for_nothing():
    poll = plurality([[0, 0, -1, -1]], 2, asked=[2])

    assert poll.agreement.tolist() == [1.0]


@given(drawn.arrays(np.int64, (6, 5), elements=st.integers(-1, 3)))
def test_a_plurality_is_what_counting_by_hand_gives(votes):
    poll = plurality(votes, 4)

    for row, winner, tied, count in zip(votes.tolist(), poll.winner, poll.tied, poll.votes, strict=True):
        counts = Counter(vote for vote in row if vote >= 0)
        most = max(counts.values(), default=0)
        best = [vote for vote in row if vote >= 0 and counts[vote] == most] or [0]
        assert winner == best[0]
        assert tied == (len(set(best)) > 1 or not counts)
        assert count == most


@given(drawn.arrays(np.int64, (4, 5), elements=st.integers(-1, 3)), st.randoms(use_true_random=False))
def test_rows_do_not_know_of_one_another(votes, random):
    """A batch answers each row as it would alone: whoever shares a batch must not change an answer."""
    order = random.sample(range(4), 4)
    together, alone = plurality(votes, 4), [plurality(votes[[i]], 4) for i in order]

    for place, poll in zip(order, alone, strict=True):
        assert together.winner[place] == poll.winner[0]
        assert together.shares[place].tolist() == poll.shares[0].tolist()


def test_a_soft_vote_is_the_mean_of_the_probabilities():
    """Two lean one way, one is sure of the other: the mean follows the sure one, the count the two."""
    given_ = [[[0.55, 0.45], [0.55, 0.45], [0.05, 0.95]]]

    soft, hard = soft_vote(given_), plurality(first_choices(np.array(given_)), 2)

    assert soft.shares[0] == pytest.approx([0.3833, 0.6167], abs=1e-4)
    assert (soft.winner.tolist(), soft.agreement.tolist()) == ([1], [pytest.approx(1 / 3)])
    assert hard.winner.tolist() == [0]


def test_a_geometric_pool_lets_one_member_veto():
    given_ = [[[0.9, 0.1], [0.001, 0.999]]]

    mean, geometric = soft_vote(given_), soft_vote(given_, pool="geometric")

    assert mean.shares[0] == pytest.approx([0.4505, 0.5495])
    odds = np.sqrt(0.9 / 0.1 * 0.001 / 0.999)
    assert geometric.shares[0] == pytest.approx([odds / (1 + odds), 1 / (1 + odds)])


def test_a_probability_of_nothing_is_no_certainty_in_a_geometric_pool():
    """A nearest neighbour says 0 and 1; no number of others could ever say otherwise."""
    poll = soft_vote([[[1.0, 0.0], [0.0, 1.0], [0.1, 0.9]]], pool="geometric")

    assert np.isfinite(poll.shares).all()
    assert poll.winner.tolist() == [1]


def test_weights_weigh_the_pool():
    poll = soft_vote([[[0.9, 0.1], [0.2, 0.8]]], weights=[1, 3])

    assert poll.shares[0] == pytest.approx([0.375, 0.625])


@pytest.mark.parametrize(
    "bad", [[NAN, NAN], [NAN, 1.0], [np.inf, 0.0], [-0.5, 1.5], [0.0, 0.0], [0.2, 0.2], [3.0, 1.0], [2.5, -1.5]]
)
@pytest.mark.parametrize("pool", ["mean", "geometric"])
def test_probabilities_that_are_none_are_an_abstention(bad, pool):
    """NaN, infinity, logits: whoever gives them is left out of the pool, and counts against the agreement."""
    poll = soft_vote([[[0.7, 0.3], bad, [0.6, 0.4]]], pool=pool)
    without = soft_vote([[[0.7, 0.3], [0.6, 0.4]]], pool=pool)

    assert poll.shares[0] == pytest.approx(without.shares[0])
    assert (poll.voters.tolist(), poll.agreement.tolist()) == ([2], [pytest.approx(2 / 3)])


def test_a_member_that_names_no_class_is_left_out_of_the_pool_too():
    poll = soft_vote([[[0.9, 0.1], [0.2, 0.8]]], [[0, -1]])

    assert (poll.shares.tolist(), poll.voters.tolist()) == ([[0.9, 0.1]], [1])


def test_a_tie_of_probabilities_goes_to_the_votes_and_then_to_the_first_member():
    three = soft_vote(np.array([[[0.2, 0.8], [0.6, 0.4], [0.7, 0.3]]], np.float32))
    two = soft_vote(np.array([[[0.4, 0.6], [0.6, 0.4]]], np.float32))

    assert (three.winner.tolist(), three.tied.tolist()) == ([0], [True])
    assert (two.winner.tolist(), two.tied.tolist()) == ([1], [True])


def test_an_unknown_pool_is_named():
    with pytest.raises(ParametersError, match="pool: expected one of mean, geometric, got 'max'"):
        soft_vote([[[0.5, 0.5]]], pool="max")


def test_a_pool_of_nobody_is_even():
    assert pooled(np.full((1, 2, 4), NAN), np.zeros((1, 2), bool)).tolist() == [[0.25] * 4]


def test_no_rows_are_no_votes():
    assert plurality(np.empty((0, 3), np.int64), 2).winner.tolist() == []
    assert soft_vote(np.empty((0, 3, 2))).shares.shape == (0, 2)


def test_votes_are_counted_and_weighed():
    votes = np.array([[0, 2, 2, -1], [1, 1, 1, 1]])

    assert counted(votes, 3).tolist() == [[1, 0, 2], [0, 4, 0]]
    assert counted(votes, 3, [1, 10, 100, 1000]).tolist() == [[1, 0, 110], [0, 1111, 0]]


def test_the_weight_of_a_vote_is_its_odds_of_being_right():
    """log(acc (C - 1) / (1 - acc)): in two classes the log-odds, in ten more, for chance is less."""
    assert accuracy_weights([0.9], 2)[0] == pytest.approx(np.log(9))
    assert accuracy_weights([0.9], 10)[0] == pytest.approx(np.log(81))


def test_whoever_is_worse_than_chance_counts_nothing_and_nobody_counts_against_himself():
    assert accuracy_weights([0.8, 0.2, 0.5], 2).tolist() == [pytest.approx(np.log(4)), 0.0, 0.0]


def test_members_that_are_all_worse_than_chance_are_refused():
    with pytest.raises(CalibrationError, match=r"no member is right more often than chance \(40%, 10% of 2 classes\)"):
        accuracy_weights([0.4, 0.1], 2)


def test_an_accuracy_is_never_certain():
    """Right in all of three rows: a weight of infinity would silence everybody else for ever."""
    accuracies = member_accuracies(np.array([[0, 0, -1], [1, 0, -1], [0, 0, -1]]), np.array([0, 1, 0]))

    assert accuracies.tolist() == [0.875, 0.625, 0.5]
    assert np.isfinite(accuracy_weights(accuracies, 2)).all()


def test_independent_members_are_best_weighed_by_their_odds():
    """Three good voters against eight at 55 %: weights beat both the count and the best voter alone."""
    random = np.random.default_rng(5)
    truth = random.integers(0, 2, 20_000)
    accuracy = np.array([0.9, 0.85, 0.8] + [0.55] * 8)
    votes = np.where(random.random((20_000, 11)) < accuracy, truth[:, None], 1 - truth[:, None])

    def right(poll):
        return (poll.winner == truth).mean()

    weighted = right(plurality(votes, 2, weights=accuracy_weights(accuracy, 2)))
    assert weighted > right(plurality(votes, 2)) + 0.02
    assert weighted > (votes[:, 0] == truth).mean() + 0.02


def test_the_share_of_hard_votes_is_no_confidence():
    """Science D4: members that err together agree when they are wrong, and their share of votes says "sure"."""
    random = np.random.default_rng(11)
    truth = random.integers(0, 10, 8_000)
    shared, own = random.random((8_000, 1)) < 0.2, random.random((8_000, 5)) < 0.05
    wrong = (truth[:, None] + np.where(shared, 1, random.integers(1, 10, (8_000, 5)))) % 10
    votes = np.where(shared | own, wrong, truth[:, None])

    poll = plurality(votes, 10)
    right = poll.winner == truth

    assert right.mean() == pytest.approx(0.8, abs=0.02)
    assert expected_calibration_error(poll.agreement, right) > 0.12


@pytest.mark.parametrize(
    ("names", "labels", "indices"),
    [
        (("a", "b"), [b"b", b"a", b"c", b""], [1, 0, -1, -1]),
        (("a", "b"), ["b", "A", " b"], [1, -1, -1]),
        (("a", "b"), [None, 1, 0], [-1, -1, -1]),
        ((1, 0), [0, 1, 2, -1], [1, 0, -1, -1]),
        ((1, 0), [True, False], [-1, -1]),
        ((1, 0), [1.0, 0.0], [-1, -1]),
        (("1", "0"), [1, 0], [-1, -1]),
        ((1, 0), [b"1", b"0"], [-1, -1]),
        (("Köln", "日本"), ["日本".encode(), "Köln"], [1, 0]),
    ],
)
def test_a_label_is_the_class_it_names_and_no_other(names, labels, indices):
    """True is 1 to a dictionary, and "1" is not 1: types count."""
    array = np.array(labels, dtype=object) if any(isinstance(x, (str, bytes)) or x is None for x in labels) else labels

    assert Classes(names).indices(array).tolist() == indices


def test_names_come_back_as_they_travel():
    assert Classes(("a", "b")).labels(np.array([1, 0])).tolist() == [[b"b"], [b"a"]]
    assert Classes((7, 3)).labels(np.array([1, 0])).tolist() == [[3], [7]]


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        (None, "classes: expected the names of two or more classes, got None"),
        (["only"], "classes: expected the names of two or more classes"),
        ("ab", "classes: expected the names of two or more classes, got 'ab'"),
        ([True, False], "classes: True is a truth value, which counts as 1: quote it"),
        ([0, 1, True], "classes: True is a truth value"),
        ([0.5, 1.5], "classes: expected text or whole numbers, got 0.5"),
        (["a", ""], "classes: expected text or whole numbers, got ''"),
        (["a", 1], "classes: expected all text or all whole numbers, got 'a', 1"),
        (["a", "b", "a"], "classes: 'a' stands twice"),
    ],
)
def test_classes_that_are_none_are_refused(classes, said):
    with pytest.raises(ParametersError) as refused:
        read_classes({"classes": classes})

    assert said in str(refused.value)


@pytest.mark.parametrize("votes", [[[5, 0], [0, 0]], [[0, 0], [-2, 0]]])
def test_a_vote_for_no_class_does_not_count_for_the_row_beside_it(votes):
    with pytest.raises(ParametersError, match=r"votes: expected classes from 0 to 2, or -1; got"):
        plurality(votes, 3)


@pytest.mark.parametrize("votes", [[[0.7, 1]], [[NAN, 1]], [["0", "1"]], [0, 1], [[0, 1], [0]], [[1 + 0j, 0]]])
def test_a_vote_is_a_whole_number_in_a_table(votes):
    """0.7 was read as 0."""
    with pytest.raises(ParametersError, match="votes: expected (whole numbers|shape)"):
        plurality(votes, 2)
    with pytest.raises(ParametersError, match="votes: expected (whole numbers|shape)"):
        soft_vote([[[0.6, 0.4], [0.1, 0.9]]], votes)


@pytest.mark.parametrize("weights", [[NAN, 1], [-1, 1], [0, 0], [1], [1, 1, 1], [np.inf, 1], ["1", "1"], 1.0])
def test_weights_are_one_for_each_voter(weights):
    """One weight for two members was taken for both."""
    for refusing in (
        lambda: plurality([[0, 1]], 2, weights=weights),
        lambda: soft_vote([[[0.6, 0.4], [0.1, 0.9]]], weights=weights),
    ):
        with pytest.raises(ParametersError, match="weights: expected numbers"):
            refusing()


@pytest.mark.parametrize("asked", [1, [2, 1], [2], 2.5, NAN])
def test_as_many_were_asked_as_voted(asked):
    """An agreement of 1.5 is none."""
    with pytest.raises(ParametersError, match="asked: expected"):
        plurality([[0, 0], [1, 0]], 2, asked=asked)


@pytest.mark.parametrize("votes", [[[-2, 1]], [[0, 2]], [[0]], [[0, 1], [0, 1]]])
def test_a_soft_vote_takes_the_votes_of_its_members_alone(votes):
    with pytest.raises(ParametersError, match="votes: expected (classes|shape)"):
        soft_vote([[[0.6, 0.4], [0.1, 0.9]]], votes)


@pytest.mark.parametrize("probabilities", [[[0.6, 0.4]], [[["0.6", "0.4"]]]])
def test_a_soft_vote_takes_numbers_in_three_dimensions(probabilities):
    with pytest.raises(ParametersError, match="probabilities: expected"):
        soft_vote(probabilities)
