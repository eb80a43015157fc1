"""``/dev/shm``, through which Triton and its Python models speak: its size, and what dead servers left in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from sextant_cli.doctor.check import Check, NotMade
from sextant_cli.doctor.demand import MIB
from sextant_cli.doctor.finding import NOTE, WARNING, Finding
from sextant_cli.doctor.machine.here import Here
from sextant_server.shared_memory import SHARED_MEMORY, regions, unmapped

DOCKERS = 64 * MIB
"""What a container has that was started without ``--shm-size``."""
SHOWN = 3


def _size(here: Here) -> Iterator[Finding]:
    if not here.shared_total:
        raise NotMade(f"there is no {SHARED_MEMORY}")
    asked, change = here.demand, "docker run --shm-size=1g, or shm_size: 1g in compose, or mount it with size=1g"
    if here.shared_free < asked.shared_bytes:
        yield Finding(
            severity=WARNING,
            where=str(SHARED_MEMORY),
            found=f"{here.shared_free / MIB:.0f} MiB are free, and {asked.processes} Python processes ask for "
            f"{asked.shared_bytes / MIB:.0f} MiB when each has one full batch",
            why="a Python model whose memory cannot grow fails its requests, or does not load",
            change=change,
        )
    elif here.shared_total <= DOCKERS:
        yield Finding(
            severity=NOTE,
            where=str(SHARED_MEMORY),
            found=f"it has {here.shared_total / MIB:.0f} MiB in all, docker's default",
            why="each Python process takes 1 MiB of it, and grows with its largest batch",
            change=change,
        )


def _orphans(_: Here) -> Iterator[Finding]:
    sizes = dict(_ours())
    if left := [region for region in unmapped([*sizes]) if region.exists()]:
        more = f" and {len(left) - SHOWN} more" if len(left) > SHOWN else ""
        size = sum(sizes[region] for region in left)
        yield Finding(
            severity=NOTE,
            where=str(SHARED_MEMORY),
            found=f"no process maps {len(left)} of Triton's regions, {size / MIB:.1f} MiB: "
            f"{', '.join(region.name for region in left[:SHOWN])}{more}",
            why="a server that was killed left them, and they take memory until the next start of the machine",
            change="the next `sextant serve` sweeps its own; rm the others, where no container shares /dev/shm",
        )


def _ours() -> Iterator[tuple[Path, int]]:
    """This user's regions with their sizes; of those of others it cannot be seen whether somebody maps them."""
    for region in regions():
        with suppress(FileNotFoundError):  # its server ended meanwhile
            status = region.stat()
            if os.geteuid() in {0, status.st_uid}:
                yield region, status.st_size


SIZE = Check("shared-memory", "Is /dev/shm large enough for the Python models' processes?", _size)
ORPHANS = Check("orphans", "Did killed servers leave shared-memory regions?", _orphans)
