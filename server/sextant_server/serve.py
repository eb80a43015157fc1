"""What ``sextant serve`` does: a store, served until somebody says stop."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

from sextant.errors import ServerDied
from sextant_server.embedded import EmbeddedTriton
from sextant_server.installation import Installation, find_installation
from sextant_server.ports import Ports, usual_or_free
from sextant_server.tracing import Tracing

_CHECK_EVERY_S = 1.0


def serve(
    store: str | os.PathLike[str],
    *,
    models: Iterable[str] | None = None,
    triton_home: str | os.PathLike[str] | None = None,
    http_port: int = 0,
    grpc_port: int = 0,
    metrics_port: int = 0,
    log: str | os.PathLike[str] | None = None,
    start_timeout_s: float = 30.0,
    trace: Tracing | None = None,
    tell: Callable[[str], None] = print,
) -> None:
    """
    Serve *store* until Ctrl-C or SIGTERM; then answer what is in flight, and stop.

    A port that is 0 becomes Triton's usual one (8000, 8001, 8002) where that is free, else any that is.

    *tell* is given each line for the reader: the address once it answers, each model that did not load,
    each model whose Python process ended. A second Ctrl-C stops without waiting. To be called from the main
    thread, for it listens to signals. Raises as EmbeddedTriton does; ServerDied if the server ends by
    itself.
    """
    ports = usual_or_free(Ports(http_port, grpc_port, metrics_port))
    triton = EmbeddedTriton(
        store,
        models=models,
        triton_home=triton_home,
        http_port=ports.http,
        grpc_port=ports.grpc,
        metrics_port=ports.metrics,
        log=log,
        start_timeout_s=start_timeout_s,
        trace=trace,
    )
    with _asked_to_stop() as stop, triton:
        for line in _greeting(triton, find_installation(triton_home)):
            tell(line)
        _watch(triton, stop, tell)
        tell("finishing what is in flight ...")
    tell("stopped")


def _greeting(triton: EmbeddedTriton, installation: Installation) -> Iterator[str]:
    address = triton.address
    served = [model for model in triton.models if model not in triton.failures]
    yield f"grpc     {address.grpc}"
    yield f"http     {address.http}"
    yield f"metrics  {address.metrics}/metrics"
    yield f"log      {triton.log}"
    if triton.trace:
        yield f"traces   {triton.trace}"
        if not installation.traces_safely:
            yield "         this Triton may end after some thousands of traced requests: docs/traces.md"
    yield f"serving  {', '.join(served) or 'nothing yet: promote a pipeline'}"
    for model, reason in triton.failures.items():
        yield f"NOT served: {model}: {reason}"
    yield "For development on this machine only. Ctrl-C stops it."


def _watch(triton: EmbeddedTriton, stop: threading.Event, tell: Callable[[str], None]) -> None:
    """A dead server ends the watch; a dead model is told of once, and the others are served on."""
    told: set[str] = set()
    while not stop.wait(_CHECK_EVERY_S):
        sentence = _dead_model(triton)
        if sentence and sentence not in told:
            told.add(sentence)
            tell(sentence)


def _dead_model(triton: EmbeddedTriton) -> str | None:
    try:
        triton.check()
    except ServerDied as death:
        if not triton.alive:
            raise
        return str(death).partition("\n")[0]
    return None


@contextmanager
def _asked_to_stop() -> Iterator[threading.Event]:
    """Set by the first SIGINT or SIGTERM; the second does what it always did."""
    stop = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(_number: int, _frame: FrameType | None) -> None:
        stop.set()
        restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in before:
        signal.signal(number, ask)
    try:
        yield stop
    finally:
        restore()
