"""One tritonserver process in a session of its own, watched by a thread until it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path

_TRAMPOLINE = Path(__file__).with_name("trampoline.py")


class ServerProcess:
    """
    A running server; *on_end* is called once, when it has ended and its stubs are gone.

    It has its own session, so that Ctrl-C in the terminal reaches the launcher alone, which then drains it.
    It ends with this process: the kernel sends it SIGTERM when the *thread* that started it ends, so that
    thread is one that does nothing but wait for it.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], log: Path, on_end: Callable[[], None]
    ) -> None:
        started: Future[subprocess.Popen[bytes]] = Future()
        self._keeper = threading.Thread(
            target=_keep, args=(command, environment, log, on_end, started), name="tritonserver", daemon=True
        )
        self._keeper.start()
        self._process = started.result()

    @property
    def pid(self) -> int:
        """The server's process id, which is also its process group's."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; minus the signal's number if one ended it."""
        return None if self._keeper.is_alive() else self._process.returncode

    def drain(self) -> None:
        """Ask it to refuse new requests, finish those in flight, and end."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """End it and its stubs now, and wait until everything is cleared away; Ctrl-C waits for that too."""
        with uninterrupted():
            with suppress(ProcessLookupError):
                if self._process.returncode is None:
                    os.killpg(self.pid, signal.SIGKILL)
            self._keeper.join()

    def wait(self, timeout_s: float) -> bool:
        """Whether it has ended, after *timeout_s* at most."""
        self._keeper.join(timeout_s)
        return not self._keeper.is_alive()


@contextmanager
def uninterrupted() -> Iterator[Callable[[], bool]]:
    """
    Ctrl-C counts when the ``with`` block has ended, so that nothing is left half ended.

    Gives a question: has there been one?
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: came.append(number))
    try:
        yield lambda: bool(came)
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        signal.raise_signal(signal.SIGINT)


def _keep(
    command: Sequence[str],
    environment: Mapping[str, str],
    log: Path,
    on_end: Callable[[], None],
    started: Future[subprocess.Popen[bytes]],
) -> None:
    try:
        process = _start(command, environment, log)
    except OSError as error:
        on_end()
        started.set_exception(error)
        return
    started.set_result(process)
    process.wait()
    with suppress(ProcessLookupError):  # stubs, if it left any
        os.killpg(process.pid, signal.SIGKILL)
    on_end()


def _start(command: Sequence[str], environment: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    trampoline = [sys.executable, "-I", "-S", str(_TRAMPOLINE), str(os.getpid())]
    with log.open("ab") as output:
        return subprocess.Popen(
            [*trampoline, *command],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
