"""
Sequential tests: is the one arm worse than the other?  Evidence that may be looked at after every answer.

A test keeps an **e-process** for each of two hypotheses, a number that starts at 1 and whose expectation is at most 1,
whenever one stops, as long as the hypothesis is true.  By Ville's inequality (1939) it then ever reaches 1/alpha with a
probability of at most alpha: whoever acts as soon as it does is wrong at most that often, however often he looked.

*harm* is the evidence against "the candidate is no worse", *harmless* that against "the candidate is worse by the
margin or more".  Both are kept as logarithms, in natural units, for they grow without bound.
"""

from __future__ import annotations

from math import inf, log
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from sextant.errors import ParametersError
from sextant.tensors import Floats

ODDS_RATIOS = (1.5, 2.0, 4.0, 8.0)
"""How many times worse a candidate may be, in odds: one bet on each."""
BETS = np.array([0.1, 0.25, 0.5, 0.95])
"""Which part of the wealth is put on the next difference: one player for each."""
_HALVINGS = 40
_NOTHING = 1e-12


class Block(NamedTuple):
    """What came between two looks: of *candidate* and *serving* answers, so many were *events* of the bad sort."""

    candidate: int
    candidate_events: int
    serving: int
    serving_events: int

    def __add__(self, other: Block) -> Block:  # type: ignore[override]
        """Both together."""
        return Block(*(mine + its for mine, its in zip(self, other, strict=True)))


class SharesTest:
    """
    Two arms, each with its share of bad answers, told from counts that come in blocks.

    The e-process of Turner, Ly and Gruenwald, "Generic E-variables for exact sequential k-sample tests that allow for
    optional stopping" (Statistics & Probability, 2024, arXiv 2106.02693): each block multiplies it by how much likelier
    its counts are under an alternative than under the point of the hypothesis nearest to that alternative
    (:func:`nearest`), nearest by n_c KL + n_s KL.  The alternatives of a block are set by the blocks before it.  For
    harm one bets on every ratio of :data:`ODDS_RATIOS` at once and takes the mean; for harmlessness, on both arms
    having the share that both had together.

    Why this is an e-process: under shares (t_c, t_s) of the hypothesis a block's factor, against the nearest point
    (z_c, z_s), has the expectation (1 + g_c (t_c - z_c))^n_c (1 + g_s (t_s - z_s))^n_s with
    g = a/z - (1 - a)/(1 - z), a being the alternative.  Its logarithm is at most n_c g_c (t_c - z_c) +
    n_s g_s (t_s - z_s), which is minus the slope of n_c KL + n_s KL from z towards t; at the nearest point of a convex
    set no such slope falls.  Nothing else is asked of the shares: they may change from block to block, as those of
    both arms do when the traffic changes.

    A candidate is harmful whose share is above the serving arm's by more than is *tolerated*, and harmless where it is
    above by less than the *margin*.

    *starts* shares the wealth among so many beginnings.  What went well for long costs so much wealth that trouble
    which comes late would be noticed late; :meth:`start` puts the next share to work, which has lost nothing yet.

    >>> test = SharesTest(margin=0.05)
    >>> test.learn(Block(100, 2, 100, 2))
    >>> test.add(Block(100, 10, 100, 2))
    >>> round(test.log_harm, 4), round(test.log_harmless, 4)
    (2.5257, -6.4135)
    """

    def __init__(self, margin: float, starts: int = 1, tolerated: float = 0.0) -> None:
        if not 0 <= tolerated <= margin < 1 or starts < 1:
            came = f"{tolerated!r}, {margin!r} and {starts!r}"
            raise ParametersError(f"expected 0 <= tolerated <= margin < 1 and a start, got {came}")
        self.margin, self.tolerated, self.seen = margin, tolerated, Block(0, 0, 0, 0)
        self._log_harm = np.zeros((starts, len(ODDS_RATIOS)))
        self._log_harmless, self._started = 0.0, 1

    def learn(self, block: Block) -> None:
        """Let *block* teach what is usual, and bet nothing on it."""
        _refuse_impossible(block)
        self.seen += block

    def add(self, block: Block) -> None:
        """Let *block* be evidence, by what the blocks before it taught."""
        _refuse_impossible(block)
        if self.seen.serving:
            self._log_harm[: self._started] += self._against_no_worse(block)
        if self.seen.serving and self.margin:
            self._log_harmless += self._against_worse(block)
        self.learn(block)

    def start(self) -> None:
        """Begin once more, with the next share of the wealth; what began before goes on."""
        if self._started == len(self._log_harm):
            raise ParametersError(f"all {self._started} beginnings have begun")
        self._started += 1

    @property
    def log_harm(self) -> float:
        """Log evidence that the candidate's share is above the serving arm's by more than is tolerated."""
        return log_mean(self._log_harm)

    @property
    def log_harmless(self) -> float:
        """Log evidence that the candidate's share is above the serving arm's by less than the margin; 0 without one."""
        return self._log_harmless

    def _against_no_worse(self, block: Block) -> list[float]:
        serving = _smoothed(self.seen.serving_events, self.seen.serving)
        odds = [ratio * serving / (1 - serving) for ratio in ODDS_RATIOS]
        return [self._bet(block, each / (1 + each), serving) for each in odds]

    def _bet(self, block: Block, candidate: float, serving: float) -> float:
        """Nothing is bet on an alternative that the hypothesis allows."""
        if candidate <= serving + self.tolerated:
            return 0.0
        return log_e_value(block, (candidate, serving), nearest(block, candidate, serving, self.tolerated))

    def _against_worse(self, block: Block) -> float:
        seen = self.seen
        usual = _smoothed(seen.candidate_events + seen.serving_events, seen.candidate + seen.serving)
        return log_e_value(block, (usual, usual), nearest(block, usual, usual, self.margin))


class PairedTest:
    """
    The same cases asked of both arms: whose answer was the worse one, case by case.

    A difference lies in [-1, 1] and is 1 where the candidate alone was wrong.  The e-processes are the wealth of
    players who bet on the next difference: Waudby-Smith and Ramdas, "Estimating means of bounded random variables by
    betting" (JRSS B, 2024, arXiv 2010.09686); the mean of the players of :data:`BETS` needs no tuning.

    *harm* is told of the world that the cases are drawn from, where differences have the mean 0 or less.  *harmless* is
    told of the cases themselves where their number, *population*, is given: each is asked once, in random order, so
    that what is not asked yet must make up for what was (betting without replacement), and when all are asked nothing
    is left to chance.

    >>> test = PairedTest(margin=0.05, population=200)
    >>> test.add(np.zeros(60))
    >>> round(test.log_harm, 4), round(test.log_harmless, 4)
    (0.0, 2.3796)
    >>> test.add(np.ones(5))
    >>> round(test.log_harm, 4), round(test.log_harmless, 4)
    (2.3138, -0.8744)
    """

    def __init__(self, margin: float, population: int | None = None) -> None:
        if not 0 <= margin < 1:
            raise ParametersError(f"expected a margin in [0, 1), got {margin!r}")
        self.margin, self.population = margin, population
        self.asked, self.total = 0, 0.0
        self._log_harm, self._log_harmless = np.zeros((2, len(BETS)))

    def add(self, differences: ArrayLike) -> None:
        """Let the *differences* ``(N,)`` of further cases be evidence, in the order in which they were asked."""
        values = np.asarray(differences, dtype=np.float64).ravel()
        if not (np.abs(values) <= 1).all():
            raise ParametersError("expected differences in [-1, 1]")
        if self.population is not None and self.asked + values.size > self.population:
            raise ParametersError(f"expected {self.population} cases in all, each asked once")
        for value in values.tolist():
            self._log_harm += np.log1p(BETS * value)
            if self.margin:
                self._log_harmless += self._against_worse(value)
            self.asked, self.total = self.asked + 1, self.total + value
        if self.asked == self.population and self.total < self.margin * self.asked - _NOTHING:
            self._log_harmless[:] = inf

    @property
    def log_harm(self) -> float:
        """Log evidence that the candidate is worse on average."""
        return log_mean(self._log_harm)

    @property
    def log_harmless(self) -> float:
        """Log evidence that the candidate is worse by less than the margin; 0 without one."""
        return log_mean(self._log_harmless)

    def _against_worse(self, value: float) -> Floats | float:
        least = self.margin
        if self.population is not None:
            least = (self.margin * self.population - self.total) / (self.population - self.asked)
        if least >= 1:  # only ones could still bring the mean up to the margin, and above 1 not even these
            return inf if value < 1 or least > 1 else 0.0
        factors: Floats = np.log1p(BETS * (least - value) / (1 - least))
        return factors


def nearest(block: Block, candidate: float, serving: float, margin: float) -> tuple[float, float]:
    """
    Of all pairs of shares of which the candidate's is larger by *margin*, the one nearest to *candidate*, *serving*.

    Nearest by n_c KL(candidate, s + margin) + n_s KL(serving, s), whose slope rises with s and is halved upon; without
    a margin it is the mean of all answers.

    >>> nearest(Block(10, 0, 30, 0), 0.4, 0.2, margin=0.0)
    (0.25, 0.25)
    >>> worse, better = nearest(Block(100, 0, 300, 0), 0.2, 0.2, margin=0.1)
    >>> round(worse, 4), round(better, 4)
    (0.2804, 0.1804)
    """
    if not margin:
        answers = block.candidate + block.serving
        equal = (block.candidate * candidate + block.serving * serving) / answers if answers else serving
        return equal, equal
    ends = serving, candidate - margin
    low, high = max(min(ends), _NOTHING), min(max(ends), 1 - margin - _NOTHING)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        slope = block.candidate * _slope(candidate, middle + margin) + block.serving * _slope(serving, middle)
        low, high = (middle, high) if slope < 0 else (low, middle)
    return middle + margin, middle


def log_e_value(block: Block, alternative: tuple[float, float], null: tuple[float, float]) -> float:
    """
    How much likelier the counts of *block* are under the shares of *alternative* than under those of *null*, in logs.

    >>> round(log_e_value(Block(10, 3, 10, 1), (0.3, 0.1), (0.2, 0.2)), 6)
    0.648576
    """
    candidate = _log_ratio(block.candidate_events, block.candidate, alternative[0], null[0])
    return candidate + _log_ratio(block.serving_events, block.serving, alternative[1], null[1])


def log_mean(logs: ArrayLike) -> float:
    """
    The logarithm of the mean of e-values whose logarithms are *logs*: an e-value too, whatever they have in common.

    >>> round(log_mean([log(1.0), log(39.0)]), 6) == round(log(20.0), 6), log_mean([0.0, inf])
    (True, inf)
    """
    values = np.asarray(logs, dtype=np.float64)
    highest = float(values.max())
    return highest if highest == inf else highest + log(float(np.exp(values - highest).mean()))


def _log_ratio(events: int, answers: int, alternative: float, null: float) -> float:
    return events * log(alternative / null) + (answers - events) * log((1 - alternative) / (1 - null))


def _smoothed(events: int, answers: int) -> float:
    """A share that is neither 0 nor 1, whatever was counted: half an event more on either side."""
    return (events + 0.5) / (answers + 1)


def _slope(share: float, at: float) -> float:
    """That of KL(share, at) as *at* grows."""
    return (at - share) / (at * (1 - at))


def _refuse_impossible(block: Block) -> None:
    if not (0 <= block.candidate_events <= block.candidate and 0 <= block.serving_events <= block.serving):
        raise ParametersError(f"expected no more events than answers, got {block}")
