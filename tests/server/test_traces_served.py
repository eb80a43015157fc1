"""Spans of a real Triton and of a block in it: which requests have them, and what becomes of them."""

from __future__ import annotations

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest

from embedded_calls import posted
from otlp_receiver import receiving
from served_blocks import copy_committed
from sextant.blocks import Scale
from sextant_export.config import block_config, write_config
from sextant_export.pipeline import Serving
from sextant_server import EmbeddedTriton, Tracing

pytestmark = pytest.mark.server

MODEL, WIDTH, WAITS_US = "shop.scale", 3, 400_000


@pytest.fixture(scope="module")
def receiver():
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def store(tmp_path):
    """A block that waits for others to answer together with."""
    place = copy_committed("scale", tmp_path / "models" / MODEL)
    (place / "1" / "parameters.json").write_text(json.dumps({"width": WIDTH}))
    config = block_config(MODEL, Scale({"width": WIDTH}), Serving(max_batch_size=8), [1])
    config.dynamic_batching.max_queue_delay_microseconds = WAITS_US
    config.dynamic_batching.preferred_batch_size.append(8)
    write_config(config, place / "config.pbtxt")
    return tmp_path


@contextmanager
def serving(store, tracing, **how):
    """
    A Triton on *store*, and a question to its block: so many rows, in the trace of that number if any.

    It is asked over HTTP: over gRPC the embedded Triton overlooks some traces (docs/traces.md).
    """
    with EmbeddedTriton(store, models=[MODEL], trace=tracing, **how) as triton:

        def ask(rows, number=None):
            headers = {"traceparent": f"00-{number:032x}-{number:016x}-01"} if number else {}
            features = np.ones((rows, WIDTH), np.float32)
            return posted(triton.address.http, MODEL, {"features": features}, headers=headers, timeout_s=5)["scaled"]

        yield ask


def of_trace(spans, number):
    return [span for span in spans if span["trace_id"] == f"{number:032x}"]


def test_a_batch_is_a_span_in_the_trace_of_each_of_its_requests_and_all_are_sent_at_the_end(
    store, receiver, monkeypatch
):
    """Two of three are traced, and the second is linked to the first; a stop sends what an hour's delay would keep."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000")

    with serving(store, Tracing(receiver.url, rate=0)) as ask, ThreadPoolExecutor(3) as callers:
        answered = [callers.submit(ask, rows, number) for rows, number in ((1, 0xA), (2, None), (5, 0xB))]
        assert [len(one.result()) for one in answered] == [1, 2, 5]

    spans = [span for number in (0xA, 0xB) for span in of_trace(receiver.spans(), number)]
    blocks = {span["attributes"]["sextant.rows"]: span for span in spans if span["name"] == "block scale"}
    assert len(spans) == 8
    assert set(blocks) == {1, 5}
    assert {block["attributes"]["sextant.batch.requests"] for block in blocks.values()} == {3}
    assert {block["attributes"]["sextant.batch.rows"] for block in blocks.values()} == {8}
    assert len({(block["begin"], block["end"]) for block in blocks.values()}) == 1
    first, second = sorted(blocks.values(), key=lambda block: len(block["links"]))
    assert (first["links"], second["links"]) == ([], [[first["trace_id"], first["span_id"]]])


def test_of_requests_that_nobody_traces_one_in_so_many_is(store, receiver, monkeypatch):
    """Half of them here, each in a trace of its own; one whose caller traces it is traced besides."""
    before = len(receiver.spans())

    with serving(store, Tracing(receiver.url, rate=0.5, service="half")) as ask, ThreadPoolExecutor(8) as callers:
        assert sum(map(len, callers.map(ask, [1] * 8))) == 8
        ask(8, 0xC)

    spans = receiver.spans()[before:]
    assert {span["service"] for span in spans} == {"half"}
    assert len(of_trace(spans, 0xC)) == 4
    assert len(spans) == 4 * 4 + 4
    assert len({span["trace_id"] for span in spans}) == 5


@pytest.mark.parametrize("listening", [False, True], ids=["nobody there", "no answer"])
def test_a_receiver_that_is_away_keeps_nobody_waiting(store, listening):
    """Every request is answered within its time, and the server ends."""
    with socket.create_server(("127.0.0.1", 0)) as hole:
        port = hole.getsockname()[1]
        if not listening:
            hole.close()

        with serving(store, Tracing(f"http://127.0.0.1:{port}", rate=1), stop_timeout_s=8) as ask:
            answered = [len(ask(8)) for _ in range(300)]

    assert answered == [8] * 300


def test_without_a_receiver_there_are_no_spans(store, receiver):
    """Nothing is traced that nobody asked for, whatever callers send."""
    with serving(store, None) as ask:
        assert len(ask(8, 0xD)) == 8

    assert of_trace(receiver.spans(), 0xD) == []
