"""
A small world, whole: an MLflow registry with three quick position regressors, known cases, the page that joins them.

Everything in it is real and takes seconds: eight receivers in a square of 200 m, log-distance path loss, seeded noise.
The end-to-end tests and the promotion benchmark live in it.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from sextant.geodesy import to_latitude_longitude
from sextant_export.pipeline import Pipeline, load_pipeline
from sextant_export.registry import Registry
from sextant_export.store import Store

ORIGIN = (43.72, 10.4)
SIDE_M = 200.0
SCALE = {"offset": 100.0, "divisor": 50.0, "missing": 100.0}
RECEIVERS = np.random.default_rng(1).uniform(0, SIDE_M, (8, 2))


@dataclass(frozen=True)
class Cases:
    """*features* FP32 (N, 8) in dBm, *east_north* (N, 2) in metres from ORIGIN."""

    features: np.ndarray
    east_north: np.ndarray

    @property
    def truth(self) -> np.ndarray:
        """Latitude and longitude (N, 2)."""
        return to_latitude_longitude(ORIGIN, self.east_north)

    @property
    def scaled(self) -> np.ndarray:
        """What the block ``scale`` gives the members."""
        return ((self.features + SCALE["offset"]) / SCALE["divisor"]).clip(0).astype(np.float32)


def draw(rows: int, seed: int) -> Cases:
    """*rows* cases, drawn with *seed*."""
    rng = np.random.default_rng(seed)
    east_north = rng.uniform(0, SIDE_M, (rows, 2))
    distance = np.linalg.norm(east_north[:, None] - RECEIVERS, axis=2)
    heard = -30 - 25 * np.log10(distance + 1) + rng.normal(0, 2, distance.shape)
    return Cases(heard.astype(np.float32), east_north)


@dataclass(frozen=True)
class World:
    """The registry, the store and the spec under *root*."""

    root: Path
    training: Cases = field(default_factory=lambda: draw(600, seed=2))

    @property
    def registry(self) -> Registry:
        """MLflow on SQLite."""
        return Registry(f"sqlite:///{self.root / 'mlflow.db'}")

    @property
    def store(self) -> Store:
        """What is served."""
        return Store(self.root / "store")

    @property
    def spec(self) -> Path:
        """The page."""
        return self.root / "locate.yaml"

    def register(self, name: str, model: Any, *, alias: str = "champion", signature: bool = True) -> int:
        """Fit *model*, log it, move *alias* to it; gives its version."""
        model.fit(self.training.scaled, self.training.east_north)

        def log(mlflow: Any, **facts: Any) -> Any:
            return mlflow.sklearn.log_model(model, serialization_format="cloudpickle", **facts)

        return self.log(name, log, model, alias, signature)

    def log(self, name: str, log: Callable[..., Any], model: Any, alias: str, signature: bool = True) -> int:
        """Let *log* log a model under *name* and move *alias* to its new version."""
        import mlflow
        from mlflow.models import infer_signature

        logging.getLogger("mlflow").setLevel(logging.ERROR)
        logging.getLogger("alembic").setLevel(logging.ERROR)
        example = self.training.scaled[:4]
        facts: dict[str, Any] = {"name": name.replace(".", "_"), "registered_model_name": name, "pip_requirements": []}
        if signature:
            facts |= {"signature": infer_signature(example, np.asarray(model.predict(example)))}
            facts |= {"input_example": example}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mlflow.set_tracking_uri(self.registry.tracking_uri)
            if mlflow.get_experiment_by_name("world") is None:
                mlflow.create_experiment("world", artifact_location=(self.root / "artifacts").as_uri())
            mlflow.set_experiment("world")
            with mlflow.start_run():
                version = log(mlflow, **facts).registered_model_version
            mlflow.MlflowClient().set_registered_model_alias(name, alias, str(version))
        return int(version)

    def write_spec(self, changes: Mapping[str, Any] | None = None) -> Pipeline:
        """Write the page, with *changes* to its top level, and its known cases; gives it read."""
        self.write_cases(draw(300, seed=3))
        page: dict[str, Any] = {
            "name": "locate",
            "answer": "position",
            "members": {
                "ridge": "models:/ridge@champion",
                "forest": "models:/forest@champion",
                "knn": "models:/knn@champion",
            },
            "steps": [
                {"block": "scale", "with": dict(SCALE)},
                "members",
                {"block": "fuse", "with": {"frame": "east_north_m", "origin": list(ORIGIN)}},
                {"block": "ellipse", "with": {"confidence_levels": [0.5, 0.9, 0.95]}},
            ],
            "calibration": {"data": "cases.parquet", "truth": ["latitude", "longitude"]},
            "serving": {"max_batch_size": 64, "max_queue_delay_us": 0, "instances": 1},
            "gate": {"coverage": {"level": 0.95, "at_least": 0.9}},
        }
        self.spec.write_text(yaml.safe_dump({**page, **(changes or {})}, sort_keys=False), encoding="utf-8")
        return load_pipeline(self.spec)

    def write_cases(self, cases: Cases) -> None:
        """Write *cases* as the table the page names."""
        table = pd.DataFrame(cases.features, columns=[f"receiver_{i}" for i in range(len(RECEIVERS))])
        latitude, longitude = cases.truth.T
        table.assign(latitude=latitude, longitude=longitude).to_parquet(self.root / "cases.parquet")


def make_world(root: Path) -> World:
    """A world whose three members are registered under ``champion``."""
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.linear_model import Ridge
    from sklearn.neighbors import KNeighborsRegressor

    world = World(root)
    world.register("ridge", Ridge(alpha=0.1))
    world.register("forest", RandomForestRegressor(20, max_depth=8, random_state=0))
    world.register("knn", KNeighborsRegressor(5, weights="distance"))
    return world
