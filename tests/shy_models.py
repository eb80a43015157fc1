"""Home-made MLflow models that do not always know: one that gives no label, one that gives no numbers."""

from __future__ import annotations

import sys
import warnings

import cloudpickle
import numpy as np

with warnings.catch_warnings():  # about MLflow's own types
    warnings.simplefilter("ignore")
    import mlflow.pyfunc

    class Shy(mlflow.pyfunc.PythonModel):
        """Names a zone by one receiver, and nothing where it hears it too faintly."""

        def predict(self, context, model_input: np.ndarray):
            heard = np.asarray(model_input)[:, 0]
            return np.where(heard < 0.45, "", np.where(heard > 0.5, "garden", "yard")).astype(object)

    class Unsure(mlflow.pyfunc.PythonModel):
        """Gives probabilities, and NaN where it hears its receiver too faintly."""

        def predict(self, context, model_input: np.ndarray):
            heard = np.asarray(model_input, dtype=np.float32)[:, :1]
            even = np.tile(np.array([[0.4, 0.3, 0.2, 0.1]], np.float32), (len(heard), 1))
            return np.where(heard < 0.45, np.float32(np.nan), even)

    class Brittle(mlflow.pyfunc.PythonModel):
        """Raises where it hears its receiver too faintly, whatever the rows beside it."""

        def predict(self, context, model_input: np.ndarray):
            heard = np.asarray(model_input)[:, 0]
            if (heard < 0.45).any():
                raise ArithmeticError("too faint")
            return np.where(heard > 0.5, "garden", "yard").astype(object)


cloudpickle.register_pickle_by_value(sys.modules[__name__])  # Triton has no tests beside it


def log_own_python(world, name, model):
    """Register *model*, of this module, in *world* under ``champion``."""
    from mlflow.models import infer_signature

    example = world.training.scaled[:8]
    loud = model.predict(None, np.full((4, 8), 0.9, np.float32))

    class Predicting:
        def predict(self, rows):
            return model.predict(None, np.full_like(rows, 0.9))

    def log(flow, **facts):
        facts |= {"signature": infer_signature(example, loud), "input_example": example}
        return flow.pyfunc.log_model(python_model=model, **facts)

    return world.log(name, log, Predicting(), "champion")
