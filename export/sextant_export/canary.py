"""How a candidate is tried on requests before it serves them all: the section ``canary`` of a spec."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from sextant_export.problem import Problem
from sextant_export.values import Bounds, number, switch


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """
    A trial of a candidate beside the release that serves.

    *weights* are the candidate's share of requests, one step after another, *shadow* the share that it is asked too
    without being heard; without weights that is all.  *alpha* is the probability of a false alarm.  A step ends after
    *requests* that the candidate answered, the trial undecided after *at_most_s*; it is looked at every *poll_s*.
    *errors*, *slow*, *wrong* and *missed* are margins that are tolerated: more errors, more calls that are slow, more
    wrong answers, more true positions that an ellipse misses, each as a share.
    """

    weights: tuple[float, ...] = (0.05, 0.25, 0.5)
    shadow: float = 0.0
    alpha: float = 0.05
    requests: int = 200
    at_most_s: float = 1800.0
    poll_s: float = 1.0
    errors: float = 0.005
    slow: float = 0.10
    wrong: float = 0.02
    missed: float = 0.02


def canary_of(raw: Any) -> Canary | None:
    """
    The trial that a sound section *raw* asks for; ``true`` means one as it is by default.

    >>> canary_of({"weights": [0.1]}).weights, canary_of(True).alpha, canary_of(False)
    ((0.1,), 0.05, None)
    """
    if not isinstance(raw, Mapping):
        return Canary() if raw else None
    settled: dict[str, Any] = {key: tuple(value) if key == "weights" else value for key, value in raw.items()}
    return Canary(**settled)


def canary_problems(value: Any, address: str) -> Iterator[Problem]:
    """Every problem of ``canary``."""
    yield from switch(_CHECKS)(value, address)
    if not isinstance(value, Mapping):
        return
    if value.get("weights") == [] and not value.get("shadow"):
        yield Problem(f"{address}.weights", "none, and no shadow: the candidate would never be asked")
    elif value.get("weights") == [] and value.get("errors") == 0:
        yield Problem(f"{address}.errors", "of a shadow alone expected a margin above 0: there is little else to show")


def _weights(value: Any, address: str) -> Iterator[Problem]:
    if not isinstance(value, list):
        yield Problem(address, f"expected a list of shares that rise, like [0.05, 0.25, 0.5], got {value!r}")
        return
    unsound = [problem for i, weight in enumerate(value) for problem in _SHARE(weight, f"{address}[{i}]")]
    yield from unsound
    if not unsound and any(later <= before for before, later in pairwise(value)):
        yield Problem(address, f"expected each share above the one before, got {value!r}")


_SHARE = number(Bounds(above=0, below=1))
_MARGIN = number(Bounds(at_least=0, below=1))
_DURATION = number(Bounds(above=0))
_CHECKS = {
    "weights": _weights,
    "shadow": number(Bounds(at_least=0, at_most=1)),
    "alpha": number(Bounds(above=0, below=0.5)),
    "requests": number(Bounds(at_least=1, whole=True)),
    "at_most_s": _DURATION,
    "poll_s": _DURATION,
    "errors": _MARGIN,
    "slow": _MARGIN,
    "wrong": _MARGIN,
    "missed": _MARGIN,
}
