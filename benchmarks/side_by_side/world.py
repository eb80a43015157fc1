"""What is served: three workloads, registered in a real MLflow and promoted by Sextant into an embedded Triton."""

from __future__ import annotations

import io
import json
import logging
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from workloads import Rows

from serving_overhead import convolutional
from sextant_cli.narrator import Narrator
from sextant_export.pipeline import Pipeline
from sextant_export.receipt import Receipt
from sextant_export.store import Store
from sextant_promote.control import Control
from sextant_promote.promotion import promote
from sextant_server import EmbeddedTriton, ServerAddress
from small_world import World, draw, make_world

SIDE = 32
"""Rows and columns of the network's spectrogram: at 32 a row takes a core about a millisecond."""

SERVING: Mapping[str, Mapping[str, Any]] = {
    "tabular": {"max_queue_delay_us": 0, "instances": 1},
    "network": {"max_queue_delay_us": 100, "instances": 1, "intra_op_thread_count": 2},
    "locate": {"max_queue_delay_us": 0, "instances": 2, "fuse_graph": True},
}
"""What the spec of each pipeline says under ``serving``."""

WORKLOADS = tuple(SERVING)


class Place:
    """The registry and the store under *root*, the peers' *folder*, and *rows* to ask of each workload."""

    def __init__(self, root: Path) -> None:
        self.world = make_world(root)
        self.folder = root / "peers"
        self.folder.mkdir()
        self.rows: dict[str, Rows] = {
            "tabular": patients()[:64],
            "network": convolutional(SIDE).rows(64),
            "locate": draw(64, seed=5).features,
        }
        log_onnx(self.world, "tabular", boosted(), self.rows["tabular"])
        log_onnx(self.world, "network", convolutional(SIDE).graph, self.rows["network"])

    @property
    def tracking_uri(self) -> str:
        """Where the models are registered, under the workloads' names."""
        return self.world.registry.tracking_uri

    @contextmanager
    def sextant(self) -> Iterator[ServerAddress]:
        """
        A Triton that serves every workload as the pipeline of its name.

        The peers' folder then has the very ONNX files that it serves, and what else of the pipelines stands still.
        """
        store = Store(self.world.root / "store").prepare()
        with EmbeddedTriton(store.root) as triton, Control(triton.address.grpc, triton.address.token) as control:

            def promoted(page: Pipeline) -> Receipt:
                return promote(page, store, self.world.registry, control, Narrator(io.StringIO())).receipt

            receipts = {name: promoted(plain(name)) for name in ("tabular", "network")}
            receipts["locate"] = promoted(self.world.write_spec())  # step by step, so that its members are files
            promoted(self.world.write_spec({"serving": dict(SERVING["locate"])}))
            self._hand_out(receipts, store)
            log_located(self.world, self.folder)
            yield triton.address

    def _hand_out(self, receipts: Mapping[str, Receipt], store: Store) -> None:
        for receipt in receipts.values():
            for member in receipt.members.values():
                shutil.copytree(store.models / member["model"] / str(member["version"]), self.folder / member["model"])
        facts = {name: facts_of(name, receipt, self.rows[name]) for name, receipt in receipts.items()}
        (self.folder / "facts.json").write_text(json.dumps(facts), encoding="utf-8")


def plain(workload: str) -> Pipeline:
    """A pipeline of one member and nothing else."""
    spec = {"name": workload, "answer": "tensors", "members": {"model": f"models:/{workload}@champion"}}
    return Pipeline.from_mapping({**spec, "steps": ["members"], "serving": dict(SERVING[workload])})


def facts_of(workload: str, receipt: Receipt, rows: Rows) -> dict[str, Any]:
    """What peers read of the release *receipt*: files, how long to wait, and of blocks what calibration measured."""
    models = [f"{member['model']}/model.onnx" for member in receipt.members.values()]
    facts: dict[str, Any] = {"dims": rows.shape[1:], "model": models[0], "members": models}
    facts["max_queue_delay_us"] = SERVING[workload]["max_queue_delay_us"]
    if not receipt.blocks:
        return facts
    scale, fuse, ellipse = (receipt.blocks[name] for name in ("scale", "fuse", "ellipse"))
    return facts | {
        "scale": [scale["offset"], scale["divisor"], scale["missing"]],
        "origin": fuse["origin"],
        "covariances": fuse["member_covariances"],
        "gate": fuse.get("gate", 0.99),
        "radii": ellipse["radii"],
    }


def patients() -> Rows:
    """The features of scikit-learn's breast cancer data, FP32 (569, 30)."""
    from sklearn.datasets import load_breast_cancer

    return load_breast_cancer().data.astype(np.float32)


def boosted() -> onnx.ModelProto:
    """A hundred boosted trees over 30 features, whose answer is the probabilities of two classes."""
    from skl2onnx import to_onnx
    from sklearn.datasets import load_breast_cancer
    from sklearn.ensemble import GradientBoostingClassifier

    rows = patients()
    trees = GradientBoostingClassifier(n_estimators=100, random_state=0).fit(rows, load_breast_cancer().target)
    graph = to_onnx(trees, rows[:1], options={"zipmap": False}, target_opset={"": 17, "ai.onnx.ml": 3})
    del graph.graph.output[0]  # the label: every peer then answers one array
    return graph


def log_onnx(world: World, name: str, graph: onnx.ModelProto, rows: Rows) -> None:
    """Register *graph* as *name*, with the options of a server that has as many processes as cores."""
    session = ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    answers = session.run(None, {session.get_inputs()[0].name: rows[:4]})
    answer = {output.name: array for output, array in zip(session.get_outputs(), answers, strict=True)}
    options = {"intra_op_num_threads": 1, "inter_op_num_threads": 1}
    register(world, name, rows[:4], answer, flavor="onnx", onnx_model=graph, onnx_session_options=options)


def log_located(world: World, folder: Path) -> None:
    """Register the pipeline by hand as a model of MLflow's own kind."""
    home = Path(__file__).parents[1] / "peer_servers"
    rows = draw(4, seed=5).features
    code = {"python_model": str(home / "mlflow_locate.py"), "code_paths": [str(home / "workloads.py")]}
    register(world, "locate", rows, np.zeros((4, 19)), flavor="pyfunc", artifacts={"folder": str(folder)}, **code)


def register(world: World, name: str, rows: Rows, answer: Any, *, flavor: str, **model: Any) -> None:
    """Log *model* and move ``champion`` to it; rows of any number are to be asked."""
    import mlflow
    from mlflow.models import infer_signature

    for noisy in ("mlflow", "alembic"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    mlflow.set_tracking_uri(world.registry.tracking_uri)
    mlflow.set_experiment("world")
    with warnings.catch_warnings(), redirect_stderr(io.StringIO()), mlflow.start_run():
        warnings.simplefilter("ignore")
        facts = {"name": name, "registered_model_name": name, "pip_requirements": []}
        log_model = getattr(mlflow, flavor).log_model
        logged = log_model(**model, **facts, signature=infer_signature(rows, answer))
        mlflow.MlflowClient().set_registered_model_alias(name, "champion", str(logged.registered_model_version))
