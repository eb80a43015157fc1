"""Tritons as the Kubernetes manifests start them: pods that join, are found by their name, and end without a loss."""

from __future__ import annotations

import os
import signal
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from embedded_models import rows, write_python
from pods import PATIENCE_S, Pod, until
from sextant.errors import ClientError, DeadlineExceeded
from sextant_cli.command import run
from sextant_client import Client
from sextant_server.ports import Ports, choose_ports

pytestmark = pytest.mark.e2e

NAME = "triton-pods.sextant.internal"
LIVE, READY = "/v2/health/live", "/v2/models/locate/ready"
CALLERS, INSTANCES = 6, 2
PENDING = 'nv_inference_pending_request_count{model="slow",version="1"}'


class Cluster:
    """Pods on one store, and the *addresses* that their name has."""

    def __init__(self, store, folder):
        self.store, self.folder, self.addresses = store, folder, []
        self.ports, self.token, self.pods = choose_ports(Ports()), "token-of-all-pods", []

    def start(self):
        """A pod more, with an address of its own; the name does not have it yet."""
        number = len(self.pods) + 2
        self.pods.append(Pod(f"127.0.0.{number}", self.store, self.ports, self.token, self.folder / f"pod{number}.log"))
        until(lambda: self.pods[-1].status(LIVE) == 200)
        return self.pods[-1]

    def join(self, *pods):
        """From now on the name has the addresses of *pods*, all at once."""
        self.addresses = [*self.addresses, *(pod.address for pod in pods)]

    def watch(self, world, *more):
        """``sextant watch`` with the name; gives the exit code."""
        server = ["--server", f"grpc+dns://{NAME}:{self.ports.grpc}", "--token", self.token]
        place = ["--store", str(world.store.root), "--registry", world.registry.tracking_uri]
        return run(["watch", str(world.spec), *server, *place, *more])


@pytest.fixture
def cluster(request, tmp_path, monkeypatch):
    """A cluster on the world's store, or on an empty one where the test asks for no world."""
    store = request.getfixturevalue("world").store.prepare().root if "world" in request.fixturenames else tmp_path
    made, lookup = Cluster(store, tmp_path), socket.getaddrinfo

    def named(host, port, *args, **more):
        if host != NAME:
            return lookup(host, port, *args, **more)
        if not made.addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [found for address in made.addresses for found in lookup(address, port, *args, **more)]

    monkeypatch.setattr(socket, "getaddrinfo", named)
    yield made
    for pod in made.pods:
        pod.process.kill()


def test_a_watch_keeps_the_pods_that_a_name_has(world, cluster, capsys):
    """Those that are known are made ready by the promotion, a later one by the store, and an empty one is repaired."""
    ready = []

    def cause():
        known = [cluster.start(), cluster.start()]
        ready.append([pod.status(READY) for pod in known])
        cluster.join(*known)
        until(lambda: {pod.status(READY) for pod in known} == {200})
        later = cluster.start()
        ready.append(later.status(READY))
        with later.control() as control:
            for model in control.ready():
                control.unload(model)
        cluster.join(later)
        until(lambda: later.status(READY) == 200)
        os.kill(os.getpid(), signal.SIGTERM)

    with ThreadPoolExecutor(1) as pool:
        caused = pool.submit(cause)
        code = cluster.watch(world, "--every", "0.2")
        caused.result()

    said = [line.split(" ", 2)[2] for line in capsys.readouterr().out.splitlines() if " step: " not in line]
    assert code == 0
    assert ready == [[400, 400], 200]
    assert [pod.release() for pod in cluster.pods] == [1, 1, 1]
    assert [line.partition(":")[0] for line in said] == ["away", "promoted", "back", "repaired"]
    assert said[0].startswith(f"away: no server at grpc+dns://{NAME}:{cluster.ports.grpc}: {NAME} has no address")
    assert said[3].startswith(f"repaired: {cluster.pods[2].grpc} does not serve ")
    assert 'nv_inference_queue_duration_us{model="locate"' in cluster.pods[2].metrics()
    assert 'nv_inference_request_success{model="locate"' in cluster.pods[2].metrics()


def test_a_pod_that_ends_answers_what_it_took(cluster, tmp_path):
    """After SIGTERM no probe is answered and soon no new request taken; every one that was taken is answered."""
    gate = tmp_path / "gate"
    wait = f"while not __import__('pathlib').Path({str(gate)!r}).exists(): time.sleep(0.01)"
    write_python(cluster.store, "slow", line=wait, instances=INSTANCES)
    pod, row = cluster.start(), rows(1)

    def call(_, timeout_s=PATIENCE_S):
        with Client(pod.grpc, timeout_s=timeout_s) as client:
            return client.pipeline("slow").tensors(x=row)["y"]

    def refused():
        try:
            call(None, timeout_s=1)
        except ClientError as error:
            return not isinstance(error, DeadlineExceeded)  # it waits: it was taken in the last moment that takes any

    with ThreadPoolExecutor(CALLERS) as pool:
        answers = pool.map(call, range(CALLERS))
        until(lambda: f"{PENDING} {CALLERS - INSTANCES}\n" in pod.metrics())
        pod.drain()
        until(lambda: pod.status(LIVE) is None)
        until(refused)
        gate.touch()
        given = list(answers)

    assert all((answer == row).all() for answer in given)
    assert len(given) == CALLERS
    until(lambda: pod.process.exit_code is not None)
    assert pod.process.exit_code == 0
