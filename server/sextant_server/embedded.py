"""A real Triton, started, watched and stopped from Python."""

from __future__ import annotations

import atexit
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from math import ceil
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING

from sextant.errors import LaunchRefused, ServerError
from sextant_server.address import ServerAddress
from sextant_server.control import ModelState
from sextant_server.failures import UNSAFE_NAME, failures, loadable
from sextant_server.installation import Installation, find_installation
from sextant_server.launch import Launch
from sextant_server.layout import lay_out, sweep_folders
from sextant_server.log import TritonLog
from sextant_server.ports import Ports, choose_ports
from sextant_server.preflight import Machine, foreign, problems, refuse
from sextant_server.running import Running
from sextant_server.shared_memory import new_prefix, sweep_orphans
from sextant_server.store import claim, ensembles, open_store
from sextant_server.tracing import Tracing

if TYPE_CHECKING:
    from typing_extensions import Self

_ATTEMPTS = 5
_POLL_S = 0.02


class EmbeddedTriton:
    """
    A ``tritonserver`` that serves ``<store>/models`` on loopback until the ``with`` block, or this process,
    ends.

    *models* are loaded at start; None means every ensemble in the store, with the models each is made of,
    so that a restart serves what was promoted. After that models are loaded and unloaded on demand, over
    APIs that ask for a random token. A model that does not load keeps no other from being served;
    *failures* says why.

    Ports are free ones where 0. The log goes to *log*, else to ``<store>/triton.log``; the run before is kept
    beside it. *stop_timeout_s* bounds how long requests in flight and models' ``finalize`` are waited for. *trace*
    says where spans of requests go; None makes none.

    For development only: this Triton may lack years of security fixes, and its token is visible in the
    process list.
    """

    def __init__(
        self,
        store: str | os.PathLike[str],
        *,
        models: Iterable[str] | None = None,
        triton_home: str | os.PathLike[str] | None = None,
        http_port: int = 0,
        grpc_port: int = 0,
        metrics_port: int = 0,
        log: str | os.PathLike[str] | None = None,
        start_timeout_s: float = 30.0,
        stop_timeout_s: float = 10.0,
        trace: Tracing | None = None,
    ) -> None:
        self.store = Path(store).absolute()
        self.log = Path(log).absolute() if log is not None else self.store / "triton.log"
        self.start_timeout_s, self.stop_timeout_s = start_timeout_s, stop_timeout_s
        self._asked = None if models is None else tuple(models)
        self.trace, self._triton_home = trace, triton_home
        self._ports = Ports(http=http_port, grpc=grpc_port, metrics=metrics_port)
        self._running: Running | None = None
        self._models: tuple[str, ...] = ()
        self._failures: dict[str, str] = {}
        self._claim: int | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def address(self) -> ServerAddress:
        """Its URLs and token; the same stands in ``<store>/server.json`` while it runs."""
        return self._server.address

    @property
    def models(self) -> tuple[str, ...]:
        """The models asked for at start."""
        return self._models

    @property
    def failures(self) -> Mapping[str, str]:
        """The models asked for at start that did not load, each with the reason."""
        return MappingProxyType(self._failures)

    @property
    def alive(self) -> bool:
        """Whether the server runs; check() also looks at its models."""
        return self._running is not None and self._running.alive

    def start(self) -> Self:
        """
        Start it, and wait until every model asked for is ready or has failed.

        Raises LaunchRefused where this machine cannot run it, ServerDied if it ended by itself, ServerError
        if it was not up in *start_timeout_s*.
        """
        if self._running is not None:
            raise ServerError("this embedded Triton is already running")
        machine, installation = self.require_possible()
        self._claim = claim(open_store(self.store))
        try:
            self._start(machine, installation)
        except BaseException:
            self._release()
            raise
        return self

    def stop(self) -> None:
        """Answer what is in flight, end, and leave nothing behind; nothing if it does not run."""
        if self._running is not None:
            self._running.stop(self.stop_timeout_s)
            self._running = None
            self._release()

    def check(self) -> None:
        """Raise ServerDied if the server, or a Python process of a model it serves, has ended by itself."""
        self._server.check()

    def load(self, model: str) -> None:
        """Load or reload *model* from the store; raises ServerError with Triton's reason in plain words."""
        if not loadable([model]):
            raise ServerError(f"{model!r}: {UNSAFE_NAME}")
        self._server.control.load(model)

    def unload(self, model: str) -> None:
        """Stop serving *model*; what is in flight is answered."""
        self._server.control.unload(model)

    def wait_ready(self, models: Iterable[str] | None = None, *, timeout_s: float = 30.0) -> None:
        """
        Return once *models* (those asked for at start, where None) answer.

        Raises ServerError with the reasons if they do not in *timeout_s*, or as soon as one has failed.
        """
        wanted = self._models if models is None else tuple(models)
        deadline = time.monotonic() + timeout_s
        while unready := self._why_not(wanted, index := self._server.index()):
            self.check()
            if time.monotonic() > deadline or any(state.failed for state in index if state.name in unready):
                raise ServerError("\n".join(f"{model}: {reason}" for model, reason in unready.items()))
            time.sleep(_POLL_S)

    @property
    def _server(self) -> Running:
        if self._running is None:
            raise ServerError("this embedded Triton is not running: start it, or use it in a with block")
        return self._running

    def require_possible(self) -> tuple[Machine, Installation]:
        """Raise LaunchRefused where this machine, or this store's path, cannot have it: start() would too."""
        machine = Machine.here()
        refuse(foreign(machine))
        installation = find_installation(self._triton_home)
        paths = {"the store": self.store, "the Python environment": Path(sys.prefix)}
        paths |= {"tritonserver": installation.home, "the temporary folder": Path(tempfile.gettempdir())}
        refuse(problems(machine, installation, paths))
        return machine, installation

    def _start(self, machine: Machine, installation: Installation) -> None:
        sweep_folders()
        sweep_orphans()
        for _ in range(_ATTEMPTS):
            if self._bring_up(self._prepare(machine, installation)):
                return
        raise LaunchRefused(f"no ports on loopback stayed free in {_ATTEMPTS} attempts: name them")

    def _release(self) -> None:
        """Let go of the store: it may be served by another from here on."""
        atexit.unregister(self.stop)
        if self._claim is not None:
            os.close(self._claim)
            self._claim = None

    def _prepare(self, machine: Machine, installation: Installation) -> Launch:
        """What can be refused is refused here, before anything is started."""
        self._begin_log()
        self._models = ensembles(self.store) if self._asked is None else self._asked
        return Launch(
            installation=installation,
            ports=choose_ports(self._ports),
            backends=lay_out(installation),
            libpython=machine.libpython,
            repository=self.store / "models",
            models=loadable(self._models),
            token=secrets.token_urlsafe(32),
            shm_prefix=new_prefix(),
            exit_timeout_s=ceil(self.stop_timeout_s),
            trace=self.trace,
        )

    def _begin_log(self) -> None:
        try:
            TritonLog(self.log).begin()
        except OSError as error:
            raise LaunchRefused(f"the log {self.log} cannot be written: {error.strerror}") from error

    def _bring_up(self, launch: Launch) -> bool:
        """False if somebody took one of its ports between the choice and the server's start."""
        server = Running(launch, self.store, TritonLog(self.log))
        try:
            if not server.wait_until_up(self.start_timeout_s):
                return False
            self._failures = self._why_not(self._models, server.index())
            server.address.write(self.store)
        except BaseException:  # Ctrl-C included: nothing outlives a start that did not succeed
            server.kill()
            raise
        self._running = server
        atexit.register(self.stop)  # whatever interrupts whoever was to stop it
        return True

    def _why_not(self, models: Iterable[str], index: Sequence[ModelState]) -> dict[str, str]:
        return failures(models, index, repository=self.store / "models", log=TritonLog(self.log).errors())
