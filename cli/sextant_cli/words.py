"""What several verbs say in the same words: moments, members, gates, sizes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def moment(at: str) -> str:
    """
    A time stamp as people read it.

    >>> moment("2026-11-28T22:43:22+00:00")
    '2026-11-28 22:43:22 UTC'
    """
    return at.replace("T", " ").replace("+00:00", " UTC")


def members(of: Mapping[str, Mapping[str, Any]]) -> str:
    """
    The registered models of a release, with their MLflow versions.

    >>> members({"ridge": {"model": "ridge", "version": 3}, "knn": {"model": "knn", "version": 1}})
    'ridge version 3, knn version 1'
    """
    return ", ".join(f"{member['model']} version {member['version']}" for member in of.values())


def gates(results: Iterable[Mapping[str, Any]]) -> str:
    """
    Gates with what was measured, as their receipt keeps them.

    >>> gates([{"gate": "p95_ms", "wanted": "at most 50", "measured": 3.25, "passed": True}])
    'p95_ms 3.25 (at most 50)'
    """
    return "; ".join(_gate(result) for result in results)


def size(count: int) -> str:
    """
    A number of bytes in the unit that leaves it at most four digits.

    >>> size(512), size(81_250), size(3_400_000_000)
    ('512 bytes', '81.2 kB', '3.4 GB')
    """
    if count < 1000:
        return f"{count} bytes"
    power = min((len(str(count)) - 1) // 3, 4)
    return f"{count / 1000**power:.1f} {('', 'kB', 'MB', 'GB', 'TB')[power]}"


def several(count: int, what: str) -> str:
    """
    A number of things.

    >>> several(1, "release"), several(2, "version directory")
    ('1 release', '2 version directories')
    """
    plural = f"{what.removesuffix('y')}ies" if what.endswith("y") else f"{what}s"
    return f"{count:,} {what if count == 1 else plural}"


def _gate(result: Mapping[str, Any]) -> str:
    measured = result["measured"]
    value = f"{measured:.4g}" if isinstance(measured, float) else str(measured)
    return f"{result['gate']} {value} ({'' if result['passed'] else 'NOT '}{result['wanted']})"
