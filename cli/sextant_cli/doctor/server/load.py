"""What the loaded models ask of the machine, and how many files the server may open; of servers on this machine."""

from __future__ import annotations

from collections.abc import Iterator

import psutil

from sextant_cli.doctor.check import Check
from sextant_cli.doctor.demand import demand
from sextant_cli.doctor.finding import NOTE, WARNING, Finding
from sextant_cli.doctor.machine.cores import cores, crowded
from sextant_cli.doctor.machine.room import FEW_FILES
from sextant_cli.doctor.server.process import process_of
from sextant_cli.doctor.server.triton import Triton

NEARLY = 0.8


def _cores(triton: Triton) -> Iterator[Finding]:
    there = cores(process_of(triton).cpu_affinity())
    yield from crowded(demand(triton.loaded, there), there, "its models")


def _files(triton: Triton) -> Iterator[Finding]:
    process = process_of(triton)
    limit, opened = process.rlimit(psutil.RLIMIT_NOFILE)[0], process.num_fds()
    nearly = opened >= NEARLY * limit
    if nearly or limit < FEW_FILES:
        yield Finding(
            severity=WARNING if nearly else NOTE,
            found=f"it may open {limit:,} files, and has {opened:,} open",
            why="every connection is one; beyond the limit callers are turned away",
            change="raise it where the server is started: ulimit -n 65536, LimitNOFILE=65536 (systemd), "
            "--ulimit nofile=65536 (docker)",
        )


CORES = Check("cores-served", "Do its models ask for more threads than its machine has cores?", _cores)
FILES = Check("files-served", "Does it come near the number of files that it may open?", _files)
