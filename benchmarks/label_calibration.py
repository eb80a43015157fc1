"""
Whether a label's confidence is true when counted, through Triton: on real floors and on real intents.

Members are trained on one part, calibrated on a second and judged on a third that neither has seen; the floors of the
third were visited later than all others. Beside the calibrated confidence stand what it is made from (the pooled
probability) and the share of the votes, which is what a vote alone would say. Every calibration error comes with the
interval that holds nine of ten resamplings of its rows, and with the floor that so many rows cannot go below.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from label_tasks import Task, building_and_floor, intents
from report import report
from sextant import Label
from sextant.binomial import coverage_interval
from sextant.blocks import BLOCKS
from sextant.reliability import brier_score, estimated_calibration_error
from sextant_cli.narrator import Narrator
from sextant_client import Client
from sextant_export.pipeline import load_pipeline
from sextant_export.registry import Registry
from sextant_export.store import Store
from sextant_promote.control import Control
from sextant_promote.promotion import promote
from sextant_server import EmbeddedTriton

DATA = Path(__file__).parents[2] / "shared" / "data"
LEVELS = (0.9, 0.95, 0.99)
TARGET = 0.04
METHODS: Mapping[str, Mapping[str, Any]] = {
    "soft": {"method": "soft"},
    "plurality": {"method": "plurality"},
    "weighted": {"method": "weighted"},
    "dawid_skene": {"method": "dawid_skene", "errors": "one_coin"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller members, and the soft vote alone")
    parser.add_argument("--data", type=Path, default=DATA, help="the folder of real data")
    given = parser.parse_args()
    methods = ["soft"] if given.quick else list(METHODS)
    for task in (building_and_floor(given.data, quick=given.quick), intents(given.data, quick=given.quick)):
        with tempfile.TemporaryDirectory() as folder:
            measure(task, methods, Path(folder))


def measure(task: Task, methods: Sequence[str], folder: Path) -> None:
    registry = Registry(f"sqlite:///{folder / 'mlflow.db'}")
    register(task, registry, folder)
    store = Store(folder / "store")
    store.prepare()
    with EmbeddedTriton(store.root) as triton, Client(triton.address.grpc, timeout_s=300) as client:
        control = Control(triton.address.grpc, triton.address.token)
        for method in methods:
            page = write_page(task, method, folder)
            promote(load_pipeline(page), store, registry, control, narrator=Narrator())
            began = time.perf_counter()
            answers = client.pipeline(method)(task.held_back.features)
            seconds = time.perf_counter() - began
            show(f"{task.name}.{method}", answers, task.held_back.labels, counts=method == "soft")
            report(f"{task.name}.{method}.served", 1e6 * seconds / len(answers), "us/row")
        control.close()


def register(task: Task, registry: Registry, folder: Path) -> None:
    """Train each member on what the block ``scale`` makes of the rows, and register it under ``champion``."""
    from mlflow.models import infer_signature

    scale = BLOCKS["scale"]({"width": task.train.features.shape[1], **task.scale})
    rows, held = (scale(features=part.features)["scaled"] for part in (task.train, task.held_back))
    rows, labels = distinct(rows, task.train.labels)
    for name, untrained in task.members.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a number of passes that was chosen, and does not converge
            model = untrained().fit(rows, labels)
            report(f"{task.name}.member.{name}.accuracy", float(model.score(held, task.held_back.labels)), "share")
        with quiet_run(registry, folder) as mlflow:
            mlflow.sklearn.log_model(
                model,
                name=name,
                registered_model_name=name,
                signature=infer_signature(rows[:5], model.predict(rows[:5])),
                input_example=rows[:5],
                serialization_format="cloudpickle",
                pip_requirements=[],
            )
            mlflow.MlflowClient().set_registered_model_alias(name, "champion", "1")


def distinct(rows: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each row once, with its commonest label: of two equal rows, which is the nearest neighbour would be chance."""
    names, codes = np.unique(labels, return_inverse=True)
    unique, place = np.unique(rows, axis=0, return_inverse=True)
    counts = np.zeros((len(unique), len(names)), dtype=np.int64)
    np.add.at(counts, (place.ravel(), codes), 1)
    return unique, names[counts.argmax(axis=1)]


@contextmanager
def quiet_run(registry: Registry, folder: Path) -> Iterator[Any]:
    """A run in *registry*, with MLflow's own chatter kept out of the figures."""
    with warnings.catch_warnings(), redirect_stderr(StringIO()):
        warnings.simplefilter("ignore")
        import mlflow

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)
        mlflow.set_tracking_uri(registry.tracking_uri)
        if mlflow.get_experiment_by_name("labels") is None:
            mlflow.create_experiment("labels", artifact_location=(folder / "artifacts").as_uri())
        mlflow.set_experiment("labels")
        with mlflow.start_run():
            yield mlflow


def write_page(task: Task, method: str, folder: Path) -> Path:
    """The page of one way to vote, and the known cases beside it."""
    known = task.calibration
    walks = {} if known.walks is None else {"walk": known.walks}
    np.savez(folder / "cases.npz", features=known.features, label=known.labels, **walks)
    page = {
        "name": method,
        "answer": "label",
        "members": {name: f"models:/{name}@champion" for name in task.members},
        "steps": [
            {"block": "scale", "with": dict(task.scale)},
            "members",
            {"block": "vote", "with": {**METHODS[method], "confidence_levels": list(LEVELS)}},
        ],
        "calibration": {"data": "cases.npz", "truth": "label", **({"group": "walk"} if walks else {})},
    }
    path = folder / f"{method}.yaml"
    path.write_text(yaml.safe_dump(page, sort_keys=False), encoding="utf-8")
    return path


def show(name: str, answers: Sequence[Label], truth: np.ndarray, *, counts: bool) -> None:
    """The figures of *answers*; those of the soft vote have a target."""
    right = np.array([answer.label == true for answer, true in zip(answers, truth, strict=True)])
    share(f"{name}.accuracy", right)
    confidence = np.array([answer.confidence / 100 for answer in answers])
    agreement = np.array([answer.agreement for answer in answers])
    for word, said in (("confidence", confidence), ("agreement", agreement)):
        error = estimated_calibration_error(said, right)
        given = {"target": f"<= {TARGET}", "ok": error.value <= TARGET} if counts and word == "confidence" else {}
        report(f"{name}.{word}.ece", error.value, "share", **given)
        for bound in ("low", "high", "floor"):
            report(f"{name}.{word}.ece_{bound}", getattr(error, bound), "share")
        report(f"{name}.{word}.brier", brier_score(said, right), "share")
    report(f"{name}.tied", float(np.mean([answer.tied for answer in answers])), "share")
    for level in LEVELS:
        sets = [answer.prediction_set(level) for answer in answers]
        held = np.array([true in names for names, true in zip(sets, truth, strict=True)])
        share(f"{name}.set_{level:g}.coverage", held)
        report(f"{name}.set_{level:g}.mean_size", float(np.mean([len(names) for names in sets])), "classes")


def share(name: str, true: np.ndarray) -> None:
    """How often, between the bounds that hold the true share with 95 %."""
    low, high = coverage_interval(int(true.sum()), true.size)
    for bound, value in (("", float(true.mean())), ("_low", low), ("_high", high)):
        report(name + bound, value, "share")


if __name__ == "__main__":
    main()
