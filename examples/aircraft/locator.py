"""
The members' Python, as MLflow keeps it: this file, ``tdoa``, ``network`` and ``lateness`` travel with every version.

Three members by their settings: least squares as in the textbook; with the network's delays and a robust loss; and the
latter with what training rows say about reports that are late.
"""

from __future__ import annotations

from typing import Any

import mlflow
import numpy as np
import numpy.typing as npt
from mlflow.pyfunc import PythonModel

from lateness import Lateness
from network import Features, Network
from tdoa import Floats, solve, solve_robustly


class Locator(PythonModel):
    """
    Latitude, longitude and their covariance for rows of features; NaN where a row cannot be placed.

    It never raises for a row: members run side by side, and of two that fail at once a server may lose one.  What is
    NaN is refused by the block after them, which sees all members and stands alone.
    Settings: *sigma_m*, by which arrivals are said to err; *largest_m*, beyond which a residual counts by its sign.
    """

    def load_context(self, context: Any) -> None:
        """Read the network, and past errors where there are any."""
        self._sigma_m = float(context.model_config["sigma_m"])
        self._largest_m = context.model_config.get("largest_m")
        self._network = Network.read(context.artifacts["network"])
        self._lateness = Lateness.read(context.artifacts["lateness"]) if "lateness" in context.artifacts else None

    def predict(self, context: Any, model_input: np.ndarray, params: Any = None) -> dict[str, npt.NDArray[Any]]:  # noqa: ARG002  MLflow's words
        """*position* ``(B, 2)`` in degrees and *covariance* ``(B, 2, 2)`` in m2 east and north, of rows ``(B, 16)``."""
        features = np.asarray(model_input, dtype=np.float32)
        position, covariance = np.full((len(features), 2), np.nan), np.full((len(features), 2, 2), np.nan)
        able = self._network.can_place(features)
        if able.any():
            position[able], covariance[able] = self._located(features[able])
        return {"position": position, "covariance": covariance}

    def _located(self, features: Features) -> tuple[Floats, Floats]:
        heard = self._network.heard(features)
        found = solve(heard) if self._largest_m is None else solve_robustly(heard, float(self._largest_m))
        covariance = found.covariance(self._sigma_m)
        if self._lateness is None:
            return found.position, covariance
        return self._lateness.corrected(found.position, covariance, features[:, -1].astype(np.float64))


mlflow.models.set_model(Locator())
