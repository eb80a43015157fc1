"""What a release is asked with under load: the rows it was proven on, as its callers would have sent them."""

from __future__ import annotations

import numpy as np
import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from sextant.blocks import BLOCKS
from sextant.errors import DeadlineExceeded, LoadTestError
from sextant.tensors import Tensor
from sextant_client.contract import Contract
from sextant_export.evidence import pack_proof, proof_path
from sextant_export.receipt import Receipt
from sextant_export.store import Store
from sextant_loadtest.events import request_event
from sextant_loadtest.inputs import of_file, of_release
from sextant_loadtest.target import over, unnamed

SCALE = {"width": 3, "offset": 100.0, "divisor": 50.0}
CONTRACT = Contract("double", {"features": Tensor("features", "FP32", (2,))}, frozenset(), (), 8)
SCALED = np.random.default_rng(8).uniform(0.1, 2, (16, 3)).astype(np.float32)


def released(tmp_path, inputs, feeds, steps, *, maps=None, blocks=None):
    """The store and the receipt of a release whose members were proven on *feeds*."""
    store = Store(tmp_path).prepare()
    ensemble = ModelConfig(name="locate.r1", platform="ensemble", max_batch_size=8)
    for name, (dtype, dims) in inputs.items():
        ensemble.input.add(name=name, data_type=dtype, dims=dims)
    for member, named in (maps or {}).items():
        ensemble.ensemble_scheduling.step.add(model_name=member, input_map=named)
    receipt = Receipt(
        pipeline="locate",
        release=1,
        identity="",
        created="",
        spec={"name": "locate", "steps": steps},
        members={name: {"model": name} for name in feeds},
        blocks=blocks or {},
        calibration=None,
        models=(),
        introduced=(),
        ensemble=text_format.MessageToString(ensemble),
        tools={},
    )
    path = proof_path(store, "locate", 1)
    path.parent.mkdir(parents=True)
    pack_proof(path, {name: (feed, {"prediction": np.zeros(1)}) for name, feed in feeds.items()})
    return store, receipt


def test_what_stood_behind_a_scale_is_brought_back_through_it(tmp_path):
    """The block makes of it what the members were proven on."""
    steps = [{"block": "scale", "with": {}}, "members", {"block": "fuse"}]
    inputs = of_release(
        *released(
            tmp_path, {"features": ("TYPE_FP32", [3])}, {"ridge": {"scaled": SCALED}}, steps, blocks={"scale": SCALE}
        )
    )

    sent = inputs.feed["features"]

    assert np.allclose(BLOCKS["scale"](SCALE)(features=sent)["scaled"], SCALED, atol=1e-5)
    assert inputs.said == "the rows that locate.r1 was proven on"


def test_tensors_of_several_members_go_by_the_pipelines_names(tmp_path):
    """As many rows as every member has; text stays text."""
    feeds = {
        "one": {"x": np.arange(12, dtype=np.float32).reshape(6, 2)},
        "other": {"w": np.array([[b"a"], [b"b"], [b"c"]], object)},
    }
    maps = {"one": {"x": "left"}, "other": {"w": "word"}}
    taken = {"left": ("TYPE_FP32", [2]), "word": ("TYPE_STRING", [1])}
    inputs = of_release(*released(tmp_path, taken, feeds, ["members"], maps=maps))

    assert inputs.feed["left"].tolist() == [[0, 1], [2, 3], [4, 5]]
    assert inputs.feed["word"].ravel().tolist() == [b"a", b"b", b"c"]


def test_members_who_call_their_tensors_alike_are_each_asked_with_their_own(tmp_path):
    """And a later block that takes a tensor of that name changes nothing."""
    feeds = {"one": {"x": np.full((4, 2), 1.0, np.float32)}, "other": {"x": np.full((4, 2), 2.0, np.float32)}}
    maps = {"one": {"x": "left"}, "other": {"x": "right"}, "locate.fuse": {"x": "fused"}}
    taken = {"left": ("TYPE_FP32", [2]), "right": ("TYPE_FP32", [2])}
    inputs = of_release(*released(tmp_path, taken, feeds, ["members"], maps=maps))

    assert {name: rows[0, 0] for name, rows in inputs.feed.items()} == {"left": 1.0, "right": 2.0}


@pytest.mark.parametrize(
    ("name", "content"),
    [("rows.npy", b""), ("rows.npz", b"PK\x03\x04 and no more"), ("rows.csv", b""), ("rows.parquet", b"no table")],
)
def test_a_file_that_is_not_whole_is_told_by_its_name(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)

    with pytest.raises(LoadTestError, match=f"{name} cannot be read: "):
        of_file(path, CONTRACT, {})


@pytest.mark.parametrize(
    ("urls", "protocol", "others", "lacking"),
    [
        (["grpc://a:1"], "grpc", [], []),
        (["grpcs://a", "https://a"], "both", [], []),
        (["grpc://a:1"], "http", ["grpc://a:1"], ["http"]),
        (["grpc://a:1"], "both", [], ["http"]),
    ],
)
def test_what_is_named_is_held_against_what_is_to_be_asked(urls, protocol, others, lacking):
    """Over both protocols one URL is too few: the other would be judged without a request."""
    assert (over(urls, protocol), unnamed(urls, protocol)) == (others, lacking)


def test_an_array_without_rows_is_refused(tmp_path):
    np.save(tmp_path / "rows.npy", np.float32(1))

    with pytest.raises(LoadTestError, match="expected as many rows of every tensor, one at least, got {'features': 0}"):
        of_file(tmp_path / "rows.npy", CONTRACT, {})


def test_callers_who_say_their_group_say_each_in_turn(tmp_path):
    taken = {"features": ("TYPE_FP32", [3]), "group": ("TYPE_STRING", [1])}
    blocks = {"ellipse": {"groups": {"values": ["lower", "upper"]}}}
    steps = ["members", {"block": "ellipse"}]
    feeds, maps = {"ridge": {"x": SCALED}}, {"ridge": {"x": "features"}}
    inputs = of_release(*released(tmp_path, taken, feeds, steps, maps=maps, blocks=blocks))

    assert inputs.feed["group"][:3].ravel().tolist() == [b"lower", b"upper", b"lower"]
    assert len(inputs.feed["group"]) == len(inputs.feed["features"])


def test_rows_behind_a_block_that_cannot_be_undone_are_made_up_and_it_is_said(tmp_path):
    taken = {"iq": ("TYPE_FP32", [-1, 2])}
    steps = [{"block": "log_mel"}, "members"]
    inputs = of_release(*released(tmp_path, taken, {"net": {"mel": SCALED}}, steps))

    assert inputs.feed["iq"].shape[2] == 2
    assert inputs.said.startswith("made-up rows, for what locate.r1 was proven on stands behind log_mel: name a file")


def test_a_tensor_that_nothing_is_kept_of_is_named(tmp_path):
    taken = {"left": ("TYPE_FP32", [2]), "right": ("TYPE_FP32", [2])}
    store, receipt = released(tmp_path, taken, {"one": {"left": SCALED}}, ["members"])

    with pytest.raises(LoadTestError, match=r"locate.r1: nothing is kept to ask right with: name a file of rows"):
        of_release(store, receipt)


class Fired:
    """Locust's request hook, as far as it is used."""

    def __init__(self):
        self.events = []

    def fire(self, **facts):
        self.events.append(facts)


def test_any_call_becomes_a_request_event():
    """Of an error of ours with the error, which goes no further."""
    hook = Fired()
    with request_event(hook, "grpc", "locate", "PositionOverGrpc") as answered:
        pass
    with request_event(hook, "grpc", "locate", "PositionOverGrpc") as late:
        raise DeadlineExceeded("no answer in 1 s")

    assert (answered.error, str(late.error)) == (None, "no answer in 1 s")
    assert [event["exception"] for event in hook.events] == [None, late.error]
    assert [event["context"]["users"] for event in hook.events] == ["PositionOverGrpc"] * 2
    assert all(event["response_time"] >= 0 for event in hook.events)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_what_is_cut_off_or_our_own_fault_is_no_request(error):
    """Neither answered nor refused: it goes on to whoever can tell it."""
    hook = Fired()
    with pytest.raises(error), request_event(hook, "http", "locate", "PositionOverHttp"):
        raise error

    assert hook.events == []
