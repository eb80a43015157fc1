"""This process's fork server: started when a child is first wanted, gone with this process."""

from __future__ import annotations

import atexit
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import NamedTuple

from sextant_export.workshop.secrets import without_secrets

# The path comes first: until it is this process's, a file in the working folder could pass for a package.
_PROGRAM = (
    "import sys; sys.path[:] = sys.argv[3:]; from sextant_export.workshop.fork_server import main; "
    "main(int(sys.argv[1]), int(sys.argv[2]))"
)
_STDERR = 2


class Fork(NamedTuple):
    """A child: its *channel*, and the *life* line by which it ends and by which its end is told."""

    channel: Connection
    life: socket.socket


class _Server:
    def __init__(self) -> None:
        self.owner = os.getpid()
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, str(theirs.fileno()), str(self.owner), *import_path()],
                pass_fds=[theirs.fileno()],
                env={**without_secrets(os.environ), "MLFLOW_DISABLE_TELEMETRY": "true"},
                stdin=subprocess.DEVNULL,
                stdout=_STDERR,
                start_new_session=True,
            )

    @property
    def usable(self) -> bool:
        """Whether it is this process's, which may itself be a fork, and still runs."""
        return self.owner == os.getpid() and self.process.poll() is None

    def close(self) -> None:
        """End it, though it may still be importing what nobody needed."""
        self.control.close()
        if self.owner == os.getpid():
            self.process.terminate()
            self.process.wait()


_server: _Server | None = None
_starting = threading.Lock()


def warm() -> None:
    """Start the fork server, if there is none: what it imports then need not be waited for later."""
    _running()


def fork(modules: Sequence[str] = ()) -> Fork:
    """A child of the fork server, which has imported *modules* before."""
    ours, theirs = socket.socketpair()
    life, their_life = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs, their_life:
        descriptors = [theirs.fileno(), their_life.fileno(), _STDERR]
        socket.send_fds(_running().control, [json.dumps(list(modules)).encode()], descriptors)
    return Fork(Connection(ours.detach()), life)


def import_path() -> list[str]:
    """Where this process imports from, wherever another one stands."""
    return [os.path.abspath(entry) for entry in sys.path]  # noqa: PTH100  an empty one is the working folder


def _running() -> _Server:
    global _server  # noqa: PLW0603  there is one for a process
    with _starting:
        if _server is None or not _server.usable:
            if _server is not None:
                _server.control.close()
            _server = _Server()
        return _server


@atexit.register
def _stop() -> None:
    if _server is not None:
        with suppress(OSError):
            _server.close()
