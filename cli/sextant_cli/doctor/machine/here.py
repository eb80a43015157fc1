"""This machine, as its checks see it: measured once, so that they are arithmetic."""

from __future__ import annotations

import resource
from dataclasses import dataclass
from pathlib import Path

import psutil

from sextant.errors import LaunchRefused, MissingExtra, StoreError
from sextant_cli.doctor.check import NotMade
from sextant_cli.doctor.demand import NOTHING, Demand, demand, stored
from sextant_cli.doctor.machine.cores import CGROUP, cores
from sextant_export.store import Store
from sextant_server.installation import Installation, find_installation
from sextant_server.preflight import Machine
from sextant_server.shared_memory import SHARED_MEMORY


@dataclass(frozen=True, kw_only=True)
class Here:
    """
    *installation* is the Triton that `sextant serve` would start, or *absent* says why there is none.

    *cores* are those a program may use, *memory_free* and *shared_free* of *shared_total* are bytes, *files* is how
    many a program may open. *asked* is what a server of the store would load, nothing where one runs already, None
    where the store cannot be read.
    """

    machine: Machine
    installation: Installation | None = None
    absent: str = ""
    cores: int = 1
    memory_free: int = 0
    shared_total: int = 0
    shared_free: int = 0
    files: int = 0
    asked: Demand | None = NOTHING

    @property
    def demand(self) -> Demand:
        """What a server of the store would load; ``NotMade`` where that cannot be known."""
        if self.asked is None:
            raise NotMade("what a server of the store would load cannot be read: see store-sound")
        return self.asked

    @classmethod
    def measured(cls, store: Store | None = None) -> Here:
        """This machine as it is now, about to serve *store*."""
        installation, absent = _installation()
        there, (total, free) = cores(), _shared()
        return cls(
            machine=Machine.here(),
            installation=installation,
            absent=absent,
            cores=there,
            memory_free=memory_free(),
            shared_total=total,
            shared_free=free,
            files=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
            asked=_asked(store, there),
        )


def memory_free(cgroup: Path = CGROUP) -> int:
    """The bytes that a program may still take, within its container; pages of files that can be dropped are free."""
    free: int = psutil.virtual_memory().available
    try:
        limit, used, kinds = ((cgroup / f"memory.{name}").read_text("utf-8") for name in ("max", "current", "stat"))
        droppable = dict(line.split() for line in kinds.splitlines())["inactive_file"]
        return min(free, max(0, int(limit) - int(used) + int(droppable)))
    except (OSError, ValueError, KeyError):  # no container, or one without a limit, which is "max"
        return free


def _asked(store: Store | None, there: int) -> Demand | None:
    try:
        return NOTHING if store is None else demand(stored(store), there)
    except StoreError:
        return None


def _shared() -> tuple[int, int]:
    """The bytes of shared memory, in all and free; none where there is no such file system."""
    if not SHARED_MEMORY.is_dir():
        return 0, 0
    usage = psutil.disk_usage(str(SHARED_MEMORY))
    return usage.total, usage.free


def _installation() -> tuple[Installation | None, str]:
    try:
        return find_installation(), ""
    except (MissingExtra, LaunchRefused) as error:
        return None, str(error)
