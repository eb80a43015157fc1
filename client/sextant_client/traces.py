"""
A call in its caller's trace: a span of the client's own, and what tells the server where in the trace it stands.

Nothing of OpenTelemetry is imported here. A program that traces has imported ``opentelemetry.trace`` itself, and a
program that has not is neither traced nor made to wait for an import.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .address import parse
from .transport import ModelInfer

if TYPE_CHECKING:
    from typing_extensions import Self

Peer = Mapping[str, str | int]
"""Where requests go and in which protocol, as attributes of a span."""

CANCELLED = "cancelled"
"""The error of a call that its caller gave up: nothing was raised to the call itself."""


def peer(url: str) -> Peer:
    """
    OpenTelemetry's attributes of requests to *url*; none where it is empty, for a transport of the caller's own.

    >>> peer("grpc://127.0.0.1:8001")["rpc.method"]
    'inference.GRPCInferenceService/ModelInfer'
    """
    if not url:
        return {}
    address = parse(url)
    server: dict[str, str | int] = {"server.address": address.host, "server.port": address.port}
    if address.over_http:
        return {"http.request.method": "POST", **server}
    return {"rpc.system.name": "grpc", "rpc.method": "inference.GRPCInferenceService/ModelInfer", **server}


class Untraced:
    """One call of *model*, for a program that does not trace: nothing happens."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def carried(self, requests: Iterable[ModelInfer], rows: int) -> list[ModelInfer]:  # noqa: ARG002
        """The *requests* of a call for so many *rows*, as they are to be sent."""
        return list(requests)


class Traced(Untraced):
    """One call of *model* as a span of the client's, the child of whatever span is current."""

    def __init__(self, api: Any, model: str, peer: Peer) -> None:
        self._api = api
        attributes = {"sextant.pipeline": model, **peer}
        self._span = _tracer(api).start_span(f"infer {model}", kind=api.SpanKind.CLIENT, attributes=attributes)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the span. What went wrong is told by its name alone: the sentence may quote what the caller sent."""
        if kind is not None:
            name = CANCELLED if kind is GeneratorExit else kind.__name__
            self._span.set_attribute("error.type", name)
            self._span.set_status(self._api.StatusCode.ERROR, name)
        self._span.end()

    def carried(self, requests: Iterable[ModelInfer], rows: int) -> list[ModelInfer]:
        """
        The *requests* with W3C's headers, where the span is sampled.

        Triton traces whatever comes with a ``traceparent``, even one that says that nobody keeps the trace.
        """
        sent = list(requests)
        self._span.set_attributes({"sextant.rows": rows, "sextant.requests": len(sent)})
        if not self._span.get_span_context().trace_flags.sampled:
            return sent
        headers = _headers(self._api, self._span)
        return [replace(request, trace=headers) for request in sent]


_UNTRACED = Untraced()


def call(model: str, peer: Peer) -> Untraced:
    """A call of *model* at *peer*, to be made in a ``with`` block; traced where the program uses OpenTelemetry."""
    if sys.modules.get("opentelemetry.trace") is None:
        return _UNTRACED
    from opentelemetry import trace  # another thread may be importing it just now: this waits until it is whole

    return Traced(trace, model, peer)


@cache
def _tracer(api: Any) -> Any:
    return api.get_tracer("sextant_client")


def _headers(api: Any, span: Any) -> tuple[tuple[str, str], ...]:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier, api.set_span_in_context(span))
    return tuple(carrier.items())
