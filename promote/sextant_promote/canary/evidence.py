"""
What a trial has seen of its two arms, weighed criterion by criterion.

Each criterion is a sequential test (:mod:`sextant.sequential`): ``errors`` and ``slow`` of the requests that callers
sent, and ``wrong`` or ``missed`` of known cases that both arms were asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import exp, isfinite, log
from typing import TypeAlias

from numpy.typing import ArrayLike

from sextant.sequential import Block, PairedTest, SharesTest, log_mean
from sextant_export.canary import Canary
from sextant_promote.canary.observations import ArmCounts, Observed

SETTLED = 50
"""Answers of the serving arm that teach what is usual before anything is evidence."""
USUALLY_SLOW = 0.25
TOLERATED_SLOW = 0.5
"""
The part of the margin of ``slow`` that is no harm yet.

Two arms never take quite the same time, were they the same release: the one with less traffic waits for other batches.
"""
_LARGEST_LOG = 300 * log(10)

Test: TypeAlias = SharesTest | PairedTest


class Evidence:
    """
    The evidence of one trial under the margins of *canary*.

    *known* counts the known cases by the criterion that judges them, ``{"wrong": 500}``; without any there is no such
    criterion.  What fails as a shadow would have failed its caller, so it is an error of the candidate; a shadow's time
    is its own.  The first answers of the serving arm only teach what is usual, and choose the bound beyond which an
    answer is *slow*: evidence must not choose what it is evidence of.
    """

    def __init__(self, canary: Canary, known: Mapping[str, int] | None = None) -> None:
        starts = max(1, len(canary.weights))
        self._heard = bool(canary.weights)
        paired = {name: PairedTest(getattr(canary, name), count) for name, count in (known or {}).items()}
        self.errors = SharesTest(canary.errors, starts)
        self.slow = SharesTest(canary.slow, starts, tolerated=TOLERATED_SLOW * canary.slow)
        self.tests: dict[str, Test] = {"errors": self.errors, "slow": self.slow, **paired}
        self.known = tuple(paired.values())
        self.requests = self.requests_in_step = self.compared = self.differing = self.broken = 0
        self.settled, self.bound_ms = False, float("nan")
        self._before: Observed | None = None

    def observe(self, observed: Observed) -> None:
        """Let what came since the observation before be evidence."""
        self.broken = max(self.broken, observed.broken)
        before, self._before = self._before, observed
        if before is None:
            return
        new = observed - before
        if not self.settled and new.serving.requests < SETTLED:
            self._before = before
            return
        self._weigh(new)

    def count_anew(self) -> None:
        """Take the next observation as the beginning: where the router was loaded again, its counters are others."""
        self._before = None

    def compare(self, differences: ArrayLike) -> None:
        """Let more known cases be evidence: 1 where the candidate alone was bad, -1 where the serving arm alone was."""
        for test in self.known:
            test.add(differences)

    def begin_step(self) -> None:
        """The candidate is given more: what goes well with few requests need not with many."""
        self.requests_in_step = 0
        self.errors.start()
        self.slow.start()

    @property
    def log_harm(self) -> float:
        """
        Log evidence that the candidate is worse by some criterion.

        The mean of the criteria's e-values, which is one itself, whatever they have in common.
        """
        return log_mean([test.log_harm for test in self.tests.values()])

    @property
    def worst(self) -> str:
        """The criterion that says most against the candidate."""
        return max(self.tests, key=lambda name: self.tests[name].log_harm)

    def judged(self) -> dict[str, Test]:
        """The criteria that have a margin and something to be told by, which hold a trial up until they are shown."""
        unknown = {"slow"} if self.settled and not isfinite(self.bound_ms) else set()
        unknown |= set() if self._heard else {"slow"}
        return {name: test for name, test in self.tests.items() if test.margin and name not in unknown}

    def told(self, name: str) -> str:
        """What was counted by the criterion *name*, for people."""
        test = self.tests[name]
        if isinstance(test, PairedTest):
            return f"{name} {100 * test.total / max(1, test.asked):+.1f} points on {test.asked} known cases"
        seen, bound = test.seen, f" (above {self.bound_ms:g} ms)" if name == "slow" and isfinite(self.bound_ms) else ""
        return (
            f"{name}{bound} {seen.candidate_events} of {seen.candidate:,} against "
            f"{seen.serving_events} of {seen.serving:,}"
        )

    def to_dict(self) -> dict[str, dict[str, float]]:
        """Every criterion's figures, for the receipt; what differs between compared answers is told, never judged."""
        facts = {name: _facts(test) for name, test in self.tests.items()}
        if isfinite(self.bound_ms):
            facts["slow"]["bound_ms"] = self.bound_ms
        if self.compared:
            facts["differing"] = {"compared": self.compared, "differing": min(self.differing, self.compared)}
        return facts

    def _weigh(self, new: Observed) -> None:
        answered = new.candidate.requests + new.shadow.requests
        self.requests, self.requests_in_step = self.requests + answered, self.requests_in_step + answered
        self.compared, self.differing = self.compared + new.compared, self.differing + new.differing
        if self.settled:
            self.errors.add(_errors(new))
            self.slow.add(_slow(new, self.bound_ms))
            return
        self.settled, self.bound_ms = True, slow_bound(new.serving)
        self.errors.learn(_errors(new))
        self.slow.learn(_slow(new, self.bound_ms))


def slow_bound(serving: ArmCounts) -> float:
    """
    The bound in ms that the *serving* arm exceeds in nearest to a quarter of its answers; NaN where none is exceeded.

    Of bounds as near as one another, the lower: a candidate that is slower shows at a bound that is exceeded, and not
    at one that nothing reaches.

    >>> slow_bound(ArmCounts(requests=100, errors=0, within={5.0: 10, 10.0: 70, 20.0: 99, 40.0: 100}))
    10.0
    >>> slow_bound(ArmCounts(requests=100, errors=0, within={5.0: 0, 10.0: 100}))
    10.0
    """
    beyond = {bound: 1 - within / serving.requests for bound, within in serving.within.items() if isfinite(bound)}
    usable = [bound for bound, share in sorted(beyond.items()) if share < 1]
    return min(usable, key=lambda bound: abs(beyond[bound] - USUALLY_SLOW), default=float("nan"))


def _errors(new: Observed) -> Block:
    candidate, serving = new.candidate, new.serving
    asked, errors = candidate.requests + new.shadow.requests, candidate.errors + new.shadow.errors
    return _block(asked, errors, serving.requests, serving.errors)


def _slow(new: Observed, bound_ms: float) -> Block:
    """What was answered within the bound was not slow; what failed was not answered within it."""
    if not isfinite(bound_ms):
        return Block(0, 0, 0, 0)
    candidate, serving = (arm.requests - arm.within.get(bound_ms, 0) for arm in (new.candidate, new.serving))
    return _block(new.candidate.requests, candidate, new.serving.requests, serving)


def _block(candidate: int, candidate_events: int, serving: int, serving_events: int) -> Block:
    """A scrape may fall between the count of a request and that of its end, so that events are held to the requests."""
    return Block(candidate, min(max(candidate_events, 0), candidate), serving, min(max(serving_events, 0), serving))


def _facts(test: Test) -> dict[str, float]:
    evidence = {"margin": test.margin, "harm": _e_value(test.log_harm), "harmless": _e_value(test.log_harmless)}
    if isinstance(test, PairedTest):
        return {**evidence, "asked": test.asked, "worse_by": test.total / max(1, test.asked)}
    seen = test.seen
    return {
        **evidence,
        "candidate": seen.candidate,
        "candidate_share": seen.candidate_events / max(1, seen.candidate),
        "serving": seen.serving,
        "serving_share": seen.serving_events / max(1, seen.serving),
    }


def _e_value(logarithm: float) -> float:
    """The evidence itself, as far as JSON has numbers for it."""
    return float(f"{exp(min(logarithm, _LARGEST_LOG)):.4g}")
