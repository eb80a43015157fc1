"""
What each survey is answered with: how its features are scaled, and the three regressors that vote.

Each member gives metres east and north of the survey's origin.
Three different kinds of model err in different places: that makes their disagreement worth listening to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sklearn.decomposition import PCA
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.neighbors import KNeighborsRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

from .survey import NOT_HEARD


@dataclass(frozen=True)
class Recipe:
    """
    Parameters of the blocks ``scale`` and ``fuse``, and how to make each registered model, untrained.

    *enough_m* is the median error that a release may have at most.
    """

    scale: Mapping[str, float]
    fuse: Mapping[str, Any]
    members: Mapping[str, Callable[[], Any]]
    enough_m: float


BAY = Recipe(
    enough_m=35.0,
    scale={"offset": 98.0, "divisor": 40.0, "missing": NOT_HEARD},
    fuse={"method": "moment", "gate": 0.99},
    members={
        "locator-forest": lambda: ExtraTreesRegressor(
            60, min_samples_leaf=2, max_features=1.0, n_jobs=-1, random_state=0
        ),
        "locator-mlp": lambda: MLPRegressor(
            hidden_layer_sizes=(128, 128),
            activation="tanh",
            alpha=0.1,
            batch_size=64,
            learning_rate_init=0.01,
            max_iter=80,
            random_state=0,
        ),
        "locator-knn": lambda: KNeighborsRegressor(9, weights="distance", algorithm="brute"),
    },
)

UJIINDOORLOC = Recipe(
    enough_m=9.0,
    scale={"offset": 105.0, "divisor": 105.0, "power": 1.5, "missing": NOT_HEARD},
    fuse={"method": "moment", "gate": 0.99, "weights": [0.1, 0.3, 0.6]},
    members={
        "locator-forest": lambda: ExtraTreesRegressor(
            60, min_samples_leaf=2, max_features=0.3, n_jobs=-1, random_state=0
        ),
        "locator-mlp": lambda: make_pipeline(
            Normalizer(),
            MLPRegressor(
                hidden_layer_sizes=(128, 64),
                activation="tanh",
                alpha=0.03,
                batch_size=64,
                learning_rate_init=3e-3,
                max_iter=20,
                random_state=0,
            ),
        ),
        "locator-knn": lambda: make_pipeline(
            Normalizer(), PCA(100, random_state=0), KNeighborsRegressor(9, algorithm="brute")
        ),
    },
)
