"""
Trains the members of a survey's recipe and registers each in MLflow under the alias ``champion``.

A version that was trained from the same rows, the same parameters and the same libraries is still valid:
its fingerprint stands in a tag, and it is not trained twice.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import numpy.typing as npt
import sklearn
from mlflow.models import infer_signature
from mlflow.models.model import ModelInfo
from sklearn.exceptions import ConvergenceWarning

from sextant.blocks import BLOCKS
from sextant.tensors import Floats

from .members import Recipe
from .registering import Registered, experiment, registered
from .survey import Survey

EXPERIMENT = "sextant-demo"
EXAMPLE_ROWS = 5

TRUSTED_TYPES = ["sklearn.tree._tree.Tree", "sklearn.neural_network._stochastic_optimizers.AdamOptimizer"]
"""What MLflow may load back besides plain scikit-learn data; this program has just made it itself."""

Features = npt.NDArray[np.float32]


def open_registry(tracking_uri: str, artifacts: Path) -> None:
    """Make the registry and the demo's experiment in it, where they are not there yet: seconds, the first time."""
    with experiment(EXPERIMENT, tracking_uri, artifacts):
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
    members = []
    with experiment(EXPERIMENT, tracking_uri, artifacts) as experiment_id:
        for done, (name, untrained) in enumerate(recipe.members.items()):
            progress(done, len(recipe.members), name)
            members.append(_register(name, untrained(), features, targets, experiment_id))
    progress(len(recipe.members), len(recipe.members), "")
    return members


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


def _register(
    name: str, model: Any, features: Features, targets: npt.NDArray[np.float32], experiment_id: str
) -> Registered:
    def trained() -> ModelInfo:
        _fit(model, features, targets)
        return _log(name, model, features, experiment_id)

    return registered(name, fingerprint(model, features, targets), trained)


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
