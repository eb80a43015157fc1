"""Python models that do what no model should, when they are loaded or asked."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path

import numpy as np

with warnings.catch_warnings():  # about MLflow's own types, and the words it would like to see here
    warnings.simplefilter("ignore")
    from mlflow.pyfunc import PythonModel

    class Sum(PythonModel):
        """Adds the columns up; *odd* is what it does before, but where it is logged."""

        def __init__(self, odd, note):
            self.odd, self.note, self.home = odd, str(note), os.getpid()

        def load_context(self, context):
            """Write down where it runs."""
            Path(self.note).write_text(json.dumps({"pid": os.getpid(), "environment": dict(os.environ)}))

        def predict(self, context, model_input, params=None):
            """One number a row."""
            if os.getpid() != self.home:
                getattr(self, self.odd)()
            return np.asarray(model_input).sum(axis=1)

        def nothing(self):
            """Behave."""

        def leave(self):
            """End the process."""
            os._exit(0)

        def loop(self):
            """Never answer."""
            while True:
                pass
