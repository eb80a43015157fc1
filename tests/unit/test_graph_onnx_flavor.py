"""MLflow's onnx flavour: what was logged becomes a graph on disk that answers as the logged file does."""

from __future__ import annotations

from pathlib import Path

import mlflow
import numpy as np
import onnx
import pytest
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema, TensorSpec

from sextant.errors import ConversionError
from sextant.tensors import Tensor
from sextant_export.converters import convert
from sextant_export.converters.onnx_flavor import original
from sextant_export.graph_file import GraphFile, settle
from sextant_export.mlflow_calls import quiet_mlflow
from sextant_export.registry import Artifact, RegisteredVersion
from sextant_export.signature import Signature

ROWS = np.random.default_rng(0).random((5, 8), np.float32)
NETWORK = "g (float[n, 8] x) => (float[n, 40] y) { y = MatMul(x, w) }"


def parsed(text: str) -> onnx.ModelProto:
    domains = '"" : 21, "ai.onnx.ml" : 3'
    return onnx.parser.parse_model(f"<ir_version: 10, opset_import: [{domains}]> {text}")


def network() -> onnx.ModelProto:
    model = parsed(NETWORK)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.arange(320, dtype=np.float32).reshape(8, 40), "w"))
    return model


def artifact(path: Path, signature: Signature | None = None) -> Artifact:
    with quiet_mlflow():
        flavors = mlflow.models.Model.load(str(path)).flavors
    version = RegisteredVersion(
        name="net", version=3, run_id="r", source=str(path), flavors=flavors, signature=signature
    )
    return Artifact(version=version, path=path, digest="")


@pytest.fixture
def logged(tmp_path):
    """A function that saves a graph as MLflow does, external data and all."""

    def save(model: onnx.ModelProto, inputs: Schema | None = None, **options: object) -> Artifact:
        signature = ModelSignature(inputs=inputs) if inputs else None
        with quiet_mlflow() as quiet:
            quiet.onnx.save_model(model, str(tmp_path / "logged"), signature=signature, pip_requirements=[], **options)
        return artifact(tmp_path / "logged", Signature.of(signature) if signature else None)

    return save


@pytest.fixture
def settled(tmp_path):
    def settle_it(found: Artifact) -> GraphFile:
        return settle(convert(found, "onnx").model, found.path, tmp_path / "settled")

    return settle_it


def numbers(*shape: int, dtype: str = "float32", name: str | None = None) -> Schema:
    return Schema([TensorSpec(np.dtype(dtype), (-1, *shape), name)])


def test_mlflows_default_layout_keeps_its_weights_in_their_file(logged, settled):
    """Left behind, they are what the incumbent plugin publishes a broken model for."""
    found = logged(network(), numbers(8))
    graph = settled(found)

    (weights,) = graph.files[1:]
    assert (graph.path.parent / weights).samefile(found.path / weights)
    assert np.array_equal(graph.answer({"x": ROWS})["y"], original(found)({"x": ROWS})["y"])


def test_the_original_answers_as_mlflows_own_predict(logged):
    found = logged(network(), numbers(8))

    with quiet_mlflow() as quiet:
        said = quiet.pyfunc.load_model(str(found.path)).predict(ROWS)

    assert np.array_equal(original(found)({"x": ROWS})["y"], said["y"])


def test_a_graph_in_a_folder_of_its_own_finds_its_weights(logged, settled):
    found = logged(network())
    deeper = found.path / "data"
    deeper.mkdir()
    for file in [path for path in found.path.iterdir() if "model.onnx" in path.name or path.suffix == ".data"]:
        file.rename(deeper / file.name)
    found.flavors["onnx"]["data"] = "data/model.onnx"

    graph = settled(found)

    assert graph.files[1].startswith("data/")
    assert np.array_equal(graph.answer({"x": ROWS})["y"], original(found)({"x": ROWS})["y"])


def test_a_graph_without_a_signature_says_itself_what_it_takes(logged, settled):
    graph = settled(logged(network()))

    assert graph.inputs == (Tensor("x", "FP32", (8,)),)


def test_a_file_that_is_missing_is_named_with_the_model(logged):
    found = logged(network())
    next(path for path in found.path.iterdir() if path.suffix == ".data").unlink()

    with pytest.raises(ConversionError, match=r"models:/net/3: its weights 'w' lie in .*, not there; log the model"):
        convert(found, "onnx")


def test_a_classifier_with_a_zip_map_is_proven_class_by_class(logged, settled):
    found = logged(zipped(), numbers(8))
    graph = settled(found)

    expected = original(found)({"x": ROWS})["scores"]
    assert expected.shape == (5, 3)
    assert np.array_equal(graph.answer({"x": ROWS})["scores"], expected)
    assert graph.facts()["labels"] == {"scores": ["c", "a", "b"]}


def zipped() -> onnx.ModelProto:
    model = parsed(
        "g (float[n, 8] x) => (seq(map(string, float)) scores) { s = MatMul(x, w) p = Softmax(s) "
        'scores = ai.onnx.ml.ZipMap <classlabels_strings = ["c", "a", "b"]> (p) }'
    )
    weights = np.random.default_rng(1).random((8, 3), np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(weights, "w"))
    return model


def test_a_fixed_batch_is_proven_against_the_file_asked_in_its_own_batches(logged, settled):
    found = logged(parsed("g (float[2, 8] x) => (float[2, 8] y) { y = Softmax(x) }"), numbers(8))

    graph = settled(found)

    np.testing.assert_allclose(graph.answer({"x": ROWS})["y"], original(found)({"x": ROWS})["y"], rtol=1e-6)


def test_names_that_triton_does_not_take_still_mean_the_logged_ones(logged, settled):
    model = parsed("g (float[n, 1] a, float[n, 1] b) => (float[n, 1] y) { y = Sub(a, b) }")
    for old, new in (("a", "petal (cm)"), ("b", "sepal (cm)")):
        next(value for value in model.graph.input if value.name == old).name = new
        model.graph.node[0].input[:] = [new if name == old else name for name in model.graph.node[0].input]
    found = logged(model, Schema([ColSpec("float", "sepal (cm)"), ColSpec("float", "petal (cm)")]))
    feed = {"petal_cm": ROWS[:, :1], "sepal_cm": ROWS[:, 1:2]}

    graph = settled(found)

    assert graph.answer(feed)["y"].tolist() == (ROWS[:, :1] - ROWS[:, 1:2]).tolist()
    assert original(found)(feed)["y"].tolist() == (ROWS[:, :1] - ROWS[:, 1:2]).tolist()
    assert graph.facts()["renamed"] == {"petal_cm": "petal (cm)", "sepal_cm": "sepal (cm)"}


@pytest.mark.parametrize(
    ("taken", "said", "dtype"),
    [
        ("double", "float32", "FP64"),
        ("float", "float64", "FP32"),
        ("int64", "int32", "INT64"),
        ("int32", "int64", "INT32"),
    ],
)
def test_the_type_is_the_graph_s_own_and_the_difference_is_noted(logged, settled, taken, said, dtype):
    found = logged(parsed(f"g ({taken}[n, 2] x) => ({taken}[n, 2] y) {{ y = Abs(x) }}"), numbers(2, dtype=said))

    graph = settled(found)

    assert graph.inputs == (Tensor("x", dtype, (2,)),)
    assert graph.facts()["types"] == {"x": f"{dtype} in the graph, {said} in the signature"}
    assert graph.answer({"x": np.array([[-1, 2]], said)})["y"].tolist() == [[1, 2]]
    assert original(found)({"x": np.array([[-1, 2]], said)})["y"].tolist() == [[1, 2]]


@pytest.mark.parametrize(
    ("taken", "said", "word"),
    [
        ("int64", "float32", "INT64"),
        ("bool", "float64", "BOOL"),
        ("float", "str", "FP32"),
        ("string", "int64", "BYTES"),
    ],
)
def test_a_type_that_no_cast_makes_right_is_refused(logged, taken, said, word):
    found = logged(parsed(f"g ({taken}[n, 2] x) => ({taken}[n, 2] y) {{ y = Identity(x) }}"), numbers(2, dtype=said))

    with pytest.raises(ConversionError, match=rf"its graph takes 'x' as {word}, and its signature says 'features' is"):
        convert(found, "onnx")


def test_a_table_of_another_width_is_refused(logged):
    found = logged(network(), Schema([ColSpec("double", "a"), ColSpec("double", "b")]))

    with pytest.raises(ConversionError, match=r"its graph takes x, and its signature has 2 columns: log the model"):
        convert(found, "onnx")


def test_a_signature_that_lacks_an_input_is_refused(logged):
    model = parsed("g (float[n, 1] a, float[n, 1] b) => (float[n, 1] y) { y = Sub(a, b) }")
    found = logged(model, Schema([ColSpec("double", "a"), ColSpec("double", "c")]))

    with pytest.raises(ConversionError, match=r"takes a, b, and its signature has a, c: log .* signature that has b"):
        convert(found, "onnx")


DEFAULT = "g (float[n, 2] x, float[n, 2] z) => (float[n, 2] y) { y = Sub(x, z) }"


@pytest.mark.parametrize(("asked", "taken"), [(["x"], ["x"]), (["x", "z"], ["x", "z"])])
def test_an_input_with_a_default_is_one_only_where_the_signature_has_it(logged, settled, asked, taken):
    model = parsed(DEFAULT)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((1, 2), np.float32), "z"))
    found = logged(model, Schema([TensorSpec(np.dtype("float32"), (-1, 2), name) for name in asked]))

    assert [tensor.name for tensor in settled(found).inputs] == taken


def test_text_and_numbers_come_in_columns(logged, settled):
    model = parsed(
        "g (string[n, 1] city, int64[n] age) => (int64[n] y) { c = ai.onnx.ml.LabelEncoder <keys_strings = "
        '["a", "b"], values_int64s = [10, 20], default_int64 = -1> (city) s = Constant <value = int64[1] {-1}> () '
        "f = Reshape(c, s) y = Add(f, age) }"
    )
    found = logged(model, Schema([ColSpec("string", "city"), ColSpec("long", "age")]))
    feed = {"city": np.array([[b"b"], [b"z"]], object), "age": np.array([[1], [2]])}

    graph = settled(found)

    assert graph.inputs == (Tensor("city", "BYTES", (1,)), Tensor("age", "INT64", ()))
    assert graph.answer(feed)["y"].tolist() == [21, 1]
    assert original(found)(feed)["y"].tolist() == [21, 1]
