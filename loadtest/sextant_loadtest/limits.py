"""What a load has to keep to, for each class of users: times, errors, throughput."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sextant.errors import LimitsError
from sextant_export.gate import LOADS, Limit
from sextant_export.problem import Problem
from sextant_export.toml_file import read_tables
from sextant_loadtest.limits_problems import EVERY, limits_problems

Bounds = Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """
    The limits of *every* class of users, and what is said otherwise *by_class*.

    Where nothing is said of errors none may come: what fails is no service.

    >>> limits = Limits(every={"p95_ms": 500}, by_class={"PositionOverHttp": {"p95_ms": 600}})
    >>> {name: str(limit) for name, limit in limits.of("PositionOverHttp").items()}
    {'p95_ms': 'at most 600', 'error_share': 'at most 0'}
    """

    every: Bounds = field(default_factory=dict)
    by_class: Mapping[str, Bounds] = field(default_factory=dict)

    def of(self, users: str) -> dict[str, Limit]:
        """The limits of this class of *users*, in the order in which they are told."""
        told = {"error_share": 0.0, **self.every, **self.by_class.get(users, {})}
        return {name: Limit(sense=sense, bound=float(told[name])) for name, sense in LOADS.items() if name in told}


def read_limits(path: Path) -> Limits:
    """
    The limits in the TOML file at *path*.

    ``LimitsError`` lists everything that is wrong with it, each with its address.
    """
    raw = read_tables(path, LimitsError)
    if found := tuple(limits_problems(raw)):
        raise LimitsError(tuple(Problem(f"{path}: {address}", message) for address, message in found))
    return limits_of(raw)


def limits_of(raw: Mapping[str, Any]) -> Limits:
    """The limits of sound tables *raw*."""
    return Limits(every=raw.get(EVERY, {}), by_class={name: raw[name] for name in raw if name != EVERY})
