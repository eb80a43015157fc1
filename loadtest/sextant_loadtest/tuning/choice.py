"""
Which of the settings that were measured is taken: one that is better than what noise could make it look, else none.

Settings are measured in turns, round by round, so that what makes a machine slow for a moment makes it slow for all of
them. The quotient of two settings is therefore taken within each round, and a t interval of its logarithm over the
rounds says how much better one is, at least and at most. Of the settings that are certainly better than the present
one, the best is taken, or a simpler one that cannot be told from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp, inf, log

import numpy as np

from sextant_export.pipeline import Serving
from sextant_loadtest.load import Outcome
from sextant_loadtest.tuning.axes import effort

OBJECTIVES = ("throughput", "p95")
LEAST_GAIN, MOST_LOSS = 0.03, 0.10
"""What a change has to bring of the one figure, and may cost of the other, as a share."""
ALPHA = 0.05
"""The probability, along one axis, that noise alone has a setting changed."""
HOPELESS = 0.8
"""A setting that reaches less than this share of the best is not measured any further."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What a *setting* came to, round by round; *failed* counts requests without an answer, of all rounds."""

    setting: Serving
    throughput_rps: tuple[float, ...] = ()
    p95_ms: tuple[float, ...] = ()
    failed: int = 0

    @property
    def median_rps(self) -> float:
        """Answered requests a second."""
        return float(np.median(self.throughput_rps))

    @property
    def median_p95_ms(self) -> float:
        """The 95th percentile of their times."""
        return float(np.median(self.p95_ms))

    def and_of(self, outcome: Outcome) -> Trial:
        """This trial, and one more round with this *outcome*."""
        rates, times = (*self.throughput_rps, outcome.throughput_rps), (*self.p95_ms, outcome.p95_ms or inf)
        return replace(self, throughput_rps=rates, p95_ms=times, failed=self.failed + outcome.total.failed)

    def merit(self, objective: str) -> tuple[float, ...]:
        """What is to be as large as possible, round by round."""
        return self.throughput_rps if objective == "throughput" else tuple(1 / each for each in self.p95_ms)


@dataclass(frozen=True, slots=True)
class Gain:
    """By what share one figure is more than another: *mean*, and the ends of the interval that holds it."""

    mean: float
    at_least: float = -inf
    at_most: float = inf

    def __str__(self) -> str:
        return f"{self.mean:+.0%}"


def gain(one: Sequence[float], other: Sequence[float], alpha: float = ALPHA) -> Gain:
    """
    By what share the figures *one* are above *other*, round by round; either end is passed with probability *alpha*.

    Only the rounds count in which both were measured.

    >>> found = gain([110, 113, 108, 111], [100, 101, 99, 100])
    >>> round(found.mean, 3), round(found.at_least, 3), round(found.at_most, 3)
    (0.105, 0.091, 0.119)
    """
    from scipy.stats import t

    rounds = min(len(one), len(other))
    logs = np.log(np.divide(one[:rounds], other[:rounds]))
    mean = float(np.mean(logs))
    if rounds < 2:
        return Gain(exp(mean) - 1)
    half = float(t.ppf(1 - alpha, rounds - 1) * np.std(logs, ddof=1) / np.sqrt(rounds))
    return Gain(exp(mean) - 1, exp(mean - half) - 1, exp(mean + half) - 1)


def chosen(trials: Sequence[Trial], objective: str = "throughput") -> Trial:
    """
    The one of *trials* to go on with; the first is the present setting, and stays where no other is certainly better.

    One that failed requests, or is certainly worse by the figure that *objective* is not, is never taken.
    """
    now, *others = trials
    alpha = ALPHA / max(len(others), 1)
    whole = (other for other in others if len(other.p95_ms) == len(now.p95_ms))  # the rest was given up
    better = [other for other in whole if _better(other, now, objective, alpha)]
    if not better:
        return now
    best = max(better, key=lambda trial: float(np.mean(np.log(trial.merit(objective)))))
    like = [trial for trial in better if gain(best.merit(objective), trial.merit(objective), alpha).at_least <= 0]
    return min([best, *like], key=lambda trial: effort(trial.setting))


def hopeless(trials: Sequence[Trial], objective: str) -> set[Serving]:
    """The settings of *trials*, never the first one's, that no further round would make the best."""
    best = max(log(min(trial.merit(objective))) for trial in trials)
    far = (trial for trial in trials[1:] if log(max(trial.merit(objective))) < best + log(HOPELESS))
    return {trial.setting for trial in far}


def _better(other: Trial, now: Trial, objective: str, alpha: float) -> bool:
    wins = gain(other.merit(objective), now.merit(objective), alpha)
    beside = "p95" if objective == "throughput" else "throughput"
    costs = gain(now.merit(beside), other.merit(beside), alpha)
    harmless = costs.at_least <= 0 or costs.mean <= MOST_LOSS
    return not other.failed and wins.at_least > 0 and wins.mean >= LEAST_GAIN and harmless
