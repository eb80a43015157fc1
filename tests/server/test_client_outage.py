"""A server that goes away: the client says so at once, and finds it again."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

import client_doors
import client_store
from sextant import errors
from sextant_client import Client
from sextant_server import EmbeddedTriton

pytestmark = pytest.mark.server


@pytest.fixture
def store(tmp_path):
    (tmp_path / "models").mkdir()
    client_store.write_oddities(tmp_path / "models")
    return tmp_path


@pytest.mark.parametrize("scheme", ["grpc", "http"])
@pytest.mark.parametrize("door", client_doors.DOORS)
def test_a_server_killed_in_the_middle_of_a_call_is_unreachable(store, scheme, door):
    with EmbeddedTriton(store, models=["nap"]) as triton:
        url, pid = getattr(triton.address, scheme), triton.address.pid
        killer = threading.Timer(0.5, os.kill, (pid, signal.SIGKILL))
        killer.start()
        started = time.monotonic()

        with pytest.raises(errors.ServerUnreachable):
            client_doors.DOORS[door]("nap", [20.0], timeout_s=15, client={"url": url})

        assert time.monotonic() - started < 5
        killer.join()


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_a_client_finds_a_server_that_was_started_again(store, scheme):
    with EmbeddedTriton(store, models=["nap"], stop_timeout_s=1) as first:
        url, address = getattr(first.address, scheme), first.address
        client = Client(url)
        client.pipeline("nap")([0.001])
    with pytest.raises(errors.ServerUnreachable):
        client.pipeline("nap")([0.001])
    assert not client.is_ready()

    ports = {f"{kind}_port": int(getattr(address, kind).rpartition(":")[2]) for kind in ("grpc", "http")}
    with EmbeddedTriton(store, models=["nap"], stop_timeout_s=1, **ports):
        deadline = time.monotonic() + 5
        while not client.is_ready():
            assert time.monotonic() < deadline

        assert client.pipeline("nap")([0.001])["slept"].shape == (1,)
    client.close()


def test_http_asked_of_the_port_of_grpc_says_so(triton):
    port = triton.address.grpc.rpartition(":")[2]

    with Client(f"http://127.0.0.1:{port}") as client, pytest.raises(errors.ServerUnreachable, match="port of grpc://"):
        client.pipeline("locate")([1.0])
