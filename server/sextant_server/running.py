"""One server that was started: waited for, checked, stopped, and cleared away without a trace."""

from __future__ import annotations

import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

from sextant.errors import ServerDied, ServerError, ServerUnreachable
from sextant_server import shared_memory, stubs
from sextant_server.address import TOKEN_HEADER, ServerAddress, remove_address
from sextant_server.control import Control, ModelState
from sextant_server.launch import Launch
from sextant_server.log import TritonLog
from sextant_server.ports import LOOPBACK, callers, listened_to
from sextant_server.process import ServerProcess, uninterrupted

_POLL_S = 0.01
# Triton calls itself drained when its core is; the last answers may still be on their way to the socket.
_LAST_ANSWERS_S = 0.1
# How long the kernel may take to tell of a process's end after its sockets closed.
_END_S = 1.0


class Running:
    """The server that *launch* describes, from its first moment to its last."""

    def __init__(self, launch: Launch, store: Path, log: TritonLog) -> None:
        self._launch, self._store, self._log = launch, store, log
        self._process = ServerProcess(launch.command(), launch.environment(), log.path, on_end=self._clear)
        self.control = Control(launch.ports.http, launch.token)
        self.address = ServerAddress(
            grpc=f"grpc://{LOOPBACK}:{launch.ports.grpc}",
            http=f"http://{LOOPBACK}:{launch.ports.http}",
            metrics=f"http://{LOOPBACK}:{launch.ports.metrics}",
            token=launch.token,
            header=TOKEN_HEADER,
            pid=self._process.pid,
        )

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.exit_code is None

    def wait_until_up(self, timeout_s: float) -> bool:
        """
        True once it has tried to load its models and answers; False if somebody else took one of its ports.

        Raises ServerDied if it ended otherwise, ServerError if it is not up in *timeout_s*.
        """
        deadline = time.monotonic() + timeout_s
        while not self._answers():
            if self._process.wait(_POLL_S):
                return self._came_up_short()
            if time.monotonic() > deadline:
                raise ServerError(f"tritonserver was not up in {timeout_s:g} s\n{self._log.last_errors()}")
        return True

    def index(self) -> list[ModelState]:
        """Every model the server knows, one entry a version; raises ServerDied if the server has ended."""
        try:
            return self.control.index()
        except ServerUnreachable:
            if self._process.wait(_END_S):
                raise self._death() from None
            raise

    def check(self) -> None:
        """Raise ServerDied if the server has ended, or a Python process of a model it still calls ready."""
        if self._process.exit_code is not None:
            raise self._death()
        # A model loaded or unloaded between the two looks is no dead one: only what is missing twice is.
        if self._dead_instances() and (dead := self._dead_instances()):
            model, instances = next(iter(dead.items()))
            raise ServerDied(
                f"model '{model}': its Python process {', '.join(instances)} has ended, and Triton does not "
                f"start it again: unload and load the model\n{self._log.last_errors()}"
            )

    def kill(self) -> None:
        """End it now."""
        self._process.kill()

    def stop(self, timeout_s: float) -> None:
        """Answer what is in flight, let models finalize, and end: by force after *timeout_s*, or on Ctrl-C."""
        deadline = time.monotonic() + timeout_s
        with uninterrupted() as interrupted:
            try:
                self._process.drain()
                while not (self._process.wait(_POLL_S) or self._done() or interrupted()):
                    if time.monotonic() > deadline:
                        break
                self._process.wait(_LAST_ANSWERS_S)
            finally:
                self._process.kill()

    def _answers(self) -> bool:
        """Asked with the token: another server may have come to live on the port that was free."""
        try:
            self.control.index()
        except (ServerError, ServerUnreachable):
            return False
        return listened_to(self._launch.ports.metrics)  # which Triton opens last

    def _came_up_short(self) -> bool:
        if not self._log.port_taken:
            raise self._death()
        return False

    def _death(self) -> ServerDied:
        code = self._process.exit_code or 0
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended by itself with code {code}"
        return ServerDied(f"tritonserver {how}\n{self._log.last_errors()}")

    def _dead_instances(self) -> dict[str, list[str]]:
        expected, living = self._expected(), stubs.living_stubs(self._process.pid)
        missing = {model: stubs.missing(names, living) for model, names in expected.items()}
        return {model: names for model, names in missing.items() if names}

    def _expected(self) -> dict[str, Counter[str]]:
        """For every model that is ready and runs in Python processes, how many of each name."""
        versions = Counter(state.name for state in self.index() if state.ready)
        configs = {model: self._config(model) for model in versions}
        served = [(config, versions[model]) for model, config in configs.items() if config]
        return stubs.expected(served, self._launch.backends.runs_in_stub)

    def _config(self, model: str) -> dict[str, Any] | None:
        """None if *model* was unloaded since it was seen ready."""
        try:
            return self.control.config(model)
        except ServerError:
            return None

    def _done(self) -> bool:
        """
        Whether nothing would be lost by ending the server now.

        Left alone, Triton takes a second for each Python process and two more for itself.
        """
        if self._launch.trace or not self._log.drained:  # spans are sent as the processes end by themselves
            return False
        pid = self._process.pid
        unheard = not callers(pid, self._launch.ports) and not stubs.finalizing(stubs.living_stubs(pid))
        return unheard or self._log.unloaded

    def _clear(self) -> None:
        shared_memory.sweep(self._launch.shm_prefix)
        self._launch.backends.remove()
        remove_address(self._store, self._launch.token)
