"""Spans of blocks, by OpenTelemetry's own SDK, over a stand-in for Triton."""

from __future__ import annotations

import json
import logging
import sys

import numpy as np
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import StatusCode

import fake_pb_utils
from sextant.spans import ENDPOINTS, Spans, spans, wanted

FACTS = {"sextant.pipeline": "locate", "sextant.step": "scale", "sextant.release": "7"}
LABELS = {"pipeline": "locate", "step": "scale", "release": "7"}
FINE, REFUSED, FAILED = None, fake_pb_utils.TritonError.INVALID_ARG, fake_pb_utils.TritonError.INTERNAL


class Request(fake_pb_utils.InferenceRequest):
    """A request of *rows* rows, in the trace *number* where it is in one."""

    def __init__(self, rows, number=None, context=None):
        super().__init__({"features": np.zeros((rows, 3), np.float32)})
        self._context = context or (number and json.dumps({"traceparent": f"00-{number:032x}-{number:016x}-01"}))

    def trace(self):
        return self

    def get_context(self):
        return self._context


class Response:
    """One that is an error of this *code*, or none."""

    def __init__(self, code=FINE):
        self._code = code

    def has_error(self):
        return self._code is not FINE

    def error(self):
        return fake_pb_utils.TritonError("features: expected finite numbers, got nan", self._code)


class Kept:
    """A provider whose spans are kept at hand."""

    def __init__(self):
        self.exporter, self.provider = InMemorySpanExporter(), TracerProvider(ParentBased(ALWAYS_OFF))
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.spans = Spans(fake_pb_utils, FACTS, self.provider)

    def record(self, requests, codes=()):
        answers = [Response(code) for code in codes] or [Response() for _ in requests]
        self.spans.record(1_000, requests, answers)
        return self.exporter.get_finished_spans()


@pytest.fixture
def kept():
    return Kept()


@pytest.fixture
def log():
    fake_pb_utils.Logger.lines.clear()
    return fake_pb_utils.Logger.lines


def test_a_span_is_below_the_one_that_triton_names(kept):
    """Of the trace and the parent that the context says, for the time since the batch was taken on."""
    (span,) = kept.record([Request(2, number=5)])

    assert (span.name, span.context.trace_id, span.parent.span_id) == ("block scale", 5, 5)
    assert span.start_time == 1_000 < span.end_time
    assert span.attributes == {
        **FACTS,
        "sextant.rows": 2,
        "sextant.batch.requests": 1,
        "sextant.batch.rows": 2,
        "sextant.refused": False,
    }


def test_of_a_batch_each_traced_request_has_its_own_span_and_the_others_none(kept):
    """Each says its own rows and the whole batch's, and is linked to the first of them, which has the call."""
    first, second, third = kept.record([Request(1), Request(2, 5), Request(3), Request(4, 6), Request(5, 7)])

    assert [span.context.trace_id for span in (first, second, third)] == [5, 6, 7]
    assert [span.attributes["sextant.rows"] for span in (first, second, third)] == [2, 4, 5]
    assert {span.attributes["sextant.batch.requests"] for span in (first, second, third)} == {5}
    assert {span.attributes["sextant.batch.rows"] for span in (first, second, third)} == {15}
    assert [[link.context for link in span.links] for span in (first, second, third)] == [
        [],
        [first.context],
        [first.context],
    ]


def test_a_refusal_is_no_error_of_the_block_and_a_bug_is(kept):
    """And neither says more than its kind: a sentence may quote what the caller sent."""
    fine, refused, failed = kept.record([Request(1, n) for n in (1, 2, 3)], [FINE, REFUSED, FAILED])

    assert [span.attributes["sextant.refused"] for span in (fine, refused, failed)] == [False, True, False]
    assert [span.status.status_code for span in (fine, refused, failed)] == [
        StatusCode.UNSET,
        StatusCode.UNSET,
        StatusCode.ERROR,
    ]
    assert failed.attributes["error.type"] == "INTERNAL"
    assert "nan" not in "".join(span.to_json() for span in (fine, refused, failed))


def test_a_batch_that_nobody_traces_leaves_no_span_and_is_not_looked_at(kept):
    """Requests are asked for their context, and for nothing else."""
    untraced = Request(1)
    untraced.inputs = None

    assert kept.record([untraced]) == ()


@pytest.mark.parametrize("context", ["no JSON", "[]", '{"traceparent": "00-zz-zz-01"}', "{}"])
def test_a_context_that_cannot_be_read_costs_a_span_and_no_answer(kept, log, context):
    """What Triton says in another version may differ; requests are answered all the same."""
    assert kept.record([Request(1, context=context)]) == ()
    assert len(log) <= 1


def test_without_the_sdk_there_are_no_spans_and_one_line_that_says_how_to_have_them(monkeypatch, log):
    """A Triton whose Python has no OpenTelemetry serves on."""
    monkeypatch.setenv(ENDPOINTS[0], "http://127.0.0.1:9/v1/traces")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)

    assert spans(fake_pb_utils, LABELS) is None
    assert len(log) == 1
    assert "pip install 'triton-sextant[tracing]'" in log[0]


def test_without_a_receiver_nothing_of_opentelemetry_is_imported(monkeypatch):
    """The SDK is a quarter of a second and 10 MB in each process."""
    for name in ENDPOINTS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)

    assert spans(fake_pb_utils, LABELS) is None


def test_a_receiver_that_is_away_is_a_line_a_minute(monkeypatch, capsys):
    """On standard error, which is in Triton's log; the SDK says it for each sending."""
    monkeypatch.setenv(ENDPOINTS[0], "http://127.0.0.1:9/v1/traces")
    logger = logging.getLogger("opentelemetry")
    monkeypatch.setattr(logger, "handlers", [])

    made = spans(fake_pb_utils, LABELS)
    for _ in range(3):
        logger.warning("away")
    made.close()

    assert capsys.readouterr().err == "spans of a block are not sent: away\n"


@pytest.mark.parametrize(
    ("variables", "asked"),
    [
        ({}, False),
        ({ENDPOINTS[0]: "http://a"}, True),
        ({ENDPOINTS[1]: "http://a"}, True),
        ({ENDPOINTS[1]: ""}, False),
        ({ENDPOINTS[1]: "http://a", "OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({ENDPOINTS[1]: "http://a", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({ENDPOINTS[1]: "http://a", "OTEL_SDK_DISABLED": "TRUE"}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, False),
    ],
)
def test_opentelemetrys_variables_are_heeded(variables, asked):
    """As in any program that OpenTelemetry's SDK is in, but that it must be told where to."""
    assert wanted(variables) is asked
