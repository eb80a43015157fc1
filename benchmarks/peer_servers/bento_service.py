"""BentoML: two workers; arrays travel as JSON, its only form for a request that is no upload of files."""

# BentoML reads annotations as objects: no ``from __future__ import annotations`` here.
from typing import Annotated

import bentoml
import numpy as np
from bentoml.validators import DType
from workloads import asked_for

Array = Annotated[np.ndarray, DType("float32")]


@bentoml.service(workers=2, metrics={"enabled": False}, logging={"access": {"enabled": False}})
class Peer:
    """One model a worker."""

    def __init__(self) -> None:
        self.answer, _ = asked_for()

    @bentoml.api(route="/predict")
    async def predict(self, rows: Array) -> np.ndarray:
        """The answer to rows."""
        return self.answer(rows)
