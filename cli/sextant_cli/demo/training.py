"""
Trains the members of a survey's recipe and registers each in MLflow under the alias ``champion``.

A version that was trained from the same rows, the same parameters and the same libraries is still valid:
its fingerprint stands in a tag, and it is not trained twice.
"""

from __future__ import annotations

import hashlib
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import mlflow
import numpy as np
import numpy.typing as npt
import sklearn
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.models import infer_signature
from mlflow.models.model import ModelInfo
from sklearn.exceptions import ConvergenceWarning

from sextant.blocks import BLOCKS
from sextant.tensors import Floats

from .members import Recipe
from .survey import Survey

ALIAS = "champion"
EXPERIMENT = "sextant-demo"
FINGERPRINT = "sextant.fingerprint"
EXAMPLE_ROWS = 5

TRUSTED_TYPES = ["sklearn.tree._tree.Tree", "sklearn.neural_network._stochastic_optimizers.AdamOptimizer"]
"""What MLflow may load back besides plain scikit-learn data; this program has just made it itself."""

Features = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Registered:
    """A registered member: *seconds* to train and log it, 0 where the version *was_valid* already."""

    name: str
    version: int
    seconds: float
    was_valid: bool


def open_registry(tracking_uri: str, artifacts: Path) -> None:
    """Make the registry and the demo's experiment in it, where they are not there yet: seconds, the first time."""
    with _experiment(tracking_uri, artifacts):
        pass


def train_and_register(
    recipe: Recipe,
    survey: Survey,
    *,
    tracking_uri: str,
    artifacts: Path,
    progress: Callable[[int, int, str], None],
) -> list[Registered]:
    """
    Every member of *recipe* as a version under the alias ``champion``, trained on *survey* where need be.

    *progress* hears how many of how many members are done, and the name of the one that comes next.
    """
    features, targets = distinct(scaled(recipe, survey.features), survey.east_north)
    registered = []
    with _experiment(tracking_uri, artifacts) as experiment_id:
        for done, (name, untrained) in enumerate(recipe.members.items()):
            progress(done, len(recipe.members), name)
            registered.append(_register(name, untrained(), features, targets, experiment_id))
    progress(len(recipe.members), len(recipe.members), "")
    return registered


def scaled(recipe: Recipe, features: Features) -> Features:
    """What members are given, by the same block that will scale requests inside Triton."""
    block = BLOCKS["scale"]({"width": features.shape[1], **recipe.scale})
    answer: Features = block(features=features)["scaled"]
    return answer


def distinct(features: Features, targets: Floats) -> tuple[Features, Features]:
    """
    Each row of features once, in order of first sight, with the mean of its targets.

    Of two equal rows at different places, which one is the nearest neighbour would be chance.

    >>> distinct(np.float32([[1], [2], [1]]), np.array([[0.0, 0.0], [5.0, 5.0], [4.0, 2.0]]))[1].tolist()
    [[2.0, 1.0], [5.0, 5.0]]
    """
    _, first, row = np.unique(features, axis=0, return_index=True, return_inverse=True)
    sums = np.zeros((len(first), targets.shape[1]))
    np.add.at(sums, row.reshape(-1), targets)
    means = sums / np.bincount(row.reshape(-1))[:, None]
    order = np.argsort(first)
    return features[first[order]], means[order].astype(np.float32)


def fingerprint(model: Any, features: Features, targets: npt.NDArray[np.float32]) -> str:
    """A digest of everything a trained member follows from."""
    digest = hashlib.sha256()
    for fact in (
        type(model).__name__,
        repr(model.get_params()),
        sklearn.__version__,
        np.__version__,
        mlflow.__version__,
    ):
        digest.update(fact.encode())
    digest.update(features.tobytes())
    digest.update(targets.tobytes())
    return digest.hexdigest()


def registered_already(name: str, mark: str) -> int | None:
    """The version under the alias ``champion`` if it bears this fingerprint and its files are still there."""
    client = MlflowClient()
    try:
        version = client.get_model_version_by_alias(name, ALIAS)
    except MlflowException:
        return None
    folder = Path(url2pathname(urlsplit(client.get_model_version_download_uri(name, version.version)).path))
    valid = version.tags.get(FINGERPRINT) == mark and (folder / "MLmodel").is_file()
    return int(version.version) if valid else None


def _register(
    name: str, model: Any, features: Features, targets: npt.NDArray[np.float32], experiment_id: str
) -> Registered:
    mark = fingerprint(model, features, targets)
    valid = registered_already(name, mark)
    if valid is not None:
        return Registered(name, valid, 0.0, was_valid=True)
    began = time.monotonic()
    _fit(model, features, targets)
    version = _publish(name, _log(name, model, features, experiment_id), mark)
    return Registered(name, version, time.monotonic() - began, was_valid=False)


def _fit(model: Any, features: Features, targets: npt.NDArray[np.float32]) -> None:
    """scikit-learn's perceptron takes Ctrl-C for "enough" and only warns: half a training must not be served."""
    with warnings.catch_warnings():
        # A number of passes that was chosen, not a failure to converge.
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("error", message="Training interrupted by user")
        try:
            model.fit(features, targets)
        except UserWarning as interrupted:
            raise KeyboardInterrupt from interrupted


def _log(name: str, model: Any, features: Features, experiment_id: str) -> ModelInfo:
    example = features[:EXAMPLE_ROWS]
    with mlflow.start_run(experiment_id=experiment_id, run_name=name):
        return mlflow.sklearn.log_model(
            model,
            name=name,
            signature=infer_signature(example, model.predict(example)),
            input_example=example,
            skops_trusted_types=TRUSTED_TYPES,
            pip_requirements=[f"scikit-learn=={sklearn.__version__}", f"numpy=={np.__version__}"],
        )


def _publish(name: str, logged: ModelInfo, mark: str) -> int:
    """A new version that bears its fingerprint; the alias moves last, so half a training is never served."""
    client = MlflowClient()
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    version = client.create_model_version(
        name, logged.model_uri, logged.run_id, tags={FINGERPRINT: mark}, model_id=logged.model_id
    ).version
    client.set_registered_model_alias(name, ALIAS, str(version))
    return int(version)


@contextmanager
def _experiment(tracking_uri: str, artifacts: Path) -> Iterator[str]:
    """The demo's experiment, whose files go to *artifacts*; MLflow's own state is left as it was found."""
    artifacts.mkdir(parents=True, exist_ok=True)
    before = mlflow.get_tracking_uri()
    with quiet():
        mlflow.set_tracking_uri(tracking_uri)
        try:
            known = mlflow.get_experiment_by_name(EXPERIMENT)
            yield (
                known.experiment_id
                if known
                else mlflow.create_experiment(EXPERIMENT, artifact_location=artifacts.resolve().as_uri())
            )
        finally:
            mlflow.set_tracking_uri(before)


@contextmanager
def quiet() -> Iterator[None]:
    """MLflow's running commentary off, and its libraries' warnings: the demo has its own voice."""
    loggers = [logging.getLogger(name) for name in ("mlflow", "alembic")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for category in (UserWarning, FutureWarning, DeprecationWarning):
                warnings.simplefilter("ignore", category)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
