"""Where a store lies: room on its disk, a path that Triton can bear, and time stamps that it can trust."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

from sextant_cli.doctor.check import Check
from sextant_cli.doctor.finding import CRITICAL, WARNING, Finding
from sextant_cli.doctor.store.kept import Kept
from sextant_export.store import files_of
from sextant_server.failures import UNSAFE_NAME, loadable
from sextant_server.preflight import unsafe

MB = 10**6
LITTLE_BYTES = 100 * MB
FEW_INODES = 1000
AHEAD_S = 60.0
"""So far ahead a time stamp may be without a clock being wrong."""


def _space(kept: Kept) -> Iterator[Finding]:
    disk = os.statvfs(kept.store.root)
    yield from short(disk.f_bavail * disk.f_frsize, disk.f_favail if disk.f_files else None, _largest(kept))


def short(free: int, inodes: int | None, largest: int) -> Iterator[Finding]:
    """A finding where *free* bytes, or *inodes*, do not hold the next version, as large as the *largest* there is."""
    if free < max(LITTLE_BYTES, 2 * largest):
        yield Finding(
            severity=CRITICAL if free < LITTLE_BYTES else WARNING,
            found=f"{free / MB:,.0f} MB are free, and the largest version has {largest / MB:,.0f} MB",
            why="a promotion writes a version beside the one that serves; receipts and logs need room too",
            change="sextant prune, or a larger disk",
        )
    if inodes is not None and inodes < FEW_INODES:
        yield Finding(
            severity=WARNING,
            found=f"{inodes:,} more files can be made on its disk",
            why="a release is dozens of small files",
            change="delete small files elsewhere on that disk, or make a file system with more inodes",
        )


def _path(kept: Kept) -> Iterator[Finding]:
    if unsafe(str(kept.store.root.absolute())):
        yield Finding(
            severity=WARNING,
            found=f"its path holds a space or a shell character: '{kept.store.root.absolute()}'",
            why="Triton starts Python models through a shell: 2.51 waits for ever, `sextant serve` refuses to start",
            change="move the store, or link to it from a plain path",
        )
    models = [config.parent.name for config in kept.configs]
    for model in sorted({*models} - {*loadable(models)}):
        yield Finding(severity=WARNING, found=f"model '{model}'", why=UNSAFE_NAME, change="publish it by a plain name")


def _stamps(kept: Kept) -> Iterator[Finding]:
    now = time.time()
    ahead = {path: path.stat().st_mtime - now for path in kept.configs}
    if late := [path for path, seconds in ahead.items() if seconds > AHEAD_S]:
        worst = max(late, key=ahead.__getitem__)
        yield Finding(
            severity=WARNING,
            where=str(worst),
            found=f"{len(late)} configurations were written in the future, by up to {ahead[worst]:,.0f} s",
            why="a clock is wrong; Triton tells by time stamps whether a configuration changed since it was loaded",
            change="set the clocks of this machine and of the store's file server, then touch the files",
        )


def _largest(kept: Kept) -> int:
    """Bytes of the largest version there is."""
    models = kept.store.models
    versions = [path for path in kept.paths if path.name.isdigit() and path.parent.parent == models and path.is_dir()]
    return max((sum(file.stat().st_size for file in files_of(path)) for path in versions), default=0)


SPACE = Check("store-space", "Is there room for the next release?", _space)
PATH = Check("store-path", "Can Triton bear its path, and the names of its models?", _path)
STAMPS = Check("store-stamps", "Were its configurations written in the future?", _stamps)
