"""One store for GPUs and CPUs: real TensorRT plans in it, and a server without TensorRT answers from their graphs."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from click.testing import CliRunner

from embedded_calls import ask
from planned import convolution, copy_of, features, forest, perceptron, rtx
from sextant_cli.verbs.status import status as status_verb
from sextant_export.config import ensemble_config
from sextant_export.pipeline import Serving
from sextant_export.store import Candidate, Store
from sextant_export.wiring import EnsembleStep
from sextant_promote.control import Control
from sextant_promote.fallback import TWIN, Gpu, fallback_of
from sextant_promote.promotion import promote
from sextant_promote.status import status
from sextant_server import EmbeddedTriton

pytestmark = pytest.mark.server

SERVING = Serving(max_batch_size=16, max_queue_delay_us=0)
IMAGES = {"x": {"min": (1, 3, 8, 8), "opt": (8, 3, 16, 16), "max": (16, 3, 32, 32)}}


class Fleet:
    """A store with a perceptron and a convolution as plans for two kinds of GPU, a forest beside them."""

    def __init__(self, root):
        self.root, self.store, self.copies = root, Store(root / "store").prepare(), {}
        gpus = ("8.9", "12.0")
        self.publish("mlp", perceptron(), rtx(compute_capabilities=gpus))
        self.publish("cnn", convolution(), rtx(compute_capabilities=gpus, profile=IMAGES))
        self.publish("forest", forest(), rtx(compute_capabilities=gpus))

    def publish(self, name, model, asked, version=1):
        """*model* as a version of *name*, as an export would."""
        copy = copy_of(model, self.root / f"{name}.{version}", asked, SERVING)
        configs = copy.configs(name, SERVING, [version])
        self.store.publish(Candidate(model=name, version=version, configs=configs, write=copy.write))
        self.copies[name, version] = copy

    def answer(self, name, array, version=1):
        """What the graph of the copy answers here, in ONNX Runtime."""
        copy = self.copies[name, version]
        (taken,), (given,) = copy.inputs, copy.outputs
        return copy.answer({taken.name: array})[given.name]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    return Fleet(tmp_path_factory.mktemp("fleet"))


@pytest.fixture(scope="module")
def triton(fleet):
    with EmbeddedTriton(fleet.store.root, models=["mlp", "cnn", "forest"]) as running:
        yield running


@pytest.fixture
def control(triton):
    with Control(triton.address.grpc, triton.address.token) as control:
        yield control


def test_a_store_with_plans_loads_whole_where_there_is_no_tensorrt(fleet, triton):
    plans = sorted(path.name for path in fleet.store.models.glob("*/1/*.plan"))

    assert plans == ["model.sm120.plan", "model.sm120.plan", "model.sm89.plan", "model.sm89.plan"]
    assert triton.failures == {}


def test_a_perceptron_answers_through_its_graph(fleet, triton):
    np.testing.assert_allclose(ask(triton, "mlp", features(5)), fleet.answer("mlp", features(5)), atol=1e-6)


def test_a_convolution_answers_images_of_any_size(fleet, triton):
    images = np.random.default_rng(3).standard_normal((2, 3, 12, 9)).astype(np.float32)

    np.testing.assert_allclose(ask(triton, "cnn", images), fleet.answer("cnn", images), atol=1e-6)


def test_a_member_that_tensorrt_refused_is_served_beside_them(fleet, control):
    given = control.answer("forest", 1, {"X": features(5)})

    np.testing.assert_allclose(given["variable"], fleet.answer("forest", features(5)), atol=1e-6)


def test_the_server_says_that_it_serves_the_graph(fleet, control):
    """Which is what ``sextant status`` tells."""
    plans = fleet.copies["mlp", 1].facts()["plans"]

    assert control.backend("mlp", 1) == "onnxruntime"
    assert fallback_of(control.backend("mlp", 1), plans).startswith(TWIN)
    assert "which Triton's tensorrt backend does not load" in fallback_of(control.backend("mlp", 1), plans)
    assert control.backend("mlp", 9) is None


def test_without_its_twin_a_model_with_plans_does_not_load_there(fleet, tmp_path):
    """It is the twin that makes the difference, and not a lenient server."""
    shutil.copytree(fleet.store.root, tmp_path / "store")
    (tmp_path / "store/models/mlp/configs/embedded.pbtxt").unlink()

    with EmbeddedTriton(tmp_path / "store", models=["mlp", "cnn"]) as running:
        assert set(running.failures) == {"mlp"}
        assert "unable to find backend library for backend 'tensorrt'" in running.failures["mlp"]


def test_a_second_version_and_its_ensemble_load_under_the_twin(fleet, tmp_path):
    """Both policies are widened, so the server that reads the twin sees the new version too."""
    own = Fleet(tmp_path)
    with (
        EmbeddedTriton(own.store.root, models=["mlp"]) as running,
        Control(running.address.grpc, running.address.token) as control,
    ):
        own.publish("mlp", perceptron(seed=9), rtx(compute_capabilities=("8.9", "12.0")), version=2)
        step = EnsembleStep("mlp", 2, {"x": "x"}, {"y": "y"})
        copy = own.copies["mlp", 2]
        own.store.write_ensemble(ensemble_config("locate.r2", 2, [step], copy.inputs, copy.outputs, 16))
        control.load("mlp")
        control.load("locate.r2")
        both = control.ready()["mlp"]
        second = ask(running, "locate.r2", features(3))
        own.store.narrow()
        control.load("mlp")

        assert both == {1, 2}
        assert control.ready()["mlp"] == {2}
        np.testing.assert_allclose(second, own.answer("mlp", features(3), 2), atol=1e-6)


def test_a_gpu_without_a_device_is_refused_and_an_automatic_one_runs_on_the_cpu(fleet, tmp_path):
    """The same graph, asked for twice; the log says where the one that loads runs."""
    store = Store(tmp_path / "store").prepare()
    copy = fleet.copies["forest", 1]
    for name, kind in (("auto", 0), ("insists", 1)):
        configs = copy.configs(name, SERVING, [1])
        configs.main.instance_group[0].kind = kind
        store.publish(Candidate(model=name, version=1, configs=configs, write=copy.write))

    with EmbeddedTriton(store.root, models=["auto", "insists"], log=tmp_path / "triton.log") as running:
        assert set(running.failures) == {"insists"}
        assert "GPU" in running.failures["insists"]

    assert "runs on the CPU, ONNX Runtime" in (tmp_path / "triton.log").read_text()


def test_a_promoted_pipeline_tells_which_servers_fall_back(world):
    """From the registry to the answer: plans for one member, in float16, and the reason why another has none."""
    from sklearn.neural_network import MLPRegressor

    rtx()
    world.register(
        "mlp", MLPRegressor(hidden_layer_sizes=(16,), max_iter=30, tol=1e9, n_iter_no_change=1, random_state=0)
    )
    plans = {"builder": "tensorrt_rtx", "compute_capabilities": ["8.9"], "float16": True, "tolerance": 5.0}
    members = {
        "mlp": {"model_uri": "models:/mlp@champion", "target": "tensorrt", "tensorrt": plans},
        "forest": {"model_uri": "models:/forest@champion", "target": "tensorrt", "tensorrt": plans},
    }
    pipeline = world.write_spec({"members": members, "gate": {}})
    with (
        EmbeddedTriton(world.store.prepare().root) as running,
        Control(running.address.grpc, running.address.token) as control,
    ):
        done = promote(pipeline, world.store, world.registry, control)
        (found,) = status(world.store, control, [Gpu("8.9"), Gpu("8.6")])
        address = "--server", running.address.grpc, "--token", running.address.token
        said = CliRunner().invoke(status_verb, ["--store", str(world.store.root), *address, "--gpu", "8.6"]).output

    mlp, trees = found.members["mlp"], found.members["forest"]
    assert (mlp.kind, mlp.backend, trees.kind, trees.backend) == ("tensorrt", "onnxruntime", "onnx", "onnxruntime")
    assert mlp.fallback.startswith(TWIN)
    assert mlp.fallbacks["8.6"] == "no plan for its compute capability 8.6: there are 8.9"
    assert "TreeEnsembleRegressor" in trees.why
    assert (trees.fallback, trees.fallbacks) == (None, {})
    assert done.receipt.members["mlp"]["plans_proof"]["max_abs_delta"] > 0
    assert f"  mlp: falls back to ONNX here: {TWIN}" in said
    assert "  mlp: on 8.6: would fall back to ONNX: no plan for its compute capability 8.6: there are 8.9" in said
    assert "  forest: onnx: TensorRT does not take TreeEnsembleRegressor" in said
