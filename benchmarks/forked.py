"""Processes that are forked ready-made from a server which has imported all they need, so that a run takes little."""

from __future__ import annotations

import multiprocessing
import multiprocessing.util
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any


def forked_from(script: str, folder: str) -> None:
    """Start the server, with *script* imported: what killed children leave lies in *folder*, numbers take one core."""
    home = Path(__file__).parent
    multiprocessing.util.get_temp_dir()  # its own, which goes when this process goes
    os.environ |= {"TMPDIR": folder, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{home}:{home.parent / 'tests'}"}
    tempfile.tempdir = None
    multiprocessing.set_forkserver_preload([Path(script).stem])
    idle = multiprocessing.get_context("forkserver").Process(target=os.getpid)
    idle.start()
    idle.join()
    del os.environ["PYTHONPATH"]


@contextmanager
def child(work: Callable[..., None], *arguments: Any) -> Iterator[tuple[Any, Connection]]:
    """A process that does *work* with *arguments* and a pipe, and the other end of that; killed at the end."""
    context = multiprocessing.get_context("forkserver")
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(*arguments, theirs))
    process.start()
    theirs.close()
    try:
        yield process, ours
    finally:
        process.kill()
        process.join()
        ours.close()
