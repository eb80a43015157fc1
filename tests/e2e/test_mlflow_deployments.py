"""MLflow's deployments API, as a person types it and as a program calls it, on a real Triton and a real registry."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import warnings
from contextlib import chdir
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from mlflow.exceptions import MlflowException

from sextant_cli.deployments import TritonDeployments
from sextant_client import Client
from sextant_export.converters import triton_flavor
from sextant_export.receipt import read_receipt
from sextant_promote.control import Control
from sextant_promote.promotion import promote
from sextant_promote.removal import remove
from sextant_server import EmbeddedTriton
from small_world import draw
from triton_folder import NAME, sum_and_difference, write_folder

pytestmark = pytest.mark.e2e

MLFLOW = Path(sys.executable).with_name("mlflow")
PAIR = {"ridge": "models:/ridge@champion", "knn": "models:/knn@champion"}
ROWS = [[float(i) for i in range(1, 17)]]
QUESTION = {"inputs": {"INPUT0": ROWS, "INPUT1": ROWS}}
ANSWER = {"outputs": {"OUTPUT0": [[2 * i for i in range(1, 17)]], "OUTPUT1": [[0] * 16]}}


class Site:
    """A small world, a Triton on its store, and the settings that name both."""

    def __init__(self, world):
        self.world, self.store = world, world.store
        self.triton = EmbeddedTriton(self.store.root)
        self.settings = {
            "MLFLOW_TRACKING_URI": world.registry.tracking_uri,
            "SEXTANT_STORE": str(self.store.root),
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }

    def control(self):
        return Control(self.triton.address.grpc, self.triton.address.token)

    def ready(self):
        with self.control() as control:
            return sorted(name for name, versions in control.ready().items() if versions)

    def models(self):
        return sorted(path.name for path in self.store.models.iterdir())

    def remove(self, name):
        with self.control() as control:
            return remove(self.store, name, control)

    def program(self, *words, settings=None):
        """What a process of its own says, whose *words* name it."""
        return subprocess.run(
            list(map(str, words)),
            cwd=self.world.root,
            env=self.environment(settings),
            capture_output=True,
            text=True,
            timeout=120,
        )

    def does(self, *words, settings=None):
        """What ``mlflow deployments`` prints, run in this process: importing MLflow takes seconds."""
        import mlflow
        from mlflow.deployments.cli import commands

        with chdir(self.world.root), patch.dict("os.environ", self.environment(settings), clear=True):
            mlflow.set_tracking_uri(self.world.registry.tracking_uri)
            done = CliRunner().invoke(commands, list(map(str, words)))
        assert done.exit_code == 0, done.output
        return done.stdout

    def environment(self, settings):
        ours = ("SEXTANT", "TRITON")
        others = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
        return {**others, **(self.settings if settings is None else settings)}

    def write(self, name, content):
        (self.world.root / name).write_text(json.dumps(content), encoding="utf-8")
        return name


@pytest.fixture
def site(world):
    site = Site(world)
    with site.triton:
        yield site


@pytest.fixture
def client(site, monkeypatch):
    """What ``get_deploy_client('triton')`` gives."""
    import mlflow

    for name, value in site.settings.items():
        monkeypatch.setenv(name, value)
    mlflow.set_tracking_uri(site.world.registry.tracking_uri)
    from mlflow.deployments import get_deploy_client

    return get_deploy_client("triton")


def refused(code, sentence):
    """The refusal of a call, by MLflow's code and our sentence."""

    class Refused:
        def __enter__(self):
            self._raises = pytest.raises(MlflowException, match=sentence)
            self._found = self._raises.__enter__()

        def __exit__(self, *exception):
            passed = self._raises.__exit__(*exception)
            assert self._found.value.error_code == code
            return passed

    return Refused()


def test_the_plugin_is_installed(client):
    """MLflow finds it by its entry point."""
    assert isinstance(client, TritonDeployments)


def test_the_life_of_a_deployment_on_the_command_line(site):
    """Every verb once, on a model whose name is the deployment's own."""
    from sklearn.linear_model import Ridge

    rows = draw(3, seed=9).scaled
    file = site.write("rows.json", {"instances": rows.tolist()})
    on = ("-t", "triton", "--name", "ridge")

    created = site.does("create", *on, "-m", "models:/ridge@champion", "-C", "instances=2")
    first = json.loads(site.does("predict", *on, "-I", file))
    site.world.register("ridge", Ridge(alpha=50.0))
    updated = site.does("update", *on)
    got = site.does("get", *on)
    site.does("predict", *on, "-I", file, "-O", "answer.json")
    second = json.loads((site.world.root / "answer.json").read_text())
    deleted = site.does("delete", *on)

    fitted = [Ridge(alpha=alpha).fit(site.world.training.scaled, site.world.training.east_north) for alpha in (0.1, 50)]
    assert "sklearn deployment ridge is created" in created
    assert "Deployment ridge is updated (with flavor sklearn)" in updated
    assert "release: 2" in got
    assert "version: 2" in got
    assert np.allclose(first["predictions"], fitted[0].predict(rows), atol=1e-3)
    assert np.allclose(second["predictions"], fitted[1].predict(rows), atol=1e-3)
    assert "Deployment ridge is deleted" in deleted
    assert site.ready() == []


def test_nvidias_example_works_with_its_own_settings_and_commands(site, tmp_path):
    """Published, created, asked and deleted as the README of NVIDIA's plugin has it; only the script's name differs."""
    folder = write_folder(tmp_path / "examples")
    site.write("input.json", QUESTION)
    its = {
        "MLFLOW_TRACKING_URI": site.settings["MLFLOW_TRACKING_URI"],
        "TRITON_URL": site.triton.address.http,
        "TRITON_MODEL_REPO": str(site.store.models),
    }
    script = (sys.executable, "-m", "sextant_cli.deployments.publish")

    site.program(*script, "--model_name", NAME, "--model_directory", folder, "--flavor", "triton", settings=its)
    site.does("create", "-t", "triton", "--flavor", "triton", "--name", NAME, "-m", f"models:/{NAME}/1", settings=its)
    site.does(
        *("predict", "-t", "triton", "--name", NAME, "--input-path", "input.json", "--output-path", "output.json"),
        settings=its,
    )
    listed = site.does("list", "-t", "triton", settings=its)
    site.does("delete", "-t", "triton", "--name", NAME, settings=its)

    assert json.loads((site.world.root / "output.json").read_text()) == ANSWER
    assert f"'mlflow_model_uri': 'models:/{NAME}/1'" in listed
    assert "'state': 'READY'" in listed
    assert site.models() == []


def test_a_repository_of_any_name_is_published_to_and_left_as_it_was(site, tmp_path, monkeypatch, client):
    """Its store stands beside it; what others keep in it is not touched."""
    from sextant_cli.deployments.target import find_target

    repository = tmp_path / "triton_repo"
    (repository / "somebodys" / "1").mkdir(parents=True)
    monkeypatch.delenv("SEXTANT_STORE")
    monkeypatch.setenv("TRITON_MODEL_REPO", str(repository))
    with EmbeddedTriton(find_target("triton").store.root) as triton:
        monkeypatch.setenv("TRITON_URL", triton.address.http)
        client.create_deployment("walk", "models:/ridge@champion")
        during = sorted(path.name for path in repository.iterdir())
        answers = client.predict("walk", draw(2, seed=9).scaled)["predictions"]
        client.delete_deployment("walk")

    assert during == ["ridge", "somebodys", "walk", "walk.r1"]
    assert len(answers) == 2
    assert sorted(path.name for path in repository.iterdir()) == ["somebodys"]


def test_nvidias_python_example_works_for_the_onnx_flavour(site, client):
    """A graph that was logged with neither signature nor example; its tensors are asked by name."""
    import mlflow

    logged(lambda: mlflow.onnx.log_model(sum_and_difference(), name="triton", registered_model_name=NAME))
    rows = np.array(ROWS, np.float32)

    created = client.create_deployment(NAME, f"models:/{NAME}/1", flavor="onnx")
    by_name = client.predict(NAME, {"INPUT0": rows, "INPUT1": rows})
    framed = client.predict(NAME, pd.DataFrame(QUESTION))

    assert (created["name"], created["flavor"], created["state"]) == (NAME, "onnx", "READY")
    assert by_name["predictions"] == ANSWER["outputs"]
    assert by_name["outputs"]["OUTPUT0"] == ANSWER["outputs"]["OUTPUT0"]
    assert framed["outputs"] == ANSWER["outputs"]


def test_a_folder_of_another_backend_is_refused_with_advice(site, client, tmp_path):
    """Nothing is published of what cannot be proven."""
    folder = write_folder(tmp_path / "examples", config='backend: "python"', name="echo")
    logged(lambda: triton_flavor.log_model(folder, artifact_path="triton", registered_model_name="echo"))

    with refused(
        "INVALID_PARAMETER_VALUE", "config.pbtxt is for the backend 'python'.*log the model in its own flavour"
    ):
        client.create_deployment("echo", "models:/echo/1", flavor="triton")

    assert site.models() == []


def test_what_is_deployed_says_how_it_was_proven(site, client):
    """The list in NVIDIA's words and ours, the whole with members, versions and proofs."""
    client.create_deployment("walk", "models:/ridge@champion", config={"max_batch_size": 8})

    (listed,) = client.list_deployments()
    whole = client.get_deployment("walk")

    assert listed == {
        "name": "walk",
        "release": 1,
        "state": "READY",
        "version": "1",
        "flavor": "sklearn",
        "mlflow_model_uri": "models:/ridge@champion",
        "triton_model_path": str(site.store.models / "walk"),
    }
    assert whole["serving"] == {"max_batch_size": 8}
    assert (whole["members"]["model"]["model"], whole["members"]["model"]["version"]) == ("ridge", 1)
    assert whole["members"]["model"]["proof"]["rows"] >= 1000
    assert whole["proof"]["model"]["max_abs_delta"] <= whole["proof"]["model"]["tolerance"]
    assert json.dumps(whole)


def test_deploying_a_name_twice_is_refused_and_updating_it_is_not(site, client):
    """``create`` never replaces; ``update`` with nothing new changes nothing."""
    client.create_deployment("walk", "models:/ridge@champion")

    with refused("RESOURCE_ALREADY_EXISTS", "'walk' is served from .* already: update it, or delete it"):
        client.create_deployment("walk", "models:/knn@champion")

    assert client.update_deployment("walk", "models:/ridge@champion")["release"] == 1
    assert client.update_deployment("walk", "models:/knn@champion")["release"] == 2


@pytest.mark.parametrize("call", ["get_deployment", "update_deployment", "delete_deployment"])
def test_a_name_nobody_deployed_is_refused_with_a_guess(site, client, call):
    """By MLflow's code for it."""
    client.create_deployment("walk", "models:/ridge@champion")

    with refused("RESOURCE_DOES_NOT_EXIST", "did you mean 'walk'"):
        getattr(client, call)("wlak")

    assert client.get_deployment("walk")["state"] == "READY"


@pytest.mark.parametrize(
    ("uri", "config", "code", "sentence"),
    [
        ("models:/rigde@champion", {}, "RESOURCE_DOES_NOT_EXIST", "no registered model 'rigde'; did you mean 'ridge'"),
        ("models:/ridge@champoin", {}, "RESOURCE_DOES_NOT_EXIST", "no alias 'champoin'; did you mean 'champion'"),
        ("models:/ridge/Production", {}, "INVALID_PARAMETER_VALUE", "no model URI; wanted models:/<name>@<alias>"),
        ("models:/ridge/1", {"instnaces": "2"}, "INVALID_PARAMETER_VALUE", "instnaces: unknown option; did you mean"),
        ("models:/ridge/1", {"version": "7"}, "INVALID_PARAMETER_VALUE", "version: expected 7, and models:/ridge/1 is"),
        ("models:/ridge/1", {"flavor": "onnx"}, "INVALID_PARAMETER_VALUE", "was not saved as onnx"),
    ],
    ids=["model", "alias", "stage", "option", "version", "flavour"],
)
def test_what_cannot_be_deployed_is_refused_in_words(site, client, uri, config, code, sentence):
    """And leaves the store as it was."""
    with refused(code, sentence):
        client.create_deployment("walk", uri, config=config)

    assert (site.models(), client.list_deployments()) == ([], [])


def test_arrays_of_the_wrong_width_and_names_nobody_serves_are_refused(site, client):
    """By the code for each."""
    rows = draw(3, seed=9).scaled
    client.create_deployment("walk", "models:/ridge@champion")

    assert np.asarray(client.predict("walk", rows)["predictions"]).shape == (3, 2)
    with refused("INVALID_PARAMETER_VALUE", "features: expected FP32"):
        client.predict("walk", rows[:, :3])
    with refused("RESOURCE_DOES_NOT_EXIST", "nobody"):
        client.predict("nobody", rows)


def test_a_table_is_asked_as_a_table(site, client):
    """Columns by name, in any order, from Python and from a file; one number a row comes back."""
    from sklearn.linear_model import LinearRegression

    table = pd.DataFrame({"height (m)": [1.0, 2.0, 3.0], "age": [7.0, 8.0, 5.0]})
    model = LinearRegression().fit(table, [3.0, 5.0, 4.0])
    log_table(model, table)
    file = site.write("rows.json", {"dataframe_split": table[["age", "height (m)"]].to_dict("split", index=False)})

    client.create_deployment("growth", "models:/growth/1")
    answer = client.predict("growth", table[["age", "height (m)"]])
    said = json.loads(site.does("predict", "-t", "triton", "--name", "growth", "-I", file))

    assert np.allclose(answer["predictions"], model.predict(table), atol=1e-4)
    assert np.shape(answer["predictions"]) == (3,)
    assert np.allclose(said["predictions"], model.predict(table), atol=1e-4)
    with refused("INVALID_PARAMETER_VALUE", "age"):
        client.predict("growth", table[["height (m)"]])


def test_a_refusal_on_the_command_line_is_a_sentence(site):
    """Not MLflow's traceback."""
    done = site.program(MLFLOW, "deployments", "delete", "-t", "triton", "--name", "nobody")

    assert done.returncode == 1
    assert "Error: 'nobody' was never promoted" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_one_endpoint_is_the_triton(site, client):
    """It has a name, a state, deployments; a call for another one is refused."""
    client.create_deployment("walk", "models:/ridge@champion")
    url = site.triton.address.grpc

    (endpoint,) = client.list_endpoints()

    assert (endpoint["name"], endpoint["state"], endpoint["deployments"]) == (url, "READY", ["walk"])
    assert client.get_endpoint(url) == endpoint
    assert len(client.predict(inputs=draw(3, seed=9).scaled, endpoint=url)["predictions"]) == 3
    with refused("RESOURCE_DOES_NOT_EXIST", "endpoint 'blue': this target has one"):
        client.list_deployments(endpoint="blue")


def test_a_pipeline_with_a_page_of_its_own_is_listed_and_not_changed(site, client):
    """Its page is changed where it is."""
    with site.control() as control:
        promote(site.world.write_spec({"members": PAIR}), site.store, site.world.registry, control)

    (listed,) = client.list_deployments()

    assert (listed["name"], listed["state"], listed["version"]) == ("locate", "READY", "1")
    with refused("INVALID_STATE", "'locate' is a pipeline with a page of its own"):
        client.update_deployment("locate", "models:/ridge@champion")
    client.delete_deployment("locate")
    assert site.models() == []


def test_without_a_server_the_store_is_still_listed(site, client):
    """And a deployment is refused in a sentence, before anything is done."""
    client.create_deployment("walk", "models:/ridge@champion")
    site.triton.stop()

    assert [each["state"] for each in client.list_deployments()] == ["UNKNOWN"]
    with refused("TEMPORARILY_UNAVAILABLE", "nothing serves this store: run `sextant serve"):
        client.create_deployment("other", "models:/ridge@champion")


def test_deleting_leaves_what_others_use_and_the_receipts(site, client):
    """Two deployments of one model: the second answers on, and the first is history."""
    client.create_deployment("walk", "models:/ridge@champion")
    client.create_deployment("run", "models:/ridge@champion")

    client.delete_deployment("walk")

    assert site.models() == ["ridge", "run", "run.r1"]
    assert len(client.predict("run", draw(2, seed=9).scaled)["predictions"]) == 2
    assert read_receipt(site.store, "walk", 1).outcome == "removed"
    assert [each["name"] for each in client.list_deployments()] == ["run"]


def test_deleting_twice_is_no_error_and_a_new_deployment_counts_on(site, client):
    """A release number means one release for ever."""
    client.create_deployment("walk", "models:/ridge@champion")
    client.delete_deployment("walk")
    client.delete_deployment("walk")

    again = client.create_deployment("walk", "models:/ridge@champion")

    assert again["release"] == 2
    assert (again["state"], site.models()) == ("READY", ["ridge", "walk", "walk.r2"])


@pytest.mark.parametrize("steps", range(4))
def test_a_deletion_that_is_cut_off_is_finished_by_the_next(site, client, monkeypatch, steps):
    """After the unload of the front, of the release, of the model; a server started in between loads what is there."""
    from sextant_export.store import Store

    client.create_deployment("walk", "models:/ridge@champion")
    client.create_deployment("other", "models:/knn@champion")
    taken = []

    def take(store, model, really=Store.remove):
        if len(taken) == steps:
            raise KeyboardInterrupt
        taken.append(model)
        really(store, model)

    monkeypatch.setattr(Store, "remove", take)
    monkeypatch.setattr(Store, "narrow", lambda _: take(None, "", lambda *_: None))
    with pytest.raises(KeyboardInterrupt):
        site.remove("walk")
    monkeypatch.undo()
    with EmbeddedTriton(_copy(site.store.root)) as another:
        failures = dict(another.failures)
    site.remove("walk")

    assert failures == {}
    assert taken == ["walk", "walk.r1", "ridge"][:steps]
    assert site.models() == ["knn", "other", "other.r1"]
    with Client(site.triton.address.grpc) as asked:
        assert len(asked.pipeline("other").tensors(draw(2, seed=9).scaled)) == 1


def test_run_local_serves_until_ctrl_c(site, tmp_path):
    """Proven as every deployment is; the store is gone afterwards."""
    import mlflow  # noqa: F401  its own import is what takes the seconds

    program = [MLFLOW, "deployments", "run-local", "-t", "triton", "--name", "walk", "-m", "models:/ridge@champion"]
    environment = {**os.environ, **site.settings, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        list(map(str, program)),
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as local:
        lines = []
        while not lines or not lines[-1].startswith("For development"):
            lines.append(local.stdout.readline())
            assert lines[-1], local.stderr.read()
        grpc = next(line.split()[1] for line in lines if line.startswith("grpc"))
        with Client(grpc) as client:
            answers = client.pipeline("walk").tensors(draw(2, seed=9).scaled)
        local.send_signal(signal.SIGINT)
        local.communicate(timeout=60)

    assert len(answers["prediction"]) == 2
    assert not list(tmp_path.glob("sextant-local-*"))


def logged(log):
    """What *log* does, in a run of the world's."""
    import mlflow

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.set_experiment("world")
        with mlflow.start_run():
            log()


def log_table(model, table):
    import mlflow

    facts = {
        "name": "growth",
        "registered_model_name": "growth",
        "signature": mlflow.models.infer_signature(table, model.predict(table)),
        "input_example": table,
        "serialization_format": "cloudpickle",
        "pip_requirements": [],
    }
    logged(lambda: mlflow.sklearn.log_model(model, **facts))


def _copy(store):
    import shutil

    target = store.with_name("restarted")
    shutil.copytree(store / "models", target / "models")
    return target
