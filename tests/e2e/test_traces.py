"""One trace of one request: the caller's span, the client's, Triton's of every step, and the blocks' below them."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest

from client_doors import DOORS
from otlp_receiver import receiving
from promotion_stage import resumed
from sextant_export.receipt import read_receipt
from sextant_promote.canary import routing
from sextant_promote.canary.routing import route, unroute
from sextant_promote.control import Control
from sextant_promote.fleet import Fleet, Server
from sextant_server import EmbeddedTriton, Tracing
from small_world import draw
from traced_caller import calling

pytestmark = pytest.mark.e2e

BLOCKS = {"block scale": "locate.scale", "block fuse": "locate.fuse", "block ellipse": "locate.ellipse"}
MEMBERS = {"ridge", "forest", "knn"}
INTERNAL, CLIENT = 1, 3
UNSET, ERROR = 0, 2
ATTEMPTS = 6
CLOCKS_NS = 20_000_000
"""By how much processes may differ about the time: Triton turns its own clock's into the wall clock's each time."""


@pytest.fixture(scope="module")
def receiver():
    with receiving() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def world(first_world, kept, tmp_path_factory):
    """After two releases of ``locate``."""
    return resumed(first_world, kept / "moved", tmp_path_factory.mktemp("traced"))


@pytest.fixture(scope="module")
def triton(world, receiver):
    """Traces what callers trace, and sends at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        with EmbeddedTriton(world.store.root, trace=Tracing(receiver.url, rate=0)) as triton:
            yield triton


@pytest.fixture(scope="module")
def caller(receiver):
    with calling(receiver.url) as caller:
        yield caller


class Tree:
    """The spans of one trace, by name and by who is whose child."""

    def __init__(self, spans):
        self.spans = spans
        self._by_id = {span["span_id"]: span for span in spans}

    def named(self, name):
        """The only span of that *name*."""
        (span,) = [span for span in self.spans if span["name"] == name]
        return span

    def parent(self, name):
        """The name of the parent of the only span of that *name*; None where nobody sent it."""
        return self._by_id.get(self.named(name)["parent_id"], {"name": None})["name"]

    def computing(self, model):
        """Triton's span of the time in which *model* computed."""
        (span,) = [
            span
            for span in self.spans
            if span["name"] == "compute" and span["parent_id"] == self.named(model)["span_id"]
        ]
        return span

    def answered_at(self, model):
        """When *model* had computed, and the next step could begin."""
        return self.computing(model)["events"]["COMPUTE_OUTPUT_START"]


@pytest.fixture(scope="module")
def traced(caller, receiver):
    """
    Asks until a trace is whole, so many *spans*; gives what the caller said, and the trace.

    Over gRPC the embedded Triton overlooks one ``traceparent`` in ten or so, over HTTP none: docs/traces.md.
    """

    def ask(door, url, rows, spans):
        attempts = ATTEMPTS if url.startswith("grpc") else 1
        for _ in range(attempts):
            asked = caller(door, url, rows)
            with suppress(AssertionError):
                return asked, Tree(receiver.trace(asked["trace_id"], lambda came: len(came) >= spans, patience_s=5))
        raise AssertionError(f"none of {attempts} traces has {spans} spans")

    return ask


def contains(outer, inner):
    """Whether *inner* lies in *outer*: in its length to the nanosecond, in its place as far as clocks agree."""
    lies = outer["begin"] - CLOCKS_NS <= inner["begin"] and inner["end"] <= outer["end"] + CLOCKS_NS
    return lies and inner["end"] - inner["begin"] <= outer["end"] - outer["begin"]


def together(tree):
    """Whether all members have begun before the first of them is done."""
    members = [tree.named(model) for model in MEMBERS]
    return max(span["begin"] for span in members) < min(span["end"] for span in members)


def assert_one_release(tree, ensemble):
    """Each step is a child of the *ensemble*, has computed within it, and each block's own span lies in that."""
    for model in (*BLOCKS.values(), *MEMBERS):
        assert tree.parent(model) == ensemble
        assert contains(tree.named(ensemble), tree.named(model))
        assert contains(tree.named(model), tree.computing(model))
    for block, model in BLOCKS.items():
        span = tree.named(block)
        assert tree.parent(block) == model
        assert contains(tree.computing(model), span)
        assert (span["kind"], span["scope"], span["service"], span["language"]) == (
            INTERNAL,
            "sextant",
            "triton",
            "python",
        )


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_one_request_is_one_trace_from_the_caller_to_every_block(triton, traced, scheme, door):
    """Over gRPC and HTTP, from threads and from an event loop, each span below the one that waits for it."""
    asked, tree = traced(door, getattr(triton.address, scheme), draw(3, seed=1).features, 19)

    client, arrived = tree.named("infer locate"), tree.named("InferRequest")
    assert asked["error"] is None
    assert len(tree.spans) == 19
    assert tree.named("ask")["span_id"] == asked["span_id"]
    assert tree.parent("infer locate") == "ask"
    assert tree.parent("InferRequest") == "infer locate"
    assert tree.parent("locate") == "InferRequest"
    assert contains(tree.named("ask"), client)
    assert client["begin"] - CLOCKS_NS <= arrived["begin"]
    assert arrived["events"][f"{scheme.upper()}_SEND_START"] <= client["end"] + CLOCKS_NS
    assert contains(arrived, tree.named("locate"))
    assert_one_release(tree, "locate")


def test_members_that_compute_at_the_same_time_are_seen_to(triton, traced):
    """All three have begun before the first of them is done; features come before them, and the fusion after."""
    trees = (traced("threads", triton.address.http, draw(1, seed=1).features, 19)[1] for _ in range(30))

    tree = next(filter(together, trees))  # on busy cores one may be done before another is given its turn

    assert tree.answered_at("locate.scale") <= min(tree.named(model)["begin"] for model in MEMBERS)
    assert max(tree.answered_at(model) for model in MEMBERS) <= tree.named("locate.fuse")["begin"]


def test_a_span_says_who_answered_how_much_and_where(triton, traced):
    """What a table of spans is filtered by: the client's in OpenTelemetry's words, the block's in Sextant's."""
    _, tree = traced("threads", triton.address.grpc, draw(3, seed=1).features, 19)

    client = tree.named("infer locate")
    assert (client["kind"], client["service"], client["scope"]) == (CLIENT, "caller", "sextant_client")
    assert client["attributes"] == {
        "sextant.pipeline": "locate",
        "sextant.rows": 3,
        "sextant.requests": 1,
        "rpc.system.name": "grpc",
        "rpc.method": "inference.GRPCInferenceService/ModelInfer",
        "server.address": "127.0.0.1",
        "server.port": int(triton.address.grpc.rpartition(":")[2]),
    }
    assert tree.named("block fuse")["attributes"] == {
        "sextant.pipeline": "locate",
        "sextant.step": "fuse",
        "sextant.release": "2",
        "sextant.rows": 3,
        "sextant.batch.requests": 1,
        "sextant.batch.rows": 3,
        "sextant.refused": False,
    }


@pytest.mark.parametrize(("weight", "release"), [(0.0, 2), (1.0, 1)])
def test_a_trace_goes_through_a_router_to_the_release_that_answers(world, triton, traced, monkeypatch, weight, release):
    """A canary's requests are told apart by the ensemble below the router; nothing else of the trace changes."""
    monkeypatch.setattr(routing, "PROCESSES", 1)
    serving, candidate = (read_receipt(world.store, "locate", number) for number in (2, 1))

    with Control(triton.address.grpc, triton.address.token) as control:
        fleet = Fleet(world.store, [Server(control)])
        route(world.store, fleet, serving, candidate, weight=weight)
        _, tree = traced("threads", triton.address.http, draw(1, seed=1).features, 21)
        unroute(world.store, fleet, serving)

    ensemble = f"locate.r{release}"
    assert len(tree.spans) == 21
    assert tree.parent("locate") == "InferRequest"
    assert tree.parent(ensemble) == "locate"
    assert tree.named("locate")["begin"] <= tree.named(ensemble)["begin"]  # and ends first: a router hands over
    assert contains(tree.named("InferRequest"), tree.named(ensemble))
    assert_one_release(tree, ensemble)


def test_a_refused_request_is_seen_where_it_was_refused_and_nothing_of_it_is_told(triton, traced):
    """The block that refused it says so; it is the caller's error, and no span quotes what the caller sent."""
    rows = draw(1, seed=1).features
    rows[0, 3] = np.nan

    asked, tree = traced("threads", triton.address.http, rows, 7)

    client, block = tree.named("infer locate"), tree.named("block scale")
    assert asked["error"] == "RequestRefused"
    assert (client["status"], client["attributes"]["error.type"]) == (ERROR, "RequestRefused")
    assert (block["status"], block["attributes"]["sextant.refused"]) == (UNSET, True)
    assert not [span for span in tree.spans if "nan" in str([span["attributes"], span["said"]]).lower()]


def test_a_caller_whose_trace_nobody_keeps_is_not_traced(triton, caller, traced, receiver):
    """Triton would trace whatever has a ``traceparent``, so none is sent; what is asked next is traced again."""
    unkept = caller("threads", triton.address.http, draw(1, seed=1).features, sampled=False)
    traced("threads", triton.address.http, draw(1, seed=1).features, 19)

    assert unkept["error"] is None
    assert [span for span in receiver.spans() if span["trace_id"] == unkept["trace_id"]] == []


def test_the_parts_of_a_large_batch_are_children_of_one_call(triton, traced):
    """150 rows are three requests of at most 64, by several threads: one span of the client's, three of Triton's."""
    _, tree = traced("threads", triton.address.http, draw(150, seed=1).features, 2 + 3 * 17)

    client = tree.named("infer locate")
    arrived = [span for span in tree.spans if span["name"] == "InferRequest"]
    assert client["attributes"]["sextant.requests"] == 3
    assert [span["parent_id"] for span in arrived] == [client["span_id"]] * 3
