"""How known cases are asked of what serves, again and again: the section ``live`` of a spec."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sextant_export.problem import Problem
from sextant_export.values import Bounds, Check, number, switch


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """Every *every_s* seconds *rows* known cases are asked of what serves, each within *timeout_s*."""

    every_s: float = 300.0
    rows: int = 20
    timeout_s: float = 10.0


def live_of(raw: Any) -> Live | None:
    """
    The live predictions that a sound section *raw* asks for; ``true`` means the defaults.

    >>> live_of({"rows": 5}), live_of(False)
    (Live(every_s=300.0, rows=5, timeout_s=10.0), None)
    """
    if not isinstance(raw, Mapping):
        return Live() if raw else None
    return Live(**raw)


def known_problems(raw: Mapping[str, Any]) -> Iterator[Problem]:
    """Live predictions of a page *raw* that names no known cases are of nothing."""
    if raw.get("live") not in (None, False) and "calibration" not in raw:
        yield Problem("live", "nothing to predict: name known cases under calibration")


_DURATION = number(Bounds(above=0))
live_problems: Check = switch(
    {"every_s": _DURATION, "rows": number(Bounds(at_least=1, whole=True)), "timeout_s": _DURATION}
)
"""Every problem of ``live`` that can be seen without the rest of the page."""
