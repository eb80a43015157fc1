"""A real MLflow registry: which version a URI means, its files, what the original answers, its refusals."""

from __future__ import annotations

import os
import shutil
import socket
import time

import numpy as np
import onnx
import pandas as pd
import pytest
from sklearn.linear_model import Ridge

from sextant.errors import ConversionError, RegistryError, RegistryUnreachable
from sextant_export.converters import convert
from sextant_export.graph_file import settle
from sextant_export.mlflow_calls import mlflow_calls, quiet_mlflow
from sextant_export.original import fitted
from sextant_export.parity import prove
from sextant_export.registry import Registry, input_example
from sextant_export.value_space import seeded_rows

pytestmark = pytest.mark.e2e


@pytest.fixture
def registry(world) -> Registry:
    return world.registry


@pytest.fixture
def network(world) -> onnx.ModelProto:
    """A graph large enough for MLflow to lay its weights beside it, as it does by default."""
    graph = onnx.parser.parse_graph("net (float[n, 8] x) => (float[n, 2] y) { h = MatMul(x, a) y = MatMul(h, b) }")
    random = np.random.default_rng(0)
    for name, shape in (("a", (8, 64)), ("b", (64, 2))):
        graph.initializer.append(onnx.numpy_helper.from_array(random.random(shape, np.float32), name))
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    model.ir_version = 10
    return model


class Original:
    """What ``world.log`` wants to see of a model that has no predict of its own."""

    def predict(self, rows):
        return np.zeros((len(rows), 2), np.float32)


def proven(artifact, rows, folder):
    """The proof that the converted *artifact* answers *rows* as its flavour does."""
    conversion = convert(artifact)
    graph = settle(conversion.model, artifact.path, folder)
    original = conversion.source.original()
    feed = {graph.inputs[0].name: rows}
    proof, _ = prove(graph.answer, lambda asked: fitted(original(asked), graph.outputs), feed)
    return proof


def log_onnx(world, network):
    return world.log("net", lambda mlflow, **facts: mlflow.onnx.log_model(network, **facts), Original(), "champion")


def test_an_alias_means_a_version(registry):
    found = registry.resolve("models:/forest@champion")

    assert (found.name, found.version, str(found)) == ("forest", 1, "models:/forest/1")
    assert found.signature.form == "array"
    assert [(each.type, each.dims) for each in found.signature.inputs] == [("float32", (8,))]
    assert {"python_function", "sklearn"} == set(found.flavors)


def test_an_alias_that_moved_means_the_new_version(world, registry):
    second = world.register("ridge", Ridge(alpha=5))

    assert registry.resolve("models:/ridge@champion").version == second == 2
    assert registry.resolve("models:/ridge/1").version == 1


def test_a_run_means_the_version_that_was_registered_from_it(registry):
    found = registry.resolve("models:/knn/1")

    assert registry.resolve(f"runs:/{found.run_id}/knn") == found


def test_a_run_that_was_registered_twice_asks_which(world, registry):
    found = registry.resolve("models:/knn/1")
    with quiet_mlflow() as mlflow:
        client = mlflow.MlflowClient(registry.tracking_uri)
        client.create_model_version("knn", found.source, run_id=found.run_id)

    with pytest.raises(RegistryError, match=r"several versions .* write models:/knn/1 or models:/knn/2"):
        registry.resolve(f"runs:/{found.run_id}/knn")


def test_a_run_that_was_never_registered_says_how(world, registry):
    with quiet_mlflow() as mlflow:
        run = mlflow.MlflowClient(registry.tracking_uri).create_run("0")
    uri = f"runs:/{run.info.run_id}/model"

    with pytest.raises(RegistryError, match=r"not registered yet: mlflow\.register_model\('runs:/"):
        registry.resolve(uri)


@pytest.mark.parametrize(
    ("uri", "sentence"),
    [
        ("models:/forst@champion", "no registered model 'forst'; did you mean 'forest'?"),
        ("models:/forest@champoin", "forest has no alias 'champoin'; did you mean 'champion'?"),
        ("models:/forest@best", "forest has no alias 'best'; there are champion"),
        ("models:/forest/9", "models:/forest/9: forest has no version 9; versions: 1"),
        (
            "runs:/0123456789abcdef0123456789abcdef/model",
            "the registry has no run '0123456789abcdef0123456789abcdef'",
        ),
        ("forest", "'forest' is no model URI; wanted models:/<name>@<alias>"),
    ],
)
def test_what_is_not_there_is_named_with_what_is(registry, uri, sentence):
    with pytest.raises(RegistryError) as refusal:
        registry.resolve(uri)

    assert sentence in str(refusal.value)


def test_a_model_may_come_without_a_signature(world, registry):
    """An ONNX graph says itself what it takes; who needs one asks for it later."""
    world.register("bare", Ridge(), signature=False)

    assert registry.resolve("models:/bare@champion").signature is None


def test_the_same_files_have_the_same_digest_and_others_another(registry, tmp_path):
    forest, knn = registry.resolve("models:/forest/1"), registry.resolve("models:/knn/1")

    one, again, other = (
        registry.fetch(found, tmp_path / str(i)).digest for i, found in enumerate((forest, forest, knn))
    )

    assert one == again != other


@pytest.mark.parametrize("name", ["ridge", "forest", "knn"])
def test_what_is_fetched_converts_and_answers_as_the_flavour(world, registry, tmp_path, name):
    artifact = registry.fetch(registry.resolve(f"models:/{name}@champion"), tmp_path / "artifact")
    rows = seeded_rows(world.training.scaled, 1024, seed=11)

    proof = proven(artifact, rows, tmp_path / "graph")

    assert proof.rows == 1024
    assert proof.max_abs_delta < 1e-2


def test_the_logged_example_is_rows_of_the_signature(world, registry, tmp_path):
    artifact = registry.fetch(registry.resolve("models:/forest/1"), tmp_path / "artifact")

    assert (input_example(artifact) == world.training.scaled[:4]).all()


def test_a_graph_with_weights_beside_it_arrives_whole(world, registry, network, tmp_path):
    log_onnx(world, network)
    artifact = registry.fetch(registry.resolve("models:/net@champion"), tmp_path / "artifact")
    rows = seeded_rows(world.training.scaled, 100, seed=12)

    proof = proven(artifact, rows, tmp_path / "graph")

    assert len(list(artifact.path.glob("**/*"))) > 6, "MLflow laid the weights beside the graph"
    assert proof.worst_output == "y"
    assert proof.max_abs_delta <= proof.tolerance


def test_a_truncated_graph_is_refused_by_name(world, registry, network, tmp_path):
    log_onnx(world, network)
    artifact = registry.fetch(registry.resolve("models:/net@champion"), tmp_path / "artifact")
    os.truncate(artifact.path / "model.onnx", 40)

    with pytest.raises(ConversionError, match=r"models:/net/1: model\.onnx is no whole ONNX file"):
        convert(artifact)


def test_a_table_of_numbers_is_one_tensor(world, registry, tmp_path):
    columns = [f"receiver_{i}" for i in range(8)]
    table = pd.DataFrame(world.training.scaled, columns=columns)
    model = Ridge().fit(table, world.training.east_north)

    def log(mlflow, **facts):
        signature = mlflow.models.infer_signature(table, model.predict(table))
        facts |= {"signature": signature, "input_example": table[:4]}
        return mlflow.sklearn.log_model(model, serialization_format="cloudpickle", **facts)

    world.log("table", log, model, "champion", signature=False)
    artifact = registry.fetch(registry.resolve("models:/table@champion"), tmp_path / "artifact")
    rows = seeded_rows(input_example(artifact).to_numpy(np.float32), 100, seed=13)

    proof = proven(artifact, rows, tmp_path / "graph")

    assert [column.name for column in artifact.signature.inputs] == columns
    assert artifact.signature.matrix == ("features", "FP32", (8,), False)
    assert proof.max_abs_delta <= proof.tolerance


def test_columns_of_text_are_tensors_of_their_own(world, registry):
    def log(mlflow, **facts):
        facts["signature"] = mlflow.models.infer_signature(pd.DataFrame({"floor no.": ["a"], "rssi": [1.0]}))
        return mlflow.sklearn.log_model(Ridge(), serialization_format="cloudpickle", **facts)

    world.log("words", log, Original(), "champion", signature=False)

    signature = registry.resolve("models:/words@champion").signature
    assert signature.matrix is None
    assert [tuple(tensor)[:2] for tensor in signature.tensors] == [("floor_no", "BYTES"), ("rssi", "FP64")]


def test_files_that_are_gone_are_named(world, registry, tmp_path):
    world.register("ridge", Ridge(alpha=7))
    found = registry.resolve("models:/ridge@champion")
    shutil.rmtree(found.source.removeprefix("file://"))

    with pytest.raises(RegistryError, match=r"No such artifact"):
        registry.fetch(found, tmp_path / "artifact")
    with pytest.raises(RegistryError, match=r"No such artifact"):
        registry.resolve("models:/ridge@champion")


def test_a_full_or_read_only_disk_is_not_taken_for_the_registry(registry, tmp_path):
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(RegistryError, match="file"):
        registry.fetch(registry.resolve("models:/forest/1"), tmp_path / "file")


def test_a_registry_file_that_is_not_there_is_not_made(tmp_path):
    with pytest.raises(RegistryUnreachable, match=r"there is no file .*gone\.db"):
        Registry(f"sqlite:///{tmp_path}/gone.db").resolve("models:/a@b")

    assert not list(tmp_path.iterdir())


def test_a_registry_out_of_reach_is_said_quickly():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{unused.getsockname()[1]}"
        begun = time.monotonic()

        with pytest.raises(RegistryUnreachable, match=r"does not answer: Connection refused$"):
            Registry(uri).resolve("models:/a@b")

    assert time.monotonic() - begun < 60, "MLflow's own retries take two minutes"


@pytest.mark.parametrize("scheme", ["http", "postgresql"])
def test_no_sentence_shows_the_password_of_a_registry(scheme):
    with pytest.raises(RegistryUnreachable) as away:
        Registry(f"{scheme}://sextant:geheim@127.0.0.1:9/mlflow").resolve("models:/a@b")

    assert "geheim" not in str(away.value)
    assert f"{scheme}://***@127.0.0.1:9" in str(away.value)


def test_what_is_no_database_is_said_in_a_sentence(tmp_path):
    (tmp_path / "mlflow.db").write_text("name: locate\n" * 200)

    with pytest.raises(RegistryUnreachable, match=r"mlflow\.db cannot be read: file is not a database"):
        Registry(f"sqlite:///{tmp_path}/mlflow.db").resolve("models:/a@b")


def test_a_folder_without_room_for_what_is_fetched_is_named():
    """As MLflow passes on what the system said, as text alone."""
    said = "##### File model.pkl ##### [Errno 28] No space left on device"

    def fetch():
        with mlflow_calls("http://127.0.0.1:9") as mlflow:
            raise mlflow.exceptions.MlflowException(said)

    with pytest.raises(RegistryError, match=r"make room there, or name another folder by TMPDIR: .*No space left"):
        fetch()


def test_asking_leaves_the_environment_and_the_working_folder_alone(registry, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = dict(os.environ)
    known = set(tmp_path.iterdir())

    registry.resolve("models:/forest@champion")

    assert dict(os.environ) == before
    assert set(tmp_path.iterdir()) == known
