"""
One lease a pipeline: whoever holds it is the only one that promotes, rolls back or removes that pipeline.

It is a lock of the operating system on a file beside the receipts: gone in the instant its holder dies, however
it dies, so that the next in line takes over without waiting for any clock. What stands in the file is for people: who
holds it, since when.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sextant.errors import LeaseHeld
from sextant_export.journal import now
from sextant_export.store import Store, writing

FILE = ".lease"
TRIES, PAUSE_S = 5, 0.02


@contextmanager
def lease(store: Store, pipeline: str) -> Iterator[None]:
    """Hold the lease of *pipeline* until the ``with`` block ends; ``LeaseHeld`` says who has it already."""
    path = _path(store, pipeline)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _claim(file, path, pipeline)
        os.ftruncate(file, 0)
        os.pwrite(file, json.dumps({"pid": os.getpid(), "host": platform.node(), "since": now()}).encode(), 0)
        yield
    finally:
        os.close(file)


def holder(store: Store, pipeline: str) -> str | None:
    """Who holds the lease of *pipeline*, in words; None where nobody does."""
    try:
        file = os.open(_path(store, pipeline), os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _words(file)
    finally:
        os.close(file)
    return None


def _path(store: Store, pipeline: str) -> Path:
    return store.releases / pipeline / FILE


def _claim(file: int, path: Path, pipeline: str) -> None:
    """Try more than once: whoever only asks who holds it, holds it for that instant."""
    for _ in range(TRIES):
        with suppress(BlockingIOError):
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        time.sleep(PAUSE_S)
    raise LeaseHeld(f"{pipeline} is at work in {path.parent}: {_words(file)} holds its lease; run this again after it")


def _words(file: int) -> str:
    """What the holder wrote of itself; it may be about to."""
    try:
        said = json.loads(os.pread(file, 4096, 0))
        return f"process {said['pid']} on {said['host']}, since {said['since']}"
    except (ValueError, KeyError, TypeError):
        return "another process"
