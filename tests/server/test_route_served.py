"""A front that is a router, in a real Triton: for whoever asks it is the same front, whatever it becomes meanwhile."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy.stats import binom
from tritonclient.grpc import InferenceServerClient, InferRequestedOutput
from tritonclient.grpc.service_pb2 import ModelConfigRequest
from tritonclient.utils import InferenceServerException

import client_doors
from embedded_calls import posted, tensor
from routed_releases import DIFFERS, REFUSED, REFUSED_BY_BOTH, kill_idle, make_store, process_of
from served_blocks import copy_committed
from sextant.errors import LoadFailed, ServerUnreachable
from sextant_client import Client
from sextant_export.config import release_of
from sextant_export.store import Store
from sextant_promote.canary import routing
from sextant_promote.canary.observations import observe
from sextant_promote.canary.routing import route, routed, unroute
from sextant_promote.control import Control
from sextant_promote.fleet import Fleet, Server
from sextant_promote.retention import wanted
from sextant_server import EmbeddedTriton

pytestmark = pytest.mark.server


class Stage:
    """Two releases of ``p`` in a store, and a Triton on it."""

    def __init__(self, root):
        self.store = Store(root)
        self.serving, self.candidate = make_store(self.store)

    def start(self):
        self.triton = EmbeddedTriton(self.store.root).start()
        self.control = Control(self.triton.address.grpc, self.triton.address.token)
        self.metrics = f"{self.triton.address.metrics}/metrics"
        self.fleet = Fleet(self.store, [Server(self.control, self.metrics)])
        self.client = InferenceServerClient(self.triton.address.grpc.removeprefix("grpc://"))
        return self

    def stop(self):
        self.client.close()
        self.control.close()
        self.triton.stop()

    def route(self, weight, shadow=0.0):
        route(self.store, self.fleet, self.serving, self.candidate, weight=weight, shadow=shadow)

    def unroute(self):
        unroute(self.store, self.fleet, self.serving)

    def ask(self, x=1.0, **facts):
        """The release that answers, and ``y``, over gRPC."""
        answer = self.client.infer("p", [tensor("x", np.full((1, 2), x, np.float32))], client_timeout=30, **facts)
        return int(answer.as_numpy("release")[0, 0]), answer.as_numpy("y")[0].tolist()

    def ask_http(self, x=1.0):
        """The same over HTTP."""
        answer = posted(self.triton.address.http, "p", {"x": np.full((1, 2), x, np.float32)})
        return int(answer["release"][0, 0]), answer["y"][0].tolist()

    def observed(self, enough):
        """What is counted as soon as it is *enough*: counters are written by a thread of their own."""
        deadline = time.monotonic() + 30
        while not enough(observed := observe([self.metrics], "p")[0]):
            assert time.monotonic() < deadline, observed
        return observed

    def front(self):
        """The configuration that the server serves ``p`` by."""
        return self.control._call("ModelConfig", ModelConfigRequest(name="p")).config


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    stage = Stage(tmp_path_factory.mktemp("routed")).start()
    yield stage
    stage.stop()


@pytest.fixture
def stage(running, monkeypatch):
    """The one server, its front an ensemble before and after; a router of one process loads four times as fast."""
    monkeypatch.setattr(routing, "PROCESSES", 1)
    yield running
    running.unroute()


@pytest.fixture
def processes(monkeypatch, stage):
    """The router has several processes, which count together."""
    monkeypatch.setattr(routing, "PROCESSES", 3)


def test_what_a_router_answers_is_what_the_arm_answers(stage):
    """Over gRPC and HTTP, and a caller who asks for one output gets one."""
    stage.route(0.5)

    given = [ask(DIFFERS) for ask in (stage.ask, stage.ask_http) for _ in range(20)]
    only = stage.client.infer(
        "p", [tensor("x", np.ones((3, 2), np.float32))], outputs=[InferRequestedOutput("y")]
    ).get_response()

    assert {release for release, _ in given} == {1, 2}
    assert all(y == [DIFFERS + release] * 2 for release, y in given)
    assert [(output.name, list(output.shape)) for output in only.outputs] == [("y", [3, 2])]


def test_a_key_keeps_its_arm_and_stays_with_the_candidate_when_the_weight_grows(stage):
    keys = [f"caller {i}" for i in range(40)]

    def asked(weight):
        stage.route(weight)
        return {(key, stage.ask(parameters={"route_key": key})[0]) for key in keys for _ in range(2)}

    few, many = asked(0.2), asked(0.6)

    assert len(few) == len(many) == len(keys)
    assert {key for key, release in few if release == 2} < {key for key, release in many if release == 2}


def test_an_id_is_a_key_where_there_is_no_other(stage):
    stage.route(0.5)

    ids = {(i, stage.ask(request_id=f"id {i}")[0]) for i in range(20) for _ in range(2)}

    assert len(ids) == 20
    assert {release for _, release in ids} == {1, 2}


def answered(arm):
    """How many answers the histogram of *arm* holds."""
    return list(arm.within.values())[-1]


@pytest.mark.usefixtures("processes")
def test_without_a_key_the_weight_is_kept(stage):
    """Within what chance allows to a fair coin of that weight in all but one of 10,000 runs."""
    stage.route(0.25)
    requests = 400

    with ThreadPoolExecutor(8) as callers:
        releases = Counter(release for release, _ in callers.map(lambda _: stage.ask(), range(requests)))

    low, high = binom.interval(0.9999, requests, 0.25)
    assert low <= releases[2] <= high
    observed = stage.observed(lambda o: o.serving.requests == releases[1] and answered(o.candidate) == releases[2])
    assert observed.candidate.requests == releases[2]


def test_the_error_of_an_arm_is_the_callers_and_is_counted(stage):
    """With the code and the sentence that the candidate's own ensemble gives as a front."""
    stage.route(1.0)

    with pytest.raises(InferenceServerException) as refused:
        stage.ask(REFUSED)

    assert refused.value.status() == "StatusCode.INVALID_ARGUMENT"
    assert refused.value.message() == "in ensemble 'p', x: expected no negative number, got -1"
    observed = stage.observed(lambda o: o.candidate.errors)
    assert (observed.candidate.requests, observed.candidate.errors) == (1, 1)
    assert observed.serving.requests == 0


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_what_both_releases_refuse_is_counted_of_neither(stage, weight):
    """Whichever was asked: what the other says is heard by nobody."""
    stage.route(weight)

    for _ in range(3):
        with pytest.raises(InferenceServerException, match="in ensemble 'p', x: expected no negative number"):
            stage.ask(REFUSED_BY_BOTH)
    stage.ask()

    observed = stage.observed(lambda o: o.serving.requests + o.candidate.requests)
    assert (observed.serving.errors, observed.candidate.errors, observed.broken) == (0, 0, 0)
    assert (observed.serving.requests, observed.candidate.requests) == (1 - weight, weight)


def test_a_process_that_died_is_seen_by_the_requests_it_fails(stage, monkeypatch):
    """The front has lost it; the arms, which were never asked, know nothing of it."""
    monkeypatch.setattr(routing, "DRAINS_S", 1.0)  # what it had taken is never answered
    stage.route(0.0)
    kill_idle(process_of(stage.triton, f"{stage.store.models}/p/{max(stage.store.versions('p'))}/"))

    with pytest.raises(InferenceServerException, match="is not healthy"):
        stage.ask()

    observed = stage.observed(lambda o: o.broken)
    assert (observed.broken, observed.serving.requests, observed.serving.errors) == (1, 0, 0)


@pytest.mark.parametrize("scheme", ["grpc", "http"])
@pytest.mark.parametrize("door", client_doors.DOORS)
def test_a_client_keeps_its_arm_by_its_key(stage, door, scheme):
    """All parts of a table that is cut into several requests too."""
    stage.route(0.5)
    client = {"url": getattr(stage.triton.address, scheme)}
    rows = np.ones((20, 2), np.float32)

    def releases(key):
        given = client_doors.DOORS[door]("p", rows, client=client, method="tensors", route_key=key)
        return {*given["release"].ravel().tolist()}

    heard = {key: releases(key) for key in ("device 3", "device 4", 17, "17")}

    assert heard["device 3"] | heard["device 4"] == {1, 2}
    assert [len(each) for each in heard.values()] == [1] * 4
    assert heard[17] == heard["17"]


def test_a_key_makes_no_difference_to_an_ensemble(stage):
    with Client(stage.triton.address.http) as client:
        assert client.pipeline("p")([1.0, 1.0], route_key="device 3")["release"].tolist() == [1]


def test_an_arm_that_is_away_is_an_error_and_not_silence(stage):
    stage.route(1.0)
    stage.control.unload("p.r2")

    try:
        with pytest.raises(InferenceServerException, match="not ready") as away:
            stage.ask()
    finally:
        stage.control.load("p.r2")

    assert away.value.status() == "StatusCode.UNAVAILABLE"


def test_a_shadow_compares_and_changes_no_answer(stage):
    """Not even where the candidate refuses: that too is a difference."""
    stage.route(0.0, shadow=1.0)
    asked = [1.0] * 20 + [DIFFERS] * 10 + [REFUSED] * 5

    given = [stage.ask(x) for x in asked]

    assert given == [(1, [x + (x >= DIFFERS)] * 2) for x in asked]
    observed = stage.observed(lambda o: o.compared == len(asked) and o.differing >= 15)
    assert observed.differing == 15
    assert (observed.serving.requests, observed.candidate.requests) == (len(asked), 0)


def test_a_share_is_mirrored(stage):
    stage.route(0.0, shadow=0.2)
    requests = 200

    for _ in range(requests):
        stage.ask()

    observed = stage.observed(lambda o: o.serving.requests == requests and o.compared)
    low, high = binom.interval(0.9999, requests, 0.2)
    assert observed.compared <= high
    assert stage.observed(lambda o: o.compared >= low).differing == 0


@pytest.mark.usefixtures("processes")
def test_no_request_is_lost_while_the_front_becomes_what_it_was_not(stage):
    """Ensemble, router, another weight, ensemble, under eight callers; every answer is its release's."""
    stopped = threading.Event()

    def call(ask):
        given = []
        while not stopped.is_set():
            given.append(ask(DIFFERS))
        return given

    with ThreadPoolExecutor(8) as callers:
        calling = [callers.submit(call, stage.ask if i % 2 else stage.ask_http) for i in range(8)]
        try:
            stage.route(0.1, shadow=0.1)
            stage.route(0.9)
            stage.unroute()
        finally:
            stopped.set()
    given = [answer for called in calling for answer in called.result()]

    assert {release for release, _ in given} == {1, 2}
    assert all(y == [DIFFERS + release] * 2 for release, y in given)


def test_counts_go_on_over_a_change_of_the_weight_and_begin_anew_with_another_trial(stage):
    stage.route(0.0)
    before = [stage.ask() for _ in range(5)]
    stage.observed(lambda o: o.serving.requests == 5)
    stage.route(1.0)
    after = [stage.ask() for _ in range(7)]

    observed = stage.observed(lambda o: o.candidate.requests == 7)
    stage.unroute()
    stage.route(0.0)

    assert {release for release, _ in before} == {1}
    assert {release for release, _ in after} == {2}
    assert observed.serving.requests == 5
    assert stage.observed(lambda o: not o.candidate.requests).serving.requests == 0


def test_afterwards_no_python_stands_before_the_releases(stage):
    """The server's own configuration of the front is the ensemble, and the store has no router any more."""
    stage.route(0.5)
    during = stage.front()
    stage.unroute()
    after = stage.front()

    assert (during.backend, after.platform) == ("python", "ensemble")
    assert during.input == after.input
    assert during.output == after.output
    assert (during.max_batch_size, release_of(during)) == (after.max_batch_size, release_of(after))
    assert stage.store.versions("p") == {1}


def test_a_router_that_does_not_load_leaves_the_ensemble(stage):
    with pytest.raises(LoadFailed, match="weight: expected a share from 0 to 1, got 2"):
        stage.route(2.0)

    assert stage.front().platform == "ensemble"
    assert not routed(stage.store, "p")
    assert stage.ask() == (1, [1.0, 1.0])


def test_the_committed_router_loads_as_it_stands(stage):
    """Before the two releases that it would ask are there; until then it says so."""
    copy_committed("route", stage.store.models / "route")
    stage.control.load("route")

    with pytest.raises(InferenceServerException, match=r"route\.r[12].* is not ready"):
        stage.client.infer("route", [tensor("x", np.ones((1, 1), np.float32))], client_timeout=30)

    stage.control.unload("route")
    stage.store.remove("route")


def test_what_a_killed_trial_left_is_swept_away(stage):
    """A version without a configuration that names it, and half a version."""
    stage.store.add_version("p", 7, lambda directory: (directory / "model.py").touch())
    (stage.store.models / "p" / ".8.partial").mkdir()
    stage.route(0.5)
    versions = stage.store.versions("p")

    assert len(versions) == 2
    assert 7 not in versions
    assert not list((stage.store.models / "p").glob(".*"))


def test_both_releases_are_wanted_while_a_router_stands(stage):
    before = wanted(stage.store, "p")
    stage.route(0.5)

    assert (before, wanted(stage.store, "p")) == ({1}, {1, 2})
    assert "p" not in stage.store.settings()


def test_a_server_that_is_started_again_serves_the_router(stage):
    """And makes an ensemble of it again, of which only the store is told while the server is away."""
    stage.route(1.0)
    stage.stop()
    stage.start()
    routed_again = stage.ask()
    stage.unroute()

    assert routed_again[0] == 2
    assert stage.ask()[0] == 1


def test_metrics_that_cannot_be_read_are_a_server_out_of_reach():
    with pytest.raises(ServerUnreachable, match="the metrics at http://127.0.0.1:9/metrics cannot be read"):
        observe(["http://127.0.0.1:9/metrics"], "p")
