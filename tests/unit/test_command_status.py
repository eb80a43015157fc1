"""``sextant status`` of stores that no server answers for."""

from __future__ import annotations

import pytest
from tritonclient.grpc.model_config_pb2 import ModelConfig

import made_releases as made
from sextant_cli.command import run
from sextant_cli.verbs.status import _words as told
from sextant_export.config import CANDIDATE, RELEASE, write_config
from sextant_export.store import CONFIG, Store
from sextant_promote.control import Control, Lookups
from sextant_promote.lease import lease
from sextant_promote.pruning import prune
from sextant_promote.status import PipelineStatus, ServerStatus, status

GATE = ({"gate": "median_error_m", "wanted": "at most 9", "measured": 7.25, "passed": True},)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store").prepare()


def test_a_folder_that_is_not_there_is_no_empty_store(tmp_path, capsys):
    (tmp_path / "store").mkdir()

    assert run(["status", "--store", str(tmp_path / "storee")]) == 1
    assert "storee: there is no such folder; --store names the one" in capsys.readouterr().err
    assert run(["status", "--store", str(tmp_path / "store")]) == 0
    assert "holds no release" in capsys.readouterr().out


def test_since_when_by_which_gates_and_what_is_pruned(store):
    for number in range(1, 5):
        made.serve(store, made.make(store, number, forest=number, gate=GATE))
    prune(store, keep=2)

    lines = list(told(status(store, None)))

    assert lines[:3] == [
        "server: none answers: `sextant serve` starts one",
        "locate: r4 is promoted, no server serves it",
        "  gates: median_error_m 7.25 (at most 9)",
    ]
    assert lines[-1] == "  r1    pruned   2026-01-01T09:00:00+00:00  forest version 1"


def test_several_servers_that_do_not_answer_are_lines(store):
    """One of one is an error, as for every other verb."""
    made.served(store, 1)
    with Control("grpc://127.0.0.1:9") as one, Control("grpc://127.0.0.1:10") as other:
        (found,) = status(store, [one, other])

    assert [bool(server.silent) for server in found.servers] == [True, True]
    assert (found.serving, found.promoted, found.drifted) == (None, 1, ())
    assert next(told((found,))).startswith("server: grpc://127.0.0.1:9 does not answer: ")
    assert run(["status", "--store", str(store.root), "--server", "grpc://127.0.0.1:9"]) == 3


def test_where_none_of_several_servers_answers_nobody_knows_what_serves(store, capsys):
    made.served(store, 1)

    code = run(["status", "--store", str(store.root), "--server", "grpc://127.0.0.1:9", "--server", "grpc://[::1]:9"])

    assert code == 3
    assert "none of grpc://127.0.0.1:9, grpc://[::1]:9 answers: " in capsys.readouterr().err


def test_a_server_that_serves_another_release_has_drifted():
    servers = (
        ServerStatus(url="grpc://a", release=2),
        ServerStatus(url="grpc://b"),
        ServerStatus(url="grpc://c", release=3),
        ServerStatus(url="grpc://d", release=3, candidate=4),
    )
    found = PipelineStatus(pipeline="locate", promoted=3, serving=None, releases=(), servers=servers)

    assert list(told((found,)))[4:] == [
        "locate: r3 is promoted, not every server serves it",
        "  drift: grpc://a serves r2, the store says r3",
        "  drift: grpc://b serves nothing, the store says r3",
        "  drift: grpc://d serves r3 and tries r4 beside it, the store says r3",
    ]
    assert found.to_dict()["drifted"] == ["grpc://a", "grpc://b", "grpc://d"]


def test_a_canary_and_whoever_is_at_work_are_told(store):
    """A front that is a router says which release it tries beside which."""
    made.served(store, 1)
    made.make(store, 2, forest=2)
    router = ModelConfig(name="locate", backend="python")
    router.parameters[RELEASE].string_value, router.parameters[CANDIDATE].string_value = "1", "2"
    write_config(router, store.models / "locate" / CONFIG)
    with lease(store, "locate"):
        (found,) = status(store, None)

    assert (found.promoted, found.candidate) == (1, 2)
    lines = list(told((found,)))
    assert lines[2] == "  canary: r2 is tried beside r1"
    assert lines[3].startswith("  at work: process ")
    assert prune(store, keep=0).kept == {"locate": (1, 2)}


@pytest.mark.parametrize(
    ("lookups", "said"),
    [
        (Lookups(answered=1200, hits=996, misses=204), "83% of 1,200 requests"),
        (Lookups(answered=0, hits=0, misses=0), "0% of 0 requests"),
        (
            Lookups(answered=3, hits=0, misses=0),
            "it has none, 3 requests were computed: start it with --cache-config=local,size=<bytes>",
        ),
    ],
)
def test_what_the_response_cache_saves_is_told_and_a_server_without_one_too(lookups, said):
    server = ServerStatus(url="grpc://one:8001", release=3, cache=lookups)
    found = PipelineStatus(pipeline="locate", promoted=3, serving=3, releases=(), servers=(server,))

    assert f"  response cache of grpc://one:8001: {said}" in list(told((found,)))
    assert found.to_dict()["servers"][0]["cache"] == lookups._asdict()
