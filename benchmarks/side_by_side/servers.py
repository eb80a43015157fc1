"""A peer's processes: started, waited for, and all of them ended."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

START_S, STOP_S = 120, 5


class NotServing(Exception):
    """Why a server does not answer, in the last words of its log."""


class Ended(NotServing):
    """It gave up by itself; another time it may not."""


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def serving(
    command: Sequence[str], settings: Mapping[str, str], log: Path, folder: Path, answers: Callable[[], bool]
) -> Iterator[int]:
    """*command* runs in *folder* until the ``with`` block ends; gives its process. NotServing if it never *answers*."""
    with log.open("wb") as written:
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **settings}, stdout=written, stderr=written, start_new_session=True
        )
    try:
        _wait(process, log, answers)
        yield process.pid
    finally:
        _end(process)


def _wait(process: subprocess.Popen[bytes], log: Path, answers: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < deadline:
        if answers():
            return
        time.sleep(0.2)
    said = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if len(line.split()) > 1]
    last = said[-1].strip() if said else "it said nothing"
    if process.poll() is not None:
        raise Ended(f"it ended: {last}")
    raise NotServing(f"it did not answer in {START_S} s: {last}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask it and what it started to end, then make them."""
    family = [psutil.Process(process.pid)] if process.poll() is None else []
    family += [child for parent in list(family) for child in parent.children(recursive=True)]
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    _, alive = psutil.wait_procs(family, timeout=STOP_S)
    for survivor in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            survivor.kill()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # what was started after we looked
    process.wait()
