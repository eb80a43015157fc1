"""
The fork server: a process that has imported what exports need, and forks a child for each of them.

It runs no model's code. It is told by one datagram for each child, with three descriptors: the channel on which the
child works, its *life line*, and where it may write. When the other end of a life line closes, the child's process
group is killed; when the child ends, the life line says how. When the process that started the server ends, however it
does, so does the server, and every child with it.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
from contextlib import suppress
from typing import Any

PRELOADED = (
    "pandas",
    "mlflow.pyfunc",
    "mlflow.sklearn",
    "sklearn.ensemble",
    "sklearn.neighbors",
    "skl2onnx",
    "sextant_export.work",
)
_DATAGRAM = 1 << 16
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


class ForkServer:
    """Forks on demand until *parent* ends or closes *control*."""

    def __init__(self, control: socket.socket, parent: int) -> None:
        self._control = control
        self._watched = selectors.DefaultSelector()
        self._watched.register(control, selectors.EVENT_READ, self._asked)
        self._watched.register(os.pidfd_open(parent), selectors.EVENT_READ, self._end)
        self._children: dict[int, tuple[socket.socket, int]] = {}

    def run(self) -> None:
        """Serve for ever, or until told to stop."""
        signal.signal(signal.SIGTERM, lambda *_: self._end())
        while True:
            for key, _ in self._watched.select():
                key.data()

    def _asked(self) -> None:
        message, descriptors, _, _ = socket.recv_fds(self._control, _DATAGRAM, 3)
        if not message:
            self._end()
        for module in json.loads(message):
            _load(module)
        channel, life, stderr = descriptors
        server = os.getpid()
        if (child := os.fork()) == 0:
            self._become_child(server, channel, life, stderr)
        os.close(channel)
        os.close(stderr)
        with suppress(OSError):  # it does the same itself: whoever is first
            os.setpgid(child, child)
        self._watch(child, socket.socket(fileno=life))

    def _become_child(self, server: int, channel: int, life: int, stderr: int) -> None:
        """Never returns."""
        code = 1
        try:
            os.setpgid(0, 0)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != server:
                os._exit(1)
            self._forget(life)
            _direct(stderr)
            from sextant_export.workshop.child import work

            work(channel)
            code = 0
        finally:
            os._exit(code)

    def _forget(self, own_life: int) -> None:
        """Close what is the server's alone, the life lines of other children above all."""
        self._watched.close()
        self._control.close()
        os.close(own_life)
        for life, process in self._children.values():
            life.close()
            os.close(process)

    def _watch(self, child: int, life: socket.socket) -> None:
        process = os.pidfd_open(child)
        self._children[child] = life, process
        self._watched.register(life, selectors.EVENT_READ, lambda: self._kill(child))
        self._watched.register(process, selectors.EVENT_READ, lambda: self._ended(child))

    def _kill(self, child: int) -> None:
        """The other end has let go: the child goes, and is reaped as any."""
        if child in self._children:
            life, _ = self._children[child]
            self._watched.unregister(life)
            _kill_group(child)

    def _ended(self, child: int) -> None:
        life, process = self._children.pop(child)
        for watched in (life, process):
            with suppress(KeyError):
                self._watched.unregister(watched)
        _kill_group(child)  # before its number is free again
        _, status, used = os.wait4(child, 0)
        with suppress(OSError):
            life.send(json.dumps(_told(status, used)).encode())
        life.close()
        os.close(process)

    def _end(self) -> None:
        for child in self._children:
            _kill_group(child)
        os._exit(0)


def main(control: int, parent: int) -> None:
    """Serve the process *parent* on the socket *control*."""
    if os.getppid() != parent:
        return
    for module in PRELOADED:
        _load(module)
    gc.freeze()
    ForkServer(socket.socket(fileno=control), parent).run()


def _load(module: str) -> None:
    """What cannot be imported is missed where it is needed, in words."""
    from sextant_export.mlflow_calls import quiet

    with quiet("mlflow"), suppress(Exception):
        importlib.import_module(module)


def _kill_group(child: int) -> None:
    """What it started, unless that has made itself a group of its own."""
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)


def _direct(stderr: int) -> None:
    """What a model prints goes where errors go: the other stream belongs to the command's result."""
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123
        os.dup2(nothing.fileno(), 0)
    for standard in (1, 2):
        os.dup2(stderr, standard)
    os.close(stderr)


def _told(status: int, used: Any) -> dict[str, Any]:
    return {
        "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0,
        "code": os.WEXITSTATUS(status) if os.WIFEXITED(status) else 0,
        "cpu_s": used.ru_utime + used.ru_stime,
        "peak_bytes": used.ru_maxrss * 1024,
    }


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
