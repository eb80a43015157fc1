"""
The client in a program that traces, and in one that does not, over functions in place of a server.

Each program is a process of its own: a tracer provider is set once in the life of a process.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import client_doors
from sextant_client import traces

TESTS = Path(__file__).parents[1]

ASKING = """
import json, sys
import numpy as np
from client_doors import DOORS
from sextant import errors
from sextant_client.testing import InMemoryTransport


class Recorded(InMemoryTransport):
    sent = []

    def send(self, request, timeout_s):
        if request.__class__.__name__ == "ModelInfer":
            self.sent.append(dict(request.trace))
        return super().send(request, timeout_s)


def locate(features):
    if np.isnan(features).any():
        raise errors.InputRefused("features", "finite numbers", "nan, which is a secret")
    return {"y": features}


transport = Recorded(locate, inputs={"features": "FP32 [3]"}, max_batch_size=4)


def ask(rows, client=None):
    try:
        DOORS[sys.argv[1]]("locate", rows, client=client or {"transport": transport})
    except errors.SextantError as error:
        return type(error).__name__
"""

UNTRACED = """
ask(np.ones(3))
print(json.dumps([transport.sent, sorted(name for name in sys.modules if "opentelemetry" in name)]))
"""

TRACED = """
import asyncio
from contextlib import suppress

from opentelemetry import trace as api
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState
from sextant_client import AsyncClient

exporter, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
ask(np.ones(3))  # before the program has set its provider
api.set_tracer_provider(provider)


def within(number, sampled, rows, client=None):
    flags = TraceFlags(sampled)
    caller = NonRecordingSpan(SpanContext(number, number, True, flags, TraceState([("shop", "42")])))
    with api.use_span(caller):
        return ask(rows, client)


within(1, True, np.ones((9, 3)))
within(2, False, np.ones(3))
within(3, True, np.full(3, np.nan))
within(4, True, np.ones(2))
within(5, True, np.ones(3), {"url": "http://127.0.0.1:9"})
within(6, True, np.ones((0, 3)))


class Silent(InMemoryTransport):
    async def asend(self, request, timeout_s):
        if request.__class__.__name__ == "ModelInfer":
            asyncio.current_task().cancel()  # as who asked would, while it waits
            await asyncio.sleep(0)
        return self.send(request, timeout_s)


async def give_up():
    transport = Silent(locate, inputs={"features": "FP32 [3]"}, max_batch_size=4)
    async with AsyncClient(transport=transport) as client:
        await client.pipeline("locate")(np.ones(3))


with api.use_span(NonRecordingSpan(SpanContext(7, 7, True, TraceFlags(True)))), suppress(asyncio.CancelledError):
    asyncio.run(give_up())
spans = [json.loads(span.to_json()) for span in exporter.get_finished_spans()]
print(json.dumps([transport.sent, spans]))
"""


def printed(program, door):
    """What *program* prints."""
    command = [sys.executable, "-c", ASKING + program, door]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=TESTS)
    return json.loads(done.stdout)


@pytest.fixture(scope="module", params=client_doors.DOORS)
def heard(request):
    """What headers the server was sent, and the spans by the number of the trace they are in."""
    sent, spans = printed(TRACED, request.param)
    return sent, {int(span["context"]["trace_id"], 16): span for span in spans}


@pytest.mark.parametrize("door", client_doors.DOORS)
def test_a_program_that_does_not_trace_imports_nothing_and_sends_nothing(door):
    """OpenTelemetry is installed here, and not touched."""
    assert printed(UNTRACED, door) == [[{}], []]


def test_a_call_is_a_span_of_the_clients_below_the_callers(heard):
    """It says of what and how much, and is one span for all requests of a batch that was split."""
    _, spans = heard

    assert set(spans) == {1, 3, 4, 5, 6, 7}
    assert spans[1]["name"] == "infer locate"
    assert spans[1]["kind"] == "SpanKind.CLIENT"
    assert spans[1]["parent_id"] == f"0x{1:016x}"
    assert spans[1]["attributes"] == {"sextant.pipeline": "locate", "sextant.rows": 9, "sextant.requests": 3}


def test_each_request_carries_the_span_and_what_the_caller_was_told(heard):
    """W3C's headers: all parts of a batch have the same, and the caller's ``tracestate`` goes along."""
    sent, spans = heard

    context = spans[1]["context"]
    header = f"00-{context['trace_id'][2:]}-{context['span_id'][2:]}-01"
    assert sent[1:4] == [{"traceparent": header, "tracestate": "shop=42"}] * 3


def test_nothing_is_carried_where_nobody_keeps_the_trace(heard):
    """Without a provider there is no span, and in an unsampled trace none that is kept: Triton would trace both."""
    sent, _ = heard

    assert (sent[0], sent[4]) == ({}, {})


@pytest.mark.parametrize(
    ("number", "error"),
    [(3, "RequestRefused"), (4, "RequestRefused"), (5, "ServerUnreachable"), (6, None), (7, "cancelled")],
)
def test_a_span_names_the_error_and_does_not_quote_it(heard, number, error):
    """Refused by the server, refused before it was sent, never arrived, given up; an empty batch is none."""
    _, spans = heard

    span = spans[number]
    assert span["attributes"].get("error.type") == error
    assert span["status"] == ({"status_code": "ERROR", "description": error} if error else {"status_code": "UNSET"})
    assert span["events"] == []
    assert "secret" not in json.dumps(span)


def test_a_span_says_where_it_went(heard):
    """In OpenTelemetry's own words, for HTTP and for gRPC."""
    _, spans = heard

    assert spans[5]["attributes"] | traces.peer("http://127.0.0.1:9") == spans[5]["attributes"]
    assert traces.peer("https://models.example") == {
        "http.request.method": "POST",
        "server.address": "models.example",
        "server.port": 443,
    }
    assert traces.peer("") == {}
