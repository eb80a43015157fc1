"""The table of gates that people are shown."""

from __future__ import annotations

from collections.abc import Sequence

from sextant_promote.columns import aligned
from sextant_promote.gates.result import GateResult, figure

HEAD = ("gate", "wanted", "measured", "serving", "passed")
_NUMBERS = (2, 3)


def gate_table(results: Sequence[GateResult]) -> str:
    """
    The *results*, aligned, with what there is to say about them below.

    >>> print(gate_table([GateResult(gate="p95_ms", wanted="at most 50", measured=61.04, passed=False, serving=44.6)]))
    gate    wanted      measured  serving  passed
    p95_ms  at most 50        61     44.6  NO
    """
    return "\n".join([*aligned([HEAD, *map(_row, results)], right=_NUMBERS), *_below(results)])


def _row(result: GateResult) -> tuple[str, ...]:
    serving = "-" if result.serving is None else figure(result.serving)
    return result.gate, result.wanted, result.told, serving, "yes" if result.passed else "NO"


def _below(results: Sequence[GateResult]) -> list[str]:
    """The rows that were asked, then each remark once, under the names of the gates that it is about."""
    asked = dict.fromkeys(result.on for result in results if result.on)
    notes: dict[str, list[str]] = {}
    for result in results:
        if result.note:
            notes.setdefault(result.note, []).append(result.gate)
    return [f"on {rows}" for rows in asked] + [f"{', '.join(gates)}: {said}" for said, gates in notes.items()]
