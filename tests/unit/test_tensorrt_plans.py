"""TensorRT plans, built for real by the library that compiles on a CPU."""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from dataclasses import replace
from importlib.metadata import version
from types import ModuleType

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from embedded_models import graph
from planned import SERVING, convolution, copy_of, features, forest, on_disk, perceptron, rtx
from sextant.errors import ConversionError, MissingExtra, ParityError
from sextant_export.copies.tensorrt import NOT_RUN, planned
from sextant_export.graph_file import GraphFile
from sextant_export.pipeline import Serving, TensorRT
from sextant_export.tensorrt import Library, open_library, parse, plans_in, unsupported
from sextant_export.tensorrt.gpu import compute_capability

IMAGES = {"x": {"min": (1, 3, 8, 8), "opt": (8, 3, 32, 32), "max": (16, 3, 64, 64)}}


def test_a_perceptron_becomes_a_plan_with_its_fingerprint(tmp_path):
    copy = copy_of(perceptron(), tmp_path, rtx())

    plan = copy.plans["8.9"]

    assert copy.kind == "tensorrt"
    assert (plan.library, plan.version) == ("tensorrt_rtx", version("tensorrt-rtx"))
    assert (plan.compute_capability, plan.platform) == ("8.9", f"linux-{platform.machine()}")
    assert plan.sha256 == hashlib.sha256(plan.path.read_bytes()).hexdigest()
    assert plan.profile["x"] == ((1, 8), (8, 8), (16, 8))


def test_a_convolution_of_any_size_is_built_for_the_sizes_the_spec_says(tmp_path):
    plan = copy_of(convolution(), tmp_path, rtx(profile=IMAGES)).plans["8.9"]

    assert plan.profile["x"].max == (16, 3, 64, 64)
    assert plan.path.stat().st_size > 10_000


def test_a_plan_tells_what_it_was_made_of(tmp_path):
    """No engine is opened on a CPU, not even by RTX; its bytes name the layers that it was fused from."""
    blob = copy_of(perceptron(), tmp_path, rtx()).plans["8.9"].path.read_bytes()

    assert all(f"[ONNX Layer: {name}]".encode() in blob for name in ("first", "bend", "second"))


def test_the_network_is_typed_as_the_graph_is(tmp_path):
    library = open_library(rtx().builder)

    network = parse(library, on_disk(perceptron(), tmp_path / "graph").path)

    assert network.inputs == {"x": (-1, 8)}
    assert network.definition.get_flag(library.api.NetworkDefinitionCreationFlag.STRONGLY_TYPED)


def test_there_is_a_plan_for_each_kind_of_gpu(tmp_path):
    copy = copy_of(perceptron(), tmp_path, rtx(compute_capabilities=("8.0", "8.9", "12.0")))

    assert {c: plan.file for c, plan in copy.plans.items()} == {
        "8.0": "model.sm80.plan",
        "8.9": "model.sm89.plan",
        "12.0": "model.sm120.plan",
    }
    assert len({plan.sha256 for plan in copy.plans.values()}) == 3


def test_a_version_directory_holds_graph_plan_and_note(tmp_path):
    (tmp_path / "7").mkdir()

    copy_of(perceptron(), tmp_path, rtx()).write(tmp_path / "7")

    assert sorted(p.name for p in (tmp_path / "7").iterdir()) == [
        "model.onnx",
        "model.sm89.plan",
        "model.sm89.plan.json",
    ]
    assert plans_in(tmp_path / "7")["8.9"].library == "tensorrt_rtx"


def test_the_main_configuration_names_the_plans_and_its_twin_the_graph(tmp_path):
    configs = copy_of(perceptron(), tmp_path, rtx()).configs("mlp", SERVING, [7])

    assert configs.main.platform == "tensorrt_plan"
    assert dict(configs.main.cc_model_filenames) == {"8.9": "model.sm89.plan"}
    assert configs.main.instance_group[0].kind == 1  # KIND_GPU
    assert configs.embedded.backend == "onnxruntime"
    assert (configs.main.input, configs.main.output) == (configs.embedded.input, configs.embedded.output)


def test_the_receipt_says_that_the_plan_was_not_run(tmp_path):
    facts = copy_of(perceptron(), tmp_path, rtx()).facts()

    assert facts["plans_run"] == NOT_RUN
    assert [plan["file"] for plan in facts["plans"]] == ["model.sm89.plan"]
    assert json.loads(json.dumps(facts)) == facts


def test_a_forest_stays_on_onnx_and_says_which_node_was_the_reason(tmp_path):
    copy = copy_of(forest(), tmp_path, rtx())

    assert copy.kind == "onnx"
    assert copy.facts()["why"] == (
        "TensorRT does not take TreeEnsembleRegressor 'TreeEnsembleRegressor': TensorRT has no such operator"
    )


def test_a_spec_that_insists_gets_the_nodes_as_a_refusal(tmp_path):
    with pytest.raises(ConversionError, match=r"TreeEnsembleRegressor.*write `target: onnx`"):
        copy_of(forest(), tmp_path, rtx(), insist=True)


def test_every_node_that_is_not_taken_is_listed(tmp_path):
    nodes = [
        helper.make_node("Scaler", ["x"], ["a"], name="scale", domain="ai.onnx.ml", offset=[0.0], scale=[2.0]),
        helper.make_node("Normalizer", ["a"], ["y"], name="norm", domain="ai.onnx.ml", norm="L2"),
    ]
    ends = {"x": (TensorProto.FLOAT, ("rows", 8))}, {"y": (TensorProto.FLOAT, ("rows", 8))}
    made = helper.make_graph(nodes, "g", *[[helper.make_tensor_value_info(n, *v) for n, v in e.items()] for e in ends])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    on = on_disk(helper.make_model(made, opset_imports=opsets, ir_version=9), tmp_path / "graph")

    refused = unsupported(open_library(rtx().builder), on.path, on.inputs)

    assert [(node.operator, node.name) for node in refused] == [("Scaler", "scale"), ("Normalizer", "norm")]


@pytest.mark.parametrize(("kind", "dtype"), [(TensorProto.INT64, "INT64"), (TensorProto.DOUBLE, "FP64")])
def test_a_type_that_triton_does_not_take_from_a_plan_stays_on_onnx(tmp_path, kind, dtype):
    node = helper.make_node("Add", ["x", "x"], ["y"])

    copy = copy_of(graph([node], {"x": (kind, ("rows", 2))}, {"y": (kind, ("rows", 2))}), tmp_path, rtx())

    assert copy.kind == "onnx"
    assert f"tensor 'x': {dtype}" in copy.facts()["why"]


def test_a_gpu_that_the_library_cannot_build_for_is_refused_in_its_own_words(tmp_path):
    """Turing multiplies no float32 matrices in RTX."""
    with pytest.raises(ConversionError, match=r"for compute capability 7\.5: .*FP32 GEMM is not supported"):
        copy_of(perceptron(), tmp_path, rtx(compute_capabilities=("7.5",)))


def test_a_gpu_that_the_library_does_not_know_is_refused(tmp_path):
    with pytest.raises(ConversionError, match=r"compiles for 7\.5, 8\.0, 8\.6, 8\.9, 12\.0.*, not for 9\.0"):
        copy_of(perceptron(), tmp_path, rtx(compute_capabilities=("9.0",)))


@pytest.mark.skipif(compute_capability() is not None, reason="a GPU is at hand")
def test_without_a_gpu_the_spec_must_name_one(tmp_path):
    with pytest.raises(ConversionError, match=r"finds no GPU to build for: write tensorrt.compute_capabilities"):
        copy_of(perceptron(), tmp_path, rtx(compute_capabilities=()))


def test_without_the_library_the_sentence_says_what_to_type(tmp_path):
    with pytest.raises(MissingExtra, match=r"docker compose run export.*pip install 'triton-sextant\[tensorrt\]'"):
        copy_of(perceptron(), tmp_path, TensorRT(compute_capabilities=("8.9",)))


def full_library(version="10.13.3.9"):
    """What the full library says of itself on a machine without a GPU: it compiles for no other."""
    api = ModuleType("tensorrt")
    api.__version__ = version
    return Library(api, log=None)


@pytest.mark.skipif(compute_capability() is not None, reason="a GPU is at hand")
@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ((), r"builds plans on a GPU alone, and there is none here: export on the GPU host"),
        (("9.0",), r"for the GPU at hand alone, there is no GPU here, and 9\.0 is asked for.*into the same store"),
    ],
)
def test_the_full_library_wants_the_gpu_itself(asked, sentence):
    with pytest.raises(ConversionError, match=sentence):
        full_library().targets(asked)


def test_a_library_without_strong_types_is_too_old(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt", full_library("10.9.0.34").api)

    with pytest.raises(ConversionError, match=r"tensorrt 10\.9\.0\.34 is too old: expected 10\.12 or newer"):
        open_library()


def test_float16_is_the_rewritten_graph_proven_at_the_stated_tolerance(tmp_path):
    copy = copy_of(perceptron(), tmp_path, rtx(float16=True, tolerance=0.05))
    feed = {"x": features(64)}

    proven = copy.proven(feed, copy.answer(feed))

    delta = proven.facts()["plans_proof"]["max_abs_delta"]
    assert 0 < delta < 0.05
    assert proven.plans["8.9"].float16
    assert {value.elem_type for value in _weights(copy.half.path)} == {TensorProto.FLOAT16}
    assert [tensor.dtype for tensor in (*copy.half.inputs, *copy.half.outputs)] == ["FP32", "FP32"]


@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.INT32])
def test_float16_of_a_graph_that_begins_with_a_cast(tmp_path, kind):
    """As skl2onnx's do, from float to float: the converter alone makes a graph of two types that nothing loads."""
    model = perceptron()
    model.graph.input[0].type.tensor_type.elem_type = kind
    model.graph.node[0].input[0] = "cast"
    model.graph.node.insert(0, helper.make_node("Cast", ["x"], ["cast"], to=TensorProto.FLOAT))
    copy = copy_of(model, tmp_path, rtx(float16=True, tolerance=0.1))
    feed = {"x": (features(8) * 3).astype(copy.inputs[0].numpy_type)}

    assert copy.proven(feed, copy.answer(feed)).plans["8.9"].float16


def test_float16_that_is_too_coarse_is_refused(tmp_path):
    copy = copy_of(perceptron(), tmp_path, rtx(float16=True, tolerance=1e-6))
    feed = {"x": features(64)}

    with pytest.raises(ParityError, match=r"in float16: .*state another tensorrt.tolerance, or write float16: false"):
        copy.proven(feed, copy.answer(feed))


def test_float16_runs_on_turing_where_float32_does_not(tmp_path):
    copy = copy_of(perceptron(), tmp_path, rtx(float16=True, compute_capabilities=("7.5",)))

    assert list(copy.plans) == ["7.5"]


def test_the_float32_twin_stays_in_the_version_directory(tmp_path):
    (tmp_path / "7").mkdir()
    copy = copy_of(perceptron(), tmp_path, rtx(float16=True))

    copy.write(tmp_path / "7")

    assert (tmp_path / "7/model.onnx").read_bytes() == copy.graph.path.read_bytes()


def _weights(path):
    return [
        type("Weight", (), {"elem_type": weight.data_type})
        for weight in onnx.load(path).graph.initializer
        if weight.name.startswith("w")
    ]


def test_weights_outside_the_graph_are_read_from_beside_it(tmp_path):
    folder = tmp_path / "graph"
    folder.mkdir()
    onnx.save(perceptron(), folder / "model.onnx", save_as_external_data=True, location="weights", size_threshold=0)
    whole = copy_of(perceptron(), tmp_path / "whole", rtx())

    outside = planned(GraphFile(folder / "model.onnx"), rtx(), SERVING, tmp_path / "plans")

    assert outside.plans["8.9"].layers == whole.plans["8.9"].layers


class Stored:
    """A version directory of a store with the plans of a first export."""

    def __init__(self, tmp_path):
        self.tmp_path, self.place = tmp_path, tmp_path / "store" / "7"
        self.place.mkdir(parents=True)
        self.first = copy_of(perceptron(), tmp_path / "first", rtx())
        self.first.write(self.place)

    def planned(self, asked, serving=SERVING):
        return planned(GraphFile(self.place / "model.onnx"), asked, serving, self.tmp_path / "again")


def test_plans_in_the_store_are_kept_and_only_the_missing_one_is_built(tmp_path):
    """On each GPU host of a mixed fleet the export adds its own plan."""
    stored = Stored(tmp_path)

    again = stored.planned(rtx(compute_capabilities=("8.9", "12.0")))

    assert again.plans["8.9"].sha256 == stored.first.plans["8.9"].sha256
    assert again.plans["12.0"].path.is_relative_to(tmp_path / "again")


def test_plans_in_the_store_need_no_library(tmp_path):
    stored = Stored(tmp_path)
    note = stored.place / "model.sm89.plan.json"
    note.write_text(note.read_text().replace("tensorrt_rtx", "tensorrt"))

    assert list(stored.planned(TensorRT()).plans) == ["8.9"]


def test_plans_for_smaller_batches_are_not_served_larger_ones(tmp_path):
    with pytest.raises(ConversionError, match=r"batches were up to 16 rows and would be up to 32.*new version"):
        Stored(tmp_path).planned(rtx(), replace(SERVING, max_batch_size=32))


def test_a_plan_that_was_changed_is_named(tmp_path):
    stored = Stored(tmp_path)
    with (stored.place / "model.sm89.plan").open("ab") as plan:
        plan.write(b"!")

    with pytest.raises(ConversionError, match=r"model.sm89.plan is not the plan that model.sm89.plan.json tells of"):
        stored.planned(rtx())


@pytest.mark.parametrize(
    ("profile", "sentence"),
    [
        ({}, r"x has open axes, \[3, -1, -1\] for a row.*write tensorrt.profile.x"),
        ({"z": IMAGES["x"]}, r"tensorrt.profile: z is no input; the model takes x"),
        ({"x": {**IMAGES["x"], "opt": (8, 1, 32, 32)}}, r"\[8, 1, 32, 32\] does not fit \['batch', 3, -1, -1\]"),
        ({"x": {**IMAGES["x"], "opt": (8, 3, 99, 32)}}, r"expected min <= opt <= max on every axis"),
        ({"x": {**IMAGES["x"], "max": (99, 3, 64, 64)}}, r"batches of 1 to 99, and Triton serves 1 to 16 rows"),
    ],
)
def test_a_profile_that_does_not_fit_is_refused(tmp_path, profile, sentence):
    with pytest.raises(ConversionError, match=sentence):
        copy_of(convolution(), tmp_path, rtx(profile=profile))


def test_the_fastest_batch_is_no_larger_than_the_largest(tmp_path):
    plan = copy_of(perceptron(), tmp_path, rtx(opt_batch_size=8), Serving(max_batch_size=4)).plans["8.9"]

    assert plan.profile["x"].opt == (4, 8)


def test_the_same_graph_is_the_same_network_twice(tmp_path):
    """Its answers come from the graph: the plan itself is not the same bytes twice, and is kept instead."""
    copies = [copy_of(perceptron(), tmp_path / name, rtx()) for name in "ab"]

    assert len({copy.plans["8.9"].onnx_sha256 for copy in copies}) == 1
    np.testing.assert_array_equal(*(copy.answer({"x": features(3)})["y"] for copy in copies))
