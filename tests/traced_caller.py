"""
A caller's program that uses OpenTelemetry, as a process of its own: a process has one tracer provider in its life.

Asked over standard input, a line of JSON a call, it answers with a line: the ids of its own span, and what came of it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager

import numpy as np

from client_doors import DOORS
from sextant.errors import SextantError


class Caller:
    """The process, while a test runs."""

    def __init__(self, process):
        self._process = process

    def __call__(self, door, url, rows, *, timeout_s=30.0, pipeline="locate", sampled=True):
        """Ask *pipeline* at *url* within a span; gives the ids of that span, and the error's name or None."""
        asked = {"door": door, "url": url, "rows": rows.tolist(), "timeout_s": timeout_s, "pipeline": pipeline}
        self._process.stdin.write(json.dumps({**asked, "sampled": sampled}) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


@contextmanager
def calling(receiver_url):
    """A caller whose spans go to *receiver_url*, until the ``with`` block ends."""
    command = [sys.executable, __file__, receiver_url]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        try:
            yield Caller(process)
        finally:
            process.stdin.close()
            process.wait(30)


def main(receiver_url):
    from opentelemetry import trace as api
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

    provider = TracerProvider(resource=Resource.create({"service.name": "caller"}))
    exporter = OTLPSpanExporter(f"{receiver_url}/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=100))
    api.set_tracer_provider(provider)
    tracer = api.get_tracer("caller")
    for line in sys.stdin:
        asked = json.loads(line)
        flags = TraceFlags(TraceFlags.SAMPLED if asked["sampled"] else TraceFlags.DEFAULT)
        trace_id = provider.id_generator.generate_trace_id()
        before = SpanContext(trace_id, 7, is_remote=True, trace_flags=flags)
        with tracer.start_as_current_span("ask", api.set_span_in_context(NonRecordingSpan(before))) as span:
            context, error = span.get_span_context(), call(asked)
        answer = {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}", "error": error}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    provider.shutdown()


def call(asked):
    """The name of the error that the call ends with, or None."""
    rows = np.array(asked["rows"], np.float32)
    try:
        DOORS[asked["door"]](asked["pipeline"], rows, client={"url": asked["url"]}, timeout_s=asked["timeout_s"])
    except SextantError as error:
        return type(error).__name__
    return None


if __name__ == "__main__":
    main(sys.argv[1])
