"""How many cores this machine gives its programs, and models that ask for more."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from math import ceil
from pathlib import Path

from sextant_cli import words
from sextant_cli.doctor.demand import Demand
from sextant_cli.doctor.finding import NOTE, WARNING, Finding

CROWDED = 4
"""Threads for each core beyond which they mostly wait for one another."""
CGROUP = Path("/sys/fs/cgroup")
_OF_CFS = ("cpu.cfs_quota_us", "cpu.cfs_period_us")


def cores(affinity: Collection[int] | None = None, cgroup: Path = CGROUP) -> int:
    """The cores that a process may use: those of its *affinity*, this process's where None, within its container."""
    allowed = len(affinity if affinity is not None else os.sched_getaffinity(0))
    return min(allowed, quota(cgroup) or allowed)


def quota(cgroup: Path = CGROUP) -> int | None:
    """The cores that the container's control group grants, begun ones counted; None where it sets no limit."""
    try:
        granted, period = (cgroup / "cpu.max").read_text(encoding="utf-8").split()
        return None if granted == "max" else ceil(int(granted) / int(period))
    except (OSError, ValueError):
        return _first_version(cgroup / "cpu")


def _first_version(cpu: Path) -> int | None:
    """The same in the older layout."""
    try:
        granted, period = (int((cpu / name).read_text(encoding="utf-8")) for name in _OF_CFS)
    except (OSError, ValueError):
        return None
    return ceil(granted / period) if granted > 0 else None


def crowded(asked: Demand, there: int, whose: str) -> Iterator[Finding]:
    """A finding where *whose* models ask for more threads than there are cores *there*."""
    if asked.threads > there:
        each = asked.threads / there
        yield Finding(
            severity=WARNING if each > CROWDED else NOTE,
            found=f"{whose} compute in up to {asked.threads} threads at once, on {words.several(there, 'core')}",
            why="when all are asked at once they wait for one another, and the slowest answers get slower",
            change="fewer `instances` or a smaller `intra_op_thread_count` under `serving` in the specs; or more cores",
        )
