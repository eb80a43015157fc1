"""The pipeline as ``mlflow models serve`` takes it: a model from code, whose artifact is the folder of the facts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
from workloads import load


class Located(mlflow.pyfunc.PythonModel):
    """The pipeline by hand, behind MLflow's own words."""

    def load_context(self, context: Any) -> None:
        """Open the members."""
        self.answer = load("locate", Path(context.artifacts["folder"]))

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:  # noqa: ARG002  MLflow's names
        """The answer to rows."""
        return self.answer(model_input)


mlflow.models.set_model(Located())
