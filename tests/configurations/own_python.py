"""Home-made models, which nothing can convert: MLflow calls them ``python_function``."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from .configuration import Configuration, Fitted, few
from .data import bundled, with_words


def _logged(model: Any, example: Any, answer: Any) -> Fitted:
    return Fitted(lambda mlflow, **facts: mlflow.pyfunc.log_model(python_model=model, **facts), example, answer)


def _triage() -> Fitted:
    """Words, whole numbers, doubles, a flag and a date in; words, a double and a list out."""
    import mlflow

    # Defined here, so that it travels with the model and not as the name of a module that a server has not.
    class Triage(mlflow.pyfunc.PythonModel):  # type: ignore[name-defined,misc]
        def predict(self, context, model_input, params=None):
            weight = {"low": 0.0, "middle": 1.0, "high": 2.0}
            score = model_input["mean radius"].map(weight) + 10 * model_input["mean smoothness"]
            score = score + model_input["visits"] / 4 + model_input["smoker"] * 0.5
            when = model_input["seen"] + pd.to_timedelta(model_input["visits"], unit="D")
            return pd.DataFrame(
                {
                    "urgency": np.where(score > 2.5, "soon", "later"),
                    "score": score.astype("float64"),
                    "again": when,
                    "parts": [[float(s), float(v)] for s, v in zip(score, model_input["visits"], strict=True)],
                }
            )

    example = patients()
    return _logged(Triage(), example, Triage().predict(None, example))


def patients() -> pd.DataFrame:
    """What :func:`_triage` is asked."""
    table = few(with_words("breast_cancer").x[["mean radius", "mean smoothness"]]).copy()
    number = np.arange(len(table))
    seen = np.datetime64("2026-01-31T12:00:00", "ns") + number * np.timedelta64(1, "h")
    return table.assign(visits=number % 9, smoker=number % 3 == 0, seen=seen)


def _nearest_name() -> Fitted:
    """An array in, a word out."""
    import mlflow

    rows = bundled("iris")
    centres = np.stack([rows.array[rows.y == kind].mean(axis=0) for kind in range(3)])
    names = np.array(["setosa", "versicolor", "virginica"], dtype=object)

    class Nearest(mlflow.pyfunc.PythonModel):  # type: ignore[name-defined,misc]
        def predict(self, context, model_input, params=None):
            distance = np.linalg.norm(np.asarray(model_input)[:, None] - centres, axis=2)
            return names[distance.argmin(axis=1)]

    return _logged(Nearest(), few(rows.array), Nearest().predict(None, few(rows.array)))


CONFIGURATIONS = (
    Configuration("python_function", "breast_cancer, words", "home-made, mixed columns", _triage, quick=True),
    Configuration("python_function", "iris", "home-made, array to words", _nearest_name),
)
