"""Cores, memory and open files for what the store would load."""

from __future__ import annotations

from collections.abc import Iterator

from sextant_cli.doctor.check import Check
from sextant_cli.doctor.demand import PROCESS_BYTES
from sextant_cli.doctor.finding import NOTE, WARNING, Finding
from sextant_cli.doctor.machine.cores import crowded
from sextant_cli.doctor.machine.here import Here

MB = 10**6
FEW_FILES = 4096


def _cores(here: Here) -> Iterator[Finding]:
    yield from crowded(here.demand, here.cores, "the models that a server of the store loads")


def _memory(here: Here) -> Iterator[Finding]:
    asked = here.demand.processes * PROCESS_BYTES
    if here.memory_free < asked:
        yield Finding(
            severity=WARNING,
            found=f"{here.memory_free / MB:,.0f} MB are available, and {here.demand.processes} Python processes take "
            f"{asked / MB:,.0f} MB before they have loaded a model",
            why="the kernel ends a process when memory runs out, and Triton starts it no second time",
            change="fewer `instances` under `serving` in the specs, `sextant prune`, or more memory",
        )


def _files(here: Here) -> Iterator[Finding]:
    if here.files < FEW_FILES:
        yield Finding(
            severity=NOTE,
            found=f"what is started here may open {here.files:,} files",
            why="every caller of a server is one; beyond the limit callers are turned away",
            change="ulimit -n 65536 before `sextant serve`",
        )


CORES = Check("cores", "Would the store's models ask for more threads than this machine has cores?", _cores)
MEMORY = Check("memory", "Is there memory for the Python processes of the store's models?", _memory)
FILES = Check("open-files", "May a server that is started here open enough files?", _files)
