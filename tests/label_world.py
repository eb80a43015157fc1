"""
The small world asked for a class: in which zone of the square a row of signal strengths was heard.

Three quick classifiers of scikit-learn stand in the registry, under text and under whole numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from sextant_export.pipeline import Pipeline, load_pipeline
from small_world import RECEIVERS, SCALE, SIDE_M, Cases, World, draw

ZONES = ("garden", "hall", "office", "yard")
MEMBERS = ("logistic", "forest", "knn")


def zones(cases: Cases) -> np.ndarray:
    """The zone of each case, as text."""
    east, north = (cases.east_north > SIDE_M * np.array([0.45, 0.55])).T
    return np.array(ZONES)[east + 2 * north]


def numbers(cases: Cases) -> np.ndarray:
    """The zone of each case, as a whole number that says nothing of its order."""
    return np.array([30, 10, 40, 20])[np.searchsorted(ZONES, zones(cases))]


def classifiers() -> dict[str, Any]:
    """Untrained, by the name of the member."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier

    return {
        "logistic": LogisticRegression(C=10.0, max_iter=500),
        "forest": RandomForestClassifier(20, max_depth=8, random_state=0),
        "knn": KNeighborsClassifier(7),
    }


class LabelWorld(World):
    """A small world whose page answers with zones."""

    def register_classifier(self, name: str, model: Any, labels: np.ndarray) -> int:
        """Train *model* on the world's rows and *labels*, and move ``champion`` to it."""
        model.fit(self.training.scaled, labels)

        def log(mlflow: Any, **facts: Any) -> Any:
            return mlflow.sklearn.log_model(model, serialization_format="cloudpickle", **facts)

        return self.log(name, log, model, "champion")

    def write_labels(
        self,
        vote: Mapping[str, Any] | None = None,
        *,
        members: Mapping[str, Any] | None = None,
        truth: Any = zones,
        rows: int = 600,
        changes: Mapping[str, Any] | None = None,
    ) -> Pipeline:
        """Write the page, with *vote* for the block's parameters, and *rows* known cases; gives it read."""
        cases = draw(rows, seed=3)
        table = pd.DataFrame(cases.features, columns=[f"receiver_{i}" for i in range(len(RECEIVERS))])
        table.assign(zone=truth(cases)).to_parquet(self.root / "zones.parquet")
        page: dict[str, Any] = {
            "name": "zone",
            "answer": "label",
            "members": members or {name: f"models:/{name}@champion" for name in MEMBERS},
            "steps": [
                {"block": "scale", "with": dict(SCALE)},
                "members",
                {"block": "vote", "with": dict(vote or {})},
            ],
            "calibration": {"data": "zones.parquet", "truth": "zone"},
            "serving": {"max_batch_size": 64, "max_queue_delay_us": 0, "instances": 1},
        }
        page |= changes or {}
        if page["calibration"] is None:
            del page["calibration"]
        self.spec.write_text(yaml.safe_dump(page, sort_keys=False), encoding="utf-8")
        return load_pipeline(self.spec)


def make_label_world(root: Path) -> LabelWorld:
    """A world with three classifiers of text and three, ``<name>_number``, of whole numbers."""
    world = LabelWorld(root)
    for name, model in classifiers().items():
        world.register_classifier(name, model, zones(world.training))
    for name, model in classifiers().items():
        world.register_classifier(f"{name}_number", model, numbers(world.training))
    return world
