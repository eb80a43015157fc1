"""One gate, as it was measured."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

from sextant_export.gate import Limit

NOTHING_SERVES = "nothing serves yet"
_DIGITS, _MOST_DIGITS = 3, 8


@dataclass(frozen=True, kw_only=True)
class GateResult:
    """
    One gate: what was *wanted*, what was *measured*, what it is of the *serving* release, and whether that *passed*.

    *serving* is None where nothing was compared.  *note* says what the figure alone does not; *on* names the rows that
    it was measured on.
    """

    gate: str
    wanted: str
    measured: float
    passed: bool
    serving: float | None = None
    note: str = ""
    on: str = ""

    def __str__(self) -> str:
        return f"{self.gate} {self.told} ({'' if self.passed else 'NOT '}{self.wanted})"

    @property
    def told(self) -> str:
        """
        What was measured, with a digit more where it would read as what was wanted, though it failed.

        >>> GateResult(gate="coverage", wanted="at least 0.93", measured=0.92961, passed=False).told
        '0.9296'
        """
        for digits in range(_DIGITS, _MOST_DIGITS):
            text = figure(self.measured, digits)
            if self.passed or text not in self.wanted.split():
                break
        return text

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, for the receipt."""
        return asdict(self)


def judged(gate: str, limit: Limit, measured: float, serving: float | None, note: str = "", on: str = "") -> GateResult:
    """
    The result of *gate*, whose figure was *measured*, against *limit*.

    >>> from sextant_export.gate import AT_MOST
    >>> str(judged("p95_ms", Limit(sense=AT_MOST, bound=1.05, relative=True), 43.04, 40.0))
    'p95_ms 43 (NOT at most 42 = 1.05 x serving)'
    """
    bound = limit.against(serving)
    wanted = str(limit)
    if limit.relative and bound is not None:
        wanted = f"{limit.sense.replace('_', ' ')} {figure(bound)} = {limit.bound:g} x serving"
    notes = [*filter(None, [note]), *([NOTHING_SERVES] if bound is None else [])]
    return GateResult(
        gate=gate,
        wanted=wanted,
        measured=measured,
        passed=limit.holds(measured, serving),
        serving=serving,
        note="; ".join(notes),
        on=on,
    )


def figure(value: float, digits: int = _DIGITS) -> str:
    """
    A measured figure to as many *digits* as it is worth, and never in powers of ten.

    >>> figure(0.95222), figure(2345.6), figure(61.04), figure(0.0)
    ('0.952', '2350', '61', '0')
    """
    if not isfinite(value):
        return str(value)
    rounded = float(f"{value:.{digits}g}")
    return f"{rounded:.0f}" if abs(rounded) >= 10**digits else f"{rounded:.{digits}g}"
