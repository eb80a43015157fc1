"""Everything wrong with a ``limits.toml``, in reading order, before anything is asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from sextant_export.problem import Problem, guess
from sextant_export.values import Bounds, Check, number, section
from sextant_loadtest.callers import CLASSES

EVERY = "every"
"""The section of limits that each class of users has to keep to, unless its own says otherwise."""
_POSITIVE, _SHARE = Bounds(above=0), Bounds(at_least=0, at_most=1)


def limits_problems(raw: Mapping[str, Any]) -> Iterator[Problem]:
    r"""
    Every problem of the tables *raw*, each with its address and, where there is one, a guess.

    >>> print(*limits_problems({"every": {"p95": 500}, "PositionOverGrcp": {}}), sep="\n")
    every.p95: unknown; did you mean 'p95_ms'?
    PositionOverGrcp: no class of users is called so; did you mean 'PositionOverGrpc'?
    """
    if not raw:
        yield Problem(EVERY, "missing: write [every], and limits like p95_ms = 500 below it")
    for key, value in raw.items():
        if key in (EVERY, *CLASSES):
            yield from _SECTION(value, key)
            yield from _ordered(value, key)
        else:
            yield Problem(key, f"no class of users is called so{guess(key, (EVERY, *CLASSES))}")


def _ordered(value: Any, address: str) -> Iterator[Problem]:
    """A percentile that may be less than one below it can never be the one that fails."""
    times = [(name, value[name]) for name in PERCENTILES if name in value] if isinstance(value, Mapping) else []
    for (lower, least), (upper, most) in pairwise(times):
        if isinstance(least, (int, float)) and isinstance(most, (int, float)) and most < least:
            yield Problem(f"{address}.{upper}", f"{most} is less than {lower}, which is {least} and never more")


PERCENTILES = ("p50_ms", "p95_ms", "p99_ms")
_SECTION: Check = section(
    {
        **{name: number(_POSITIVE) for name in PERCENTILES},
        "error_share": number(_SHARE),
        "throughput_rps": number(_POSITIVE),
    }
)
