"""What the code of models may use, and what is said when it used more, or ended by itself."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sextant.errors import ModelStopped

GIB = 1 << 30
CPU_S, TIME_S = 14_400.0, 7_200.0
_NEARLY = 0.8
# Between the signal that can be caught and the one that cannot.
_GRACE_S = 5


def _machine_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """
    What one export's child may use: *cpu_s* of processor time over all its threads, *memory_bytes* of data, *time_s*.

    The memory is what a process allocates (``RLIMIT_DATA``); files that are mapped do not count. By default it is all
    the machine has. The time is that in which the child works, not that in which files are fetched or written.
    """

    cpu_s: float = CPU_S
    memory_bytes: int = field(default_factory=_machine_bytes)
    time_s: float = TIME_S

    def settle(self) -> None:
        """Hold this process, and each it starts, to them; it leaves no core file."""
        _lower(resource.RLIMIT_CORE, 0, 0)
        cpu = max(1, round(self.cpu_s))
        _lower(resource.RLIMIT_CPU, cpu, cpu + _GRACE_S)
        _lower(resource.RLIMIT_DATA, self.memory_bytes, self.memory_bytes)


def out_of_memory(about: str, limits: Limits) -> ModelStopped:
    """The error of an allocation that was refused."""
    return ModelStopped(
        f"{about}: it needs more than {limits.memory_bytes / GIB:.3g} GiB of memory, its limit, "
        "and was ended: allow more, or give it a machine that has more",
        limit="memory",
    )


def out_of_time(about: str, limits: Limits) -> ModelStopped:
    """The error of work that would not end."""
    return ModelStopped(
        f"{about}: it was not done after {limits.time_s:,.6g} s, its limit of time, and was ended: "
        "allow more, or look for what it waits for",
        limit="time",
    )


def ended(status: Mapping[str, Any], about: str, limits: Limits) -> ModelStopped:
    """Why a child ended that was to go on: *status* is what the fork server saw of it."""
    by = status.get("signal", 0)
    if by == signal.SIGXCPU or (by == signal.SIGKILL and status["cpu_s"] >= limits.cpu_s):
        return ModelStopped(
            f"{about}: it used more than {limits.cpu_s:,.6g} s of processor time, its limit, and was ended: "
            "allow more, or look for a loop in it that does not end",
            limit="cpu",
        )
    if by and status["peak_bytes"] >= limits.memory_bytes * _NEARLY:
        return out_of_memory(about, limits)
    return ModelStopped(f"{about}: {_how(status)}: load the model by itself to see why", limit=None)


def _how(status: Mapping[str, Any]) -> str:
    if "signal" not in status:
        return "the process that ran its code is gone, and so is the one that watched over it"
    if status["signal"] == signal.SIGKILL:
        return "something killed the process that ran its code, as a machine does that is out of memory"
    if status["signal"]:
        return f"its code crashed the process that ran it ({signal.Signals(status['signal']).name})"
    return f"its code ended the process that ran it, with code {status['code']}"


def _lower(which: int, soft: int, hard: int) -> None:
    """What is lower already stays."""
    _, most = resource.getrlimit(which)
    if most != resource.RLIM_INFINITY:
        soft, hard = min(soft, most), min(hard, most)
    resource.setrlimit(which, (soft, hard))
