"""Sequential tests: what their expectation is under each hypothesis, by counting, and how soon they tell."""

from __future__ import annotations

from itertools import product
from math import comb, exp, inf, log

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import optimize

from sextant.errors import ParametersError
from sextant.sequential import (
    BETS,
    ODDS_RATIOS,
    Block,
    PairedTest,
    SharesTest,
    log_e_value,
    log_mean,
    nearest,
)

SHARES = st.floats(0.01, 0.99)
SIZES = st.integers(0, 8)


def expectation(sizes, alternative, null, truth):
    """Of the e-value of one block, over all counts that there may be."""
    return sum(
        chance_c * chance_s * exp(log_e_value(Block(sizes[0], y_c, sizes[1], y_s), alternative, null))
        for (y_c, chance_c), (y_s, chance_s) in product(*map(counts, sizes, truth))
    )


def counts(answers, share):
    """Each number of events and its chance."""
    return [(y, comb(answers, y) * share**y * (1 - share) ** (answers - y)) for y in range(answers + 1)]


@given(SIZES, SIZES, SHARES, SHARES, st.floats(0, 0.3), SHARES, SHARES)
def test_a_block_expects_at_most_one_of_a_candidate_that_is_no_worse(n_c, n_s, one, other, tolerated, this, that):
    """However much is tolerated, for any shares that the hypothesis allows and any alternative that it does not."""
    candidate, serving = max(one, other), min(one, other)
    assume(candidate > serving + tolerated)
    truth = min(this, that + tolerated), that
    null = nearest(Block(n_c, 0, n_s, 0), candidate, serving, tolerated)

    assert expectation((n_c, n_s), (candidate, serving), null, truth) <= 1 + 1e-9


@given(SIZES, SIZES, SHARES, st.floats(0.001, 0.5), SHARES, st.floats(0, 1))
def test_a_block_expects_at_most_one_of_a_candidate_that_is_worse_by_the_margin(n_c, n_s, usual, margin, share, more):
    worse = share * (1 - margin), share * (1 - margin) + margin
    truth = worse[1] + more * (1 - worse[1]), worse[0]
    null = nearest(Block(n_c, 0, n_s, 0), usual, usual, margin)

    assert expectation((n_c, n_s), (usual, usual), null, truth) <= 1 + 1e-9


@pytest.mark.parametrize("sizes", [(1, 1), (10, 190), (500, 500), (40, 3)])
@pytest.mark.parametrize(("usual", "margin"), [(0.002, 0.005), (0.25, 0.1), (0.97, 0.05), (0.5, 0.5)])
def test_the_nearest_worse_shares_are_those_that_a_search_finds(sizes, usual, margin):
    def distance(serving):
        both = ((sizes[0], serving + margin), (sizes[1], serving))
        return sum(n * (usual * log(usual / z) + (1 - usual) * log((1 - usual) / (1 - z))) for n, z in both)

    found = optimize.minimize_scalar(
        distance, bounds=(1e-9, 1 - margin - 1e-9), method="bounded", options={"xatol": 1e-12}
    )

    candidate, serving = nearest(Block(sizes[0], 0, sizes[1], 0), usual, usual, margin)

    assert candidate - serving == pytest.approx(margin)
    assert distance(serving) <= found.fun * (1 + 1e-9) + 1e-12


def test_two_blocks_by_hand():
    """The first block teaches the shares that the second is weighed by: half an event more on either side."""
    test = SharesTest(margin=0.1)
    test.add(Block(10, 1, 30, 2))
    test.add(Block(8, 3, 24, 1))

    serving = 2.5 / 31
    wealth = []
    for ratio in ODDS_RATIOS:
        candidate = ratio * serving / (1 - serving + ratio * serving)
        equal = (8 * candidate + 24 * serving) / 32
        heads = (candidate / equal) ** 3 * (serving / equal)
        wealth.append(heads * ((1 - candidate) / (1 - equal)) ** 5 * ((1 - serving) / (1 - equal)) ** 23)
    usual = 3.5 / 41
    worse, better = nearest(Block(8, 0, 24, 0), usual, usual, 0.1)
    harmless = (usual / worse) ** 3 * ((1 - usual) / (1 - worse)) ** 5
    harmless *= (usual / better) * ((1 - usual) / (1 - better)) ** 23

    assert test.log_harm == pytest.approx(log(np.mean(wealth)))
    assert test.log_harmless == pytest.approx(log(harmless))


def test_the_first_block_is_no_evidence():
    test = SharesTest(margin=0.1)
    test.add(Block(100, 90, 100, 0))

    assert (test.log_harm, test.log_harmless) == (0.0, 0.0)


def shares_stream(rng, candidate, serving, blocks, margin=0.05, weight=0.2):
    """The highest e-values, in logs, of a stream in which the shares of a block are *candidate* and *serving* of it."""
    test, highest = SharesTest(margin), np.zeros(2)
    for i in range(blocks):
        answers = rng.poisson(40 * weight), rng.poisson(40 * (1 - weight))
        events = rng.binomial(answers, (candidate(i), serving(i)))
        test.add(Block(int(answers[0]), int(events[0]), int(answers[1]), int(events[1])))
        highest = np.maximum(highest, (test.log_harm, test.log_harmless))
    return highest


def wandering(i):
    """A share that the traffic moves, in both arms alike."""
    return 0.2 + 0.15 * np.sin(i / 7)


def test_what_is_tolerated_is_rarely_called_harm():
    rng = np.random.default_rng(7)

    def accused():
        test = SharesTest(margin=0.1, tolerated=0.05)
        for _ in range(40):
            events = rng.binomial([10, 30], [0.25, 0.2])
            test.add(Block(10, int(events[0]), 30, int(events[1])))
            if test.log_harm >= log(10):
                return True
        return False

    assert np.mean([accused() for _ in range(120)]) <= 0.1


@pytest.mark.parametrize("share", [lambda i: 0.01, wandering], ids=["rare", "wandering"])
def test_equal_arms_are_rarely_accused_however_often_one_looks(share):
    rng = np.random.default_rng(4)
    highest = np.array([shares_stream(rng, share, share, 40) for _ in range(200)])

    assert np.mean(highest[:, 0] >= log(10)) <= 0.1


def test_a_candidate_at_the_margin_is_rarely_found_harmless():
    rng = np.random.default_rng(5)
    highest = np.array([shares_stream(rng, lambda i: wandering(i) + 0.05, wandering, 40) for _ in range(200)])

    assert np.mean(highest[:, 1] >= log(10)) <= 0.1


def test_what_is_true_is_found():
    rng = np.random.default_rng(6)
    harm, _ = shares_stream(rng, lambda i: 0.3, lambda i: 0.1, 60)
    _, harmless = shares_stream(rng, lambda i: 0.1, lambda i: 0.1, 200, margin=0.1)

    assert harm > log(1000)
    assert harmless > log(1000)


def test_a_new_start_notices_late_trouble_sooner():
    """After a thousand good answers, a share of the wealth that is fresh outweighs what is left of the old."""

    def weighed(start):
        test = SharesTest(margin=0.1, starts=2)
        for _ in range(50):
            test.add(Block(20, 5, 20, 5))
        if start:
            test.start()
        for _ in range(5):
            test.add(Block(20, 9, 20, 5))
        return test.log_harm

    assert weighed(start=True) > weighed(start=False) + 1


@pytest.mark.parametrize(("worse", "better"), [(0.05, 0.05), (0.3, 0.3), (0.1, 0.2)])
def test_a_difference_expects_at_most_one_of_a_candidate_that_is_no_worse(worse, better):
    """Exactly one where as often the one arm alone is wrong as the other."""
    chances = {1: worse, -1: better, 0: 1 - worse - better}

    expected = sum(chance * exp(added(PairedTest(0.1), [value]).log_harm) for value, chance in chances.items())

    assert expected == pytest.approx(1) if worse == better else expected < 1


def added(test, values):
    test.add(values)
    return test


def test_differences_by_hand():
    test = added(PairedTest(margin=0.1), [1, 0, -1])

    harm = np.mean([(1 + bet) * (1 - bet) for bet in BETS])
    harmless = np.mean([(1 - bet) * (1 + bet * 0.1 / 0.9) * (1 + bet * 1.1 / 0.9) for bet in BETS])

    assert test.log_harm == pytest.approx(log(harm))
    assert test.log_harmless == pytest.approx(log(harmless))


def test_cases_whose_mean_is_the_margin_are_rarely_found_harmless():
    """In random order, to the last one: without replacement the bets stay fair."""
    rng = np.random.default_rng(8)
    cases = np.repeat([1.0, -1.0, 0.0], [14, 8, 98])
    found = 0
    for _ in range(200):
        test, highest = PairedTest(margin=0.05, population=120), 0.0
        for value in rng.permutation(cases):
            highest = max(highest, added(test, [value]).log_harmless)
        found += highest >= log(20)

    assert found <= 0.05 * 200


@pytest.mark.parametrize(("worse", "harmless"), [(5, True), (6, False)])
def test_when_all_cases_are_asked_nothing_is_left_to_chance(worse, harmless):
    """Of a hundred, six are a mean of 0.06, and 5 are one of 0.05, below a margin of 0.055."""
    cases = np.random.default_rng(9).permutation(np.repeat([1.0, 0.0], [worse, 100 - worse]))

    test = added(PairedTest(margin=0.055, population=100), cases)

    assert (test.log_harmless == inf) is harmless


def test_without_a_margin_nothing_is_said_of_harmlessness():
    shares = SharesTest(margin=0.0)
    for _ in range(5):
        shares.add(Block(10, 1, 10, 1))

    assert shares.log_harmless == 0.0
    assert added(PairedTest(margin=0.0), [0, 1]).log_harmless == 0.0


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: SharesTest(1.0), "margin < 1"),
        (lambda: SharesTest(0.1, starts=0), "and a start"),
        (lambda: SharesTest(0.1, tolerated=0.2), "tolerated <= margin"),
        (lambda: SharesTest(0.1).start(), "have begun"),
        (lambda: SharesTest(0.1).add(Block(3, 4, 0, 0)), "no more events than answers"),
        (lambda: PairedTest(-0.1), "a margin in"),
        (lambda: PairedTest(0.1).add([1.5]), "differences in"),
        (lambda: PairedTest(0.1).add([np.nan]), "differences in"),
        (lambda: PairedTest(0.1, population=2).add([0, 0, 0]), "2 cases in all"),
    ],
)
def test_what_cannot_be_is_refused(call, said):
    with pytest.raises(ParametersError, match=said):
        call()


@given(st.lists(st.floats(-600, 600), min_size=1, max_size=6))
def test_a_mean_of_logs_is_that_of_the_numbers(logs):
    assert log_mean(logs) == pytest.approx(log(np.mean(np.exp(np.array(logs)))), abs=1e-9)
