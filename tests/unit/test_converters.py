"""scikit-learn and ONNX models become graphs that batch, say their shapes and load on the oldest target."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sextant.errors import ConversionError
from sextant.tensors import Tensor
from sextant_export.converters import convert
from sextant_export.converters.sklearn_flavor import graph_of
from sextant_export.onnx_graph import NEWEST_IR, NEWEST_OPSETS, graph_inputs, graph_outputs
from sextant_export.parity import prove, seeded_rows
from sextant_export.registry import Artifact, RegisteredVersion
from sextant_export.signature import TensorSignature

ROWS = np.random.default_rng(0).random((300, 8)).astype(np.float32)
TRUTH = np.c_[ROWS[:, 0] * 100 + ROWS[:, 3] * 50, ROWS[:, 1] * 80 - ROWS[:, 2] * 30]
PERCEPTRON = {"hidden_layer_sizes": (16, 8), "max_iter": 2000, "tol": 1e-2, "random_state": 0}
REGRESSORS = {
    "forest": RandomForestRegressor(20, random_state=0),
    "extra trees": ExtraTreesRegressor(20, random_state=0),
    "perceptron": MLPRegressor(**PERCEPTRON),
    "tanh perceptron": MLPRegressor(activation="tanh", **{**PERCEPTRON, "tol": 1.0}),
    "nearest": KNeighborsRegressor(3),
    "nearest by distance": KNeighborsRegressor(4, weights="distance"),
    "nearest by blocks": KNeighborsRegressor(4, metric="manhattan"),
    "scaled nearest": make_pipeline(StandardScaler(), KNeighborsRegressor(3, weights="distance")),
    "scaled perceptron": make_pipeline(StandardScaler(), MLPRegressor(**PERCEPTRON)),
}


@pytest.fixture(scope="module", params=REGRESSORS, ids=str)
def regressor(request):
    return REGRESSORS[request.param].fit(ROWS, TRUTH)


@pytest.fixture(scope="module")
def graph(regressor) -> onnx.ModelProto:
    return graph_of(regressor, 8)


def artifact(path: Path, **flavors: object) -> Artifact:
    version = RegisteredVersion(
        name="net",
        version=3,
        run_id="r",
        source=str(path),
        flavors=flavors,
        signature=TensorSignature(dtype="float32", dims=(8,)),
    )
    return Artifact(version=version, path=path, digest="")


@pytest.fixture
def network(tmp_path) -> Artifact:
    """A graph as MLflow saves one: its weights in a file beside it."""
    weights = onnx.numpy_helper.from_array(np.ones((8, 2), np.float32), "w")
    graph = onnx.parser.parse_graph("network (float[n, 8] x) => (float[n, 2] y) { y = MatMul(x, w) }")
    graph.initializer.append(weights)
    model = onnx.helper.make_model(graph)
    onnx.save_model(model, tmp_path / "model.onnx", save_as_external_data=True, location="weights", size_threshold=0)
    return artifact(tmp_path, onnx={"data": "model.onnx"})


def test_a_regressor_answers_as_its_graph(regressor, graph):
    rows = seeded_rows(ROWS, 1024, seed=1)

    proof, _ = prove(graph, lambda asked: {"prediction": regressor.predict(asked)}, rows)

    assert proof.max_abs_delta < 1e-3
    assert proof.edges == ()


def test_a_graph_of_several_targets_says_so(graph):
    assert graph_inputs(graph) == (Tensor("features", "FP32", (8,)),)
    assert graph_outputs(graph) == (Tensor("prediction", "FP32", (2,)),)


def test_a_graph_loads_on_the_oldest_target(graph):
    assert graph.ir_version <= NEWEST_IR
    for opset in graph.opset_import:
        assert opset.version <= NEWEST_OPSETS[opset.domain]


def test_the_same_estimator_gives_the_same_bytes(regressor, graph):
    """A version in a store is written once; making it again must change nothing."""
    again = graph_of(regressor, 8)

    assert again.SerializeToString(deterministic=True) == graph.SerializeToString(deterministic=True)


def test_more_neighbours_than_candidates_are_found():
    model = KNeighborsRegressor(290, weights="distance").fit(ROWS, TRUTH)

    proof, _ = prove(graph_of(model, 8), lambda asked: {"prediction": model.predict(asked)}, seeded_rows(ROWS, 200, 1))

    assert proof.max_abs_delta < 1e-3


def test_one_target_is_one_number():
    model = RandomForestRegressor(5, random_state=0).fit(ROWS, TRUTH[:, 0])

    assert graph_outputs(graph_of(model, 8)) == (Tensor("prediction", "FP32", (1,)),)


def test_a_classifier_has_no_map_of_probabilities():
    model = LogisticRegression().fit(ROWS, ROWS[:, 0] > 0.5)
    graph = graph_of(model, 8)

    assert "ZipMap" not in {node.op_type for node in graph.graph.node}
    assert graph_outputs(graph)[1] == Tensor("probabilities", "FP32", (2,))


def test_an_estimator_nobody_translates_is_named():
    model = make_pipeline(FunctionTransformer(np.sin), RandomForestRegressor(2)).fit(ROWS, TRUTH)

    with pytest.raises(ConversionError, match=r"skl2onnx cannot translate Pipeline: .*FunctionTransformer"):
        graph_of(model, 8)


def test_weights_beside_the_graph_come_inside(network):
    model = convert(network)

    assert graph_outputs(model) == (Tensor("y", "FP32", (2,)),)
    assert all(weight.data_location == onnx.TensorProto.DEFAULT for weight in model.graph.initializer)


def test_weights_that_are_missing_are_named(network):
    (network.path / "weights").unlink()

    with pytest.raises(ConversionError, match=r"models:/net/3: its weights .* lie in weights, not there"):
        convert(network)


def test_weights_that_are_cut_short_are_named(network):
    weights = network.path / "weights"
    weights.write_bytes(weights.read_bytes()[:60])

    with pytest.raises(ConversionError, match=r"models:/net/3: weights is cut short: 60 bytes of at least 64"):
        convert(network)


def test_weights_outside_the_artifact_are_not_read(network):
    model = onnx.load(str(network.path / "model.onnx"), load_external_data=False)
    model.graph.initializer[0].external_data[0].value = "../weights"
    (network.path / "model.onnx").write_bytes(model.SerializeToString())

    with pytest.raises(ConversionError, match=r"lie in \.\./weights, not there"):
        convert(network)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_graph_that_is_cut_short_is_refused(network, share):
    path = network.path / "model.onnx"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])

    with pytest.raises(ConversionError, match=r"models:/net/3: model\.onnx is no whole ONNX file"):
        convert(network)


def test_a_graph_that_is_missing_is_named(network):
    (network.path / "model.onnx").unlink()

    with pytest.raises(ConversionError, match=r"models:/net/3: its file model\.onnx is missing"):
        convert(network)


def test_a_flavour_without_a_converter_is_refused_with_advice(tmp_path):
    with pytest.raises(
        ConversionError, match=r"was saved as fastai, python_function; this version converts onnx, sklearn"
    ):
        convert(artifact(tmp_path, fastai={}, python_function={}))
