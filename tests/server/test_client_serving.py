"""The client against a real Triton, over gRPC and HTTP, from threads and from an event loop."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http

import client_doors
import client_store
from embedded_calls import posted
from sextant import errors
from sextant_client import AsyncClient, Client

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def triton_store(triton_store):
    client_store.write_locate(triton_store / "models")
    client_store.write_oddities(triton_store / "models")
    return triton_store


@pytest.fixture(params=["grpc", "http"])
def url(request, triton):
    return getattr(triton.address, request.param)


@pytest.fixture(params=client_doors.DOORS)
def door(request):
    return client_doors.DOORS[request.param]


def features(rows, seed=1):
    return np.random.default_rng(seed).normal(size=(rows, client_store.WIDTH)).astype(np.float32)


def asked_by_tritonclient(library, url, rows):
    client = library.InferenceServerClient(url.partition("//")[2])
    tensor = library.InferInput("features", rows.shape, "FP32")
    tensor.set_data_from_numpy(rows)
    outputs = [library.InferRequestedOutput(name) for name in client_store.POSITION]
    answer = client.infer("locate", [tensor], outputs=outputs)
    arrays = {name: np.array(answer.as_numpy(name)) for name in client_store.POSITION}
    client.close()
    return arrays


def test_the_same_numbers_come_by_every_way(triton, url, door):
    rows = features(8)

    tensors = door("locate", rows, client={"url": url}, method="tensors")

    for other in (
        asked_by_tritonclient(tritonclient.grpc, triton.address.grpc, rows),
        asked_by_tritonclient(tritonclient.http, triton.address.http, rows),
        posted(triton.address.http, "locate", {"features": rows}),
    ):
        assert tensors.keys() == other.keys()
        for name, array in tensors.items():
            np.testing.assert_array_equal(array, other[name], err_msg=name)


def test_a_batch_larger_than_the_servers_comes_back_whole_and_in_order(url, door):
    rows = features(83)

    fixes = door("locate", rows, client={"url": url})

    np.testing.assert_array_equal([(fix.latitude, fix.longitude) for fix in fixes], rows[:, :2] / 2)
    assert {fix.release for fix in fixes} == {7}


def test_a_row_gives_a_fix_with_its_ellipses(url, door):
    fix = door("locate", [3, 1, 4, 1, 5], client={"url": url})

    assert (fix.latitude, fix.longitude, fix.members_used, fix.calibrated) == (1.5, 0.5, 3, True)
    assert fix.ellipse(0.9).semi_major_m == 3.5


def test_every_type_of_tensor_goes_there_and_back(url, door):
    answer = door("echo", number=[[1, 2]], count=[[3]], word=[["fix √"]], flag=[[True]], client={"url": url})

    assert answer["half"].dtype == np.float16
    assert answer["twice"].tolist() == [[2.0, 4.0]]
    assert answer["count"].tolist() == [[3]]
    assert answer["word"].tolist() == [["fix √".encode()]]
    assert answer["flag"].tolist() == [[True]]


def test_an_empty_batch_is_an_empty_list(url, door):
    assert door("locate", np.empty((0, client_store.WIDTH)), client={"url": url}) == []


def test_a_model_without_batches_takes_the_whole_array(url, door):
    answer = door("whole", [0.0, 0.001, 0.002], client={"url": url})

    assert answer["slept"].shape == (3,)


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_sixteen_threads_share_one_client(triton, scheme):
    batches = [features(rows, seed=rows) for rows in range(1, 17)]

    def ask(rows):
        for _ in range(20):
            fixes = pipeline(rows)
            np.testing.assert_array_equal([fix.latitude for fix in fixes], rows[:, 0] / 2)
        return len(rows)

    with Client(getattr(triton.address, scheme)) as client, ThreadPoolExecutor(16) as threads:
        pipeline = client.pipeline("locate")
        answered = list(threads.map(ask, batches, timeout=60))

    assert answered == list(range(1, 17))


def test_many_tasks_share_one_client(url):
    async def ask_all():
        async with AsyncClient(url) as client:
            pipeline = client.pipeline("locate")
            return await asyncio.gather(*(pipeline(row) for row in rows))

    rows = features(100)

    fixes = asyncio.run(ask_all())

    np.testing.assert_array_equal([fix.latitude for fix in fixes], rows[:, 0] / 2)


def test_a_slow_model_is_given_up_at_the_deadline(url, door):
    started = time.monotonic()

    with pytest.raises(errors.DeadlineExceeded, match=r"'nap' did not answer in the 0.* s it had"):
        door("nap", [0.8], timeout_s=0.2, client={"url": url})

    assert time.monotonic() - started < 0.7


def test_one_deadline_holds_for_all_parts_of_a_batch(url, door):
    with pytest.raises(errors.DeadlineExceeded):
        door("nap", np.full((80, 1), 0.2), timeout_s=0.7, client={"url": url})


def test_a_client_goes_on_after_a_deadline(url):
    with Client(url) as client:
        with pytest.raises(errors.DeadlineExceeded):
            client.pipeline("nap")([0.5], timeout_s=0.2)

        assert client.pipeline("nap")([0.001])["slept"].shape == (1,)


def test_a_bad_row_of_a_split_batch_is_told_with_its_part(url, door):
    rows = features(20)
    rows[13, 2] = np.nan

    with pytest.raises(errors.RequestRefused, match=r"rows 8 to 15 of the batch: features: .* row 5 column 2"):
        door("locate", rows, client={"url": url})


def test_a_running_server_is_ready(url):
    with Client(url) as client:
        assert client.is_ready()
