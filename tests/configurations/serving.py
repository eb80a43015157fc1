"""A registry and a store of one's own, where a configuration goes the whole way: logged, exported, served."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sextant_export.narration import Narrator
from sextant_export.pipeline import Pipeline
from sextant_export.receipt import Receipt
from sextant_export.registry import Registry
from sextant_export.store import Store
from sextant_promote.control import Control
from sextant_promote.promotion import promote
from sextant_server import EmbeddedTriton

from .configuration import Configuration


@dataclass(frozen=True)
class Workshop:
    """An MLflow registry and a store under *root*."""

    root: Path

    @property
    def registry(self) -> Registry:
        """MLflow on SQLite."""
        return Registry(f"sqlite:///{self.root / 'mlflow.db'}")

    @property
    def store(self) -> Store:
        """What is served."""
        return Store(self.root / "store")

    def log(self, configuration: Configuration) -> int:
        """Train *configuration* and log it under its name; gives its version."""
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            fitted = configuration.fit()
            facts: dict[str, Any] = {"input_example": fitted.example} if fitted.shown else {}
            if fitted.answer is not None:
                facts["signature"] = _signature(fitted.example, fitted.answer)
            with self._run() as mlflow:
                names = {"name": configuration.name, "registered_model_name": configuration.name}
                logged = fitted.log(mlflow, pip_requirements=[], **names, **facts)
        return int(logged.registered_model_version)

    def page(self, configuration: Configuration, *, instances: int = 1, **member: Any) -> Pipeline:
        """The pipeline of one member that serves *configuration* under its name."""
        asked = {"model_uri": f"models:/{configuration.name}/1", **member}
        return Pipeline.from_mapping(
            {
                "name": configuration.name,
                "answer": "tensors",
                "members": {"model": asked},
                "steps": ["members"],
                "serving": {"max_batch_size": 64, "max_queue_delay_us": 0, "instances": instances},
            }
        )

    @contextmanager
    def triton(self) -> Iterator[tuple[EmbeddedTriton, Control]]:
        """A real Triton on the store, and its control side."""
        with (
            EmbeddedTriton(self.store.prepare().root) as triton,
            Control(triton.address.grpc, triton.address.token) as control,
        ):
            yield triton, control

    def serve(self, configuration: Configuration, control: Control, narrator: Narrator | None = None) -> Receipt:
        """Export *configuration*, which was logged, and promote it, which proves it again through Triton."""
        return promote(self.page(configuration), self.store, self.registry, control, narrator).receipt

    @contextmanager
    def _run(self) -> Iterator[Any]:
        import mlflow

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)
        mlflow.set_tracking_uri(self.registry.tracking_uri)
        if mlflow.get_experiment_by_name("workshop") is None:
            mlflow.create_experiment("workshop", artifact_location=(self.root / "artifacts").as_uri())
        mlflow.set_experiment("workshop")
        with mlflow.start_run():
            yield mlflow


def take_away(receipt: Receipt, control: Control) -> None:
    """Unload what *receipt* made Triton serve, front first, so that its processes end."""
    for model in (receipt.pipeline, receipt.name, *(name for name, _ in receipt.models)):
        control.unload(model)


def _signature(example: Any, answer: Any) -> Any:
    from mlflow.models import infer_signature

    return infer_signature(example, answer if hasattr(answer, "columns") else np.asarray(answer))
