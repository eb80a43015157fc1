"""What the newest round of known cases came to, in figures that can be watched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from sextant.binomial import coverage_interval
from sextant_promote.results import Result

CHANCE = 0.998
"""A share that is below its upper bound at this level fell there by chance once in a thousand rounds."""


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """The *share* of answers that held the truth, against what was *promised*; *upper* is what chance can explain."""

    promised: float
    share: float
    upper: float


@dataclass(frozen=True, kw_only=True)
class Figures:
    """
    One round: what *release* answered, and of those *answered* how right it was.

    *accuracy* is of labels, *median_error_m* and the *coverage* of each confidence level are of positions.
    """

    at: str
    release: int | None
    answered: int
    unanswered: int
    accuracy: float | None = None
    median_error_m: float | None = None
    coverage: Mapping[str, Coverage] = field(default_factory=dict)


def figures(results: Sequence[Result]) -> Figures | None:
    """
    The newest round of *results*, which stand oldest first; None where there is none.

    >>> made = [Result(at=f"12:0{i}", case=i, expected="hall", server="", correct=i > 1) for i in range(4)]
    >>> newest = figures(made)
    >>> newest.answered, newest.accuracy
    (4, 0.5)
    """
    if not results:
        return None
    asked = _round(results)
    answered = [result for result in asked if result.error is None]
    errors = [result.error_m for result in answered if result.error_m is not None]
    judged = [result.correct for result in answered if result.correct is not None]
    return Figures(
        at=asked[-1].at,
        release=asked[-1].release,
        answered=len(answered),
        unanswered=len(asked) - len(answered),
        accuracy=sum(judged) / len(judged) if judged and not errors else None,
        median_error_m=median(errors) if errors else None,
        coverage={level: _coverage(level, answered) for level in _levels(answered)},
    )


def _round(results: Sequence[Result]) -> list[Result]:
    """A round asks its cases in rising order, of one release; the one before ends where a case is not lower."""
    asked = [results[-1]]
    for result in reversed(results[:-1]):
        if result.case >= asked[0].case or result.release != asked[0].release:
            break
        asked.insert(0, result)
    return asked


def _levels(answered: Sequence[Result]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(level for result in answered for level in result.inside))


def _coverage(level: str, answered: Sequence[Result]) -> Coverage:
    held = [result.inside[level] for result in answered if level in result.inside]
    _, upper = coverage_interval(sum(held), len(held), CHANCE)
    return Coverage(promised=float(level), share=sum(held) / len(held), upper=upper)
