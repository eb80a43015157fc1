"""
What a block did for requests that are traced, as spans of OpenTelemetry's own SDK.

Triton says of each request whether it is traced, and which of its spans stands for the block in that trace: that of the
model, for that of its computing is made after the fact.  Where the server's environment names a receiver, in
OpenTelemetry's standard variables, each traced request gets a span below that one.  A thread of the SDK's sends them in
batches; what cannot be sent is dropped, and nobody waits.  A span holds counts and names: never a value of a tensor,
nor a sentence that may quote one.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from time import monotonic, time_ns
from traceback import format_exc
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import SpanContext

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""Where one of these is set, spans are made, unless one of OpenTelemetry's other variables says no."""

EVERY_S = 60.0
"""How often it is said that spans cannot be sent."""


class Spans:
    """The spans of one block; *facts* stand in each of them."""

    def __init__(self, pb_utils: Any, facts: Mapping[str, str], provider: TracerProvider) -> None:
        self._pb, self._facts, self._provider = pb_utils, facts, provider
        self._tracer = provider.get_tracer("sextant")

    def record(self, begun_ns: int, requests: Sequence[Any], responses: Sequence[Any]) -> None:
        """
        The *requests* of a dynamic batch, taken on at *begun_ns*, have their *responses* now.

        Each that is traced gets a span for the time of the whole batch, for so long was it here; all but the first are
        linked to the first.
        """
        try:
            contexts = [request.trace().get_context() for request in requests]
            if any(contexts):
                self._record(begun_ns, contexts, requests, responses)
        except Exception:  # noqa: BLE001 - the requests are answered, whatever becomes of their traces
            self._pb.Logger.log_error(f"no spans of a batch: {format_exc()}")

    def close(self) -> None:
        """Send what is left, and end."""
        self._provider.shutdown()

    def _record(self, begun_ns: int, contexts: list[Any], requests: Sequence[Any], responses: Sequence[Any]) -> None:
        from opentelemetry.trace import Link
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        ended_ns = time_ns()
        rows = [_rows(request) for request in requests]
        batch = {"sextant.batch.requests": len(requests), "sextant.batch.rows": sum(rows)}
        first: SpanContext | None = None
        for context, own_rows, response in zip(contexts, rows, responses, strict=True):
            if not context:
                continue
            span = self._tracer.start_span(
                f"block {self._facts['sextant.step']}",
                TraceContextTextMapPropagator().extract(json.loads(context)),
                attributes={**self._facts, "sextant.rows": own_rows, **batch},
                links=[Link(first)] if first else None,
                start_time=begun_ns,
            )
            self._judge(span, response)
            span.end(ended_ns)
            first = first or span.get_span_context()

    def _judge(self, span: Any, response: Any) -> None:
        """A refusal is the caller's doing, and no error of the block."""
        from opentelemetry.trace import StatusCode

        refused = response.has_error() and response.error().code() == self._pb.TritonError.INVALID_ARG
        span.set_attribute("sextant.refused", refused)
        if response.has_error() and not refused:
            span.set_attribute("error.type", "INTERNAL")
            span.set_status(StatusCode.ERROR)


def spans(pb_utils: Any, labels: Mapping[str, str]) -> Spans | None:
    """The spans of the block with these *labels*; None where no receiver is named, or the SDK is not installed."""
    if not wanted(os.environ):
        return None
    facts = {f"sextant.{name}": value for name, value in labels.items() if value}
    try:
        return Spans(pb_utils, facts, _provider())
    except ImportError as error:
        pb_utils.Logger.log_warn(f"no spans of blocks: {error}: pip install 'triton-sextant[tracing]'")
    except Exception as error:  # noqa: BLE001 - a Triton without spans still serves
        pb_utils.Logger.log_warn(f"no spans of blocks: {error!r}")
    return None


def wanted(environment: Mapping[str, str]) -> bool:
    """
    Whether *environment* asks for spans.

    >>> wanted({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"})
    True
    >>> wanted({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_TRACES_EXPORTER": "none"})
    False
    """
    disabled = environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    exporter = environment.get("OTEL_TRACES_EXPORTER", "").strip() or "otlp"
    return exporter == "otlp" and not disabled and any(environment.get(name) for name in ENDPOINTS)


def _provider() -> TracerProvider:
    """OpenTelemetry's SDK as its variables tell it, and sampling what Triton samples."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased

    logging.getLogger("opentelemetry").addHandler(_seldom())
    provider = TracerProvider(sampler=ParentBased(ALWAYS_OFF))  # ended with the process, at the latest
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


def _seldom() -> logging.Handler:
    """
    What the SDK has to say, on standard error, which is in Triton's log.

    Triton's own logger is not there any more when the last spans are sent.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("spans of a block are not sent: %(message)s"))
    handler.addFilter(_Seldom())
    return handler


class _Seldom(logging.Filter):
    """Lets a line through a minute: a receiver that is away is no reason to fill the log."""

    def __init__(self) -> None:
        super().__init__()
        self._last_s = -EVERY_S

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002 - whatever it says
        due = monotonic() - self._last_s >= EVERY_S
        if due:
            self._last_s = monotonic()
        return due


def _rows(request: Any) -> int:
    tensor = next(iter(request.inputs()), None)
    return 0 if tensor is None else len(tensor.as_numpy())
