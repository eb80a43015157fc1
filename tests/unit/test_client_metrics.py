"""What a client counts of its calls, and how it asks again: the same for threads and on an event loop."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

import client_doors
from sextant import errors
from sextant_client import AsyncClient, Client, ClientMetrics
from sextant_client.testing import InMemoryTransport
from sextant_client.transport import ModelInfer

INPUTS = {"x": "FP32 [3]"}
BUSY, AWAY = errors.ServerBusy("its queue is full"), errors.ServerUnreachable("nothing answers")


def double(x):
    return {"doubled": 2 * x}


class Shaky(InMemoryTransport):
    """Fails with each of *failures* before it answers; *sent* are the requests of a model that came."""

    def __init__(self, *failures):
        super().__init__(double, inputs=INPUTS)
        self.failures, self.sent = list(failures), 0

    def send(self, request, timeout_s):
        if isinstance(request, ModelInfer):
            self.sent += 1
            if self.failures:
                raise self.failures.pop(0)
        return super().send(request, timeout_s)


@pytest.fixture(params=client_doors.DOORS)
def door(request):
    return client_doors.DOORS[request.param]


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    """Pauses that nobody has to wait for."""
    monkeypatch.setattr("sextant_client.retrying.FIRST_S", 1e-6)


def test_a_page_says_large_counts_to_the_last_digit():
    """Prometheus takes differences: a count that is rounded stands still, and then leaps."""
    metrics = ClientMetrics()
    for _ in range(1_000_001):
        metrics.retried("double")

    assert 'sextant_client_retries_total{pipeline="double"} 1000001\n' in str(metrics)


def test_calls_are_counted_by_pipeline_and_errors_by_class(door):
    metrics = ClientMetrics()
    client = {"transport": Shaky(BUSY), "metrics": metrics}

    with pytest.raises(errors.ServerBusy):
        door("double", [1, 2, 3], client=client)
    door("double", [1, 2, 3], client=client)
    door("double", [1, 2, 3], client=client, method="tensors")
    with pytest.raises(errors.RequestRefused):
        door("double", [1, 2], client=client)
    with pytest.raises(errors.ModelNotReady):
        door("triple", [1, 2, 3], client=client)

    said = metrics["double"]
    assert list(metrics) == ["double", "triple"]
    assert (said.requests, said.answered, said.retries) == (4, 2, 0)
    assert said.errors == {"RequestRefused": 1, "ServerBusy": 1}
    assert metrics["triple"].errors == {"ModelNotReady": 1}
    assert 0 < said.seconds < 100
    assert 0 < said.quantile_s(0.5) <= said.quantile_s(1.0)


def test_what_was_never_asked_is_all_zero():
    said = ClientMetrics()["double"]

    assert (said.requests, said.errors, said.retries, said.seconds) == (0, {}, 0, 0.0)
    assert np.isnan(said.quantile_s(0.5))


def test_threads_and_clients_that_share_it_lose_no_count():
    metrics = ClientMetrics()
    clients = [Client(transport=InMemoryTransport(double, inputs=INPUTS), metrics=metrics) for _ in range(4)]

    def call(number):
        for _ in range(200):
            clients[number % 4].pipeline("double")([1, 2, 3])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(call, range(8)))

    assert metrics["double"].answered == 1600
    assert list(metrics["double"].within.values())[-1] == 1600


def test_the_text_is_what_prometheus_reads():
    """Also where a pipeline has a name that must be escaped."""
    metrics = ClientMetrics()
    transport = InMemoryTransport({'a "b"\\': double}, inputs=INPUTS)
    with Client(transport=transport, metrics=metrics) as client:
        client.pipeline('a "b"\\')([1, 2, 3])
        with pytest.raises(errors.RequestRefused):
            client.pipeline('a "b"\\')([1, 2])

    families = {family.name: family for family in text_string_to_metric_families(str(metrics))}
    assert {name: family.type for name, family in families.items()} == {
        "sextant_client_requests": "counter",
        "sextant_client_errors": "counter",
        "sextant_client_retries": "counter",
        "sextant_client_seconds": "histogram",
    }
    (requests,), (refused,) = (families[f"sextant_client_{word}"].samples for word in ("requests", "errors"))
    assert (requests.labels, requests.value) == ({"pipeline": 'a "b"\\'}, 2)
    assert (refused.labels["error"], refused.value) == ("RequestRefused", 1)
    assert families["sextant_client_seconds"].samples[-1].value == 1


def test_a_call_that_its_caller_gave_up_is_counted_as_that():
    async def main():
        metrics, waiting = ClientMetrics(), asyncio.Event()

        class Slow(InMemoryTransport):
            async def asend(self, request, timeout_s):
                if isinstance(request, ModelInfer):
                    waiting.set()
                    await asyncio.Event().wait()
                return self.send(request, timeout_s)

        async with AsyncClient(transport=Slow(double, inputs=INPUTS), metrics=metrics) as client:
            call = asyncio.create_task(client.pipeline("double")([1, 2, 3]))
            await waiting.wait()
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            del call
        return metrics["double"].errors

    assert asyncio.run(main()) == {"Cancelled": 1}


def test_nothing_is_asked_twice_unless_the_client_is_told_so(door):
    transport = Shaky(BUSY)

    with pytest.raises(errors.ServerBusy):
        door("double", [1, 2, 3], client={"transport": transport})

    assert transport.sent == 1


def test_what_passes_is_asked_again_and_counted(door):
    """As one call that was answered."""
    metrics, transport = ClientMetrics(), Shaky(BUSY, AWAY, BUSY)

    answer = door("double", [1, 2, 3], client={"transport": transport, "metrics": metrics, "retries": 3})

    assert answer["doubled"].tolist() == [2, 4, 6]
    assert transport.sent == 4
    assert (metrics["double"].requests, metrics["double"].errors, metrics["double"].retries) == (1, {}, 3)


def test_it_is_asked_again_so_often_and_no_more(door):
    metrics, transport = ClientMetrics(), Shaky(*[AWAY] * 9)

    with pytest.raises(errors.ServerUnreachable):
        door("double", [1, 2, 3], client={"transport": transport, "metrics": metrics, "retries": 2})

    assert transport.sent == 3
    assert (metrics["double"].retries, metrics["double"].errors) == (2, {"ServerUnreachable": 1})


@pytest.mark.parametrize(
    "error",
    [
        errors.RequestRefused,
        errors.DeadlineExceeded,
        errors.ModelNotReady,
        errors.ModelFailed,
        errors.CertificateRefused,
    ],
)
def test_what_another_try_would_not_mend_is_not_tried_again(door, error):
    transport = Shaky(error("no"))

    with pytest.raises(error):
        door("double", [1, 2, 3], client={"transport": transport, "retries": 5})

    assert transport.sent == 1


def test_no_retry_is_beyond_the_deadline(door, monkeypatch):
    """The error is what the server said, for it said it in time."""
    monkeypatch.setattr("sextant_client.retrying.FIRST_S", 3600.0)
    monkeypatch.setattr("sextant_client.retrying.MOST_S", 3600.0)
    transport = Shaky(BUSY)

    with pytest.raises(errors.ServerBusy):
        door("double", [1, 2, 3], client={"transport": transport, "retries": 5, "timeout_s": 60})

    assert transport.sent == 1


def test_whether_a_server_is_ready_is_asked_once():
    asked = []

    class Away(InMemoryTransport):
        def send(self, request, timeout_s):
            asked.append(request)
            raise AWAY

    with Client(transport=Away(double), retries=5) as client:
        ready = client.is_ready()

    assert (ready, len(asked)) == (False, 1)


@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_retries_below_nothing_are_refused(client):
    with pytest.raises(ValueError, match="retries: expected a whole number from 0 on, got -1"):
        client(transport=InMemoryTransport(double), retries=-1)


def test_callers_do_not_come_back_all_at_once(monkeypatch):
    """Each pause is twice the one before, at most, and drawn between half of it and all."""
    pauses = []
    monkeypatch.setattr("sextant_client.retrying.FIRST_S", 0.05)
    monkeypatch.setattr("sextant_client.retrying.time.sleep", pauses.append)

    def call(_):
        with Client(transport=Shaky(*[BUSY] * 3), retries=3) as client:
            client.pipeline("double")([1, 2, 3])

    for number in range(20):
        call(number)

    each = np.array(pauses).reshape(20, 3)
    assert (each >= np.array([0.025, 0.05, 0.1])).all()
    assert (each <= np.array([0.05, 0.1, 0.2])).all()
    assert len(set(pauses)) == 60


def test_a_thread_that_reads_while_others_count_sees_whole_numbers():
    """What was answered is what lies below the last bound, at any time."""
    metrics, enough = ClientMetrics(), threading.Event()

    def call():
        with Client(transport=InMemoryTransport(double, inputs=INPUTS), metrics=metrics) as client:
            while not enough.is_set():
                client.pipeline("double")([1, 2, 3])

    thread = threading.Thread(target=call)
    thread.start()
    seen = [metrics["double"] for _ in range(200)]
    enough.set()
    thread.join()

    assert all(said.answered == said.within[float("inf")] for said in seen)
