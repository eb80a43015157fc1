"""How many callers there are at which time of a load: the arithmetic of its shapes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import ceil
from types import MappingProxyType
from typing import TypeAlias

Curve: TypeAlias = Callable[[float], float]
"""From the share of the time that has passed, 0 to 1, to the share of the users that are there."""

REST = 0.1
"""The share of users before and after a spike."""


def steady(_passed: float) -> float:
    """All users, from the first moment to the last."""
    return 1.0


def ramp(passed: float) -> float:
    """
    More and more users for four fifths of the time, then all of them.

    >>> ramp(0.0), ramp(0.4), ramp(0.9)
    (0.0, 0.5, 1.0)
    """
    return min(passed / 0.8, 1.0)


def spike(passed: float) -> float:
    """
    A tenth of the users, but all of them at once in the middle third of the time.

    >>> spike(0.2), spike(0.5), spike(0.8)
    (0.1, 1.0, 0.1)
    """
    return 1.0 if 1 / 3 <= passed < 2 / 3 else REST


def soak(passed: float) -> float:
    """
    All users after a twentieth of the time, and then for as long as it lasts: what leaks shows late.

    >>> soak(0.025), soak(0.5)
    (0.5, 1.0)
    """
    return min(passed / 0.05, 1.0)


CURVES: Mapping[str, Curve] = MappingProxyType({"steady": steady, "ramp": ramp, "spike": spike, "soak": soak})


def users_at(shape: str, passed_s: float, users: int, duration_s: float) -> int | None:
    """
    How many of *users* there are after *passed_s* seconds of *duration_s*, one at least; None where it is over.

    >>> [users_at("spike", at, 100, 30.0) for at in (0, 12, 25, 30)]
    [10, 100, 10, None]
    """
    if passed_s >= duration_s:
        return None
    return max(1, ceil(round(CURVES[shape](passed_s / duration_s) * users, 6)))
