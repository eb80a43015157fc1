"""A release that is asked while gates are measured: the candidate, or the one that serves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
from google.protobuf import text_format
from numpy.typing import NDArray
from tritonclient.grpc.model_config_pb2 import ModelConfig

from sextant.errors import ModelNotReady, PromoteError
from sextant_client import Client
from sextant_export.receipt import Receipt
from sextant_promote.gates.labelled import Labelled
from sextant_promote.gates.load import Ask

T = TypeVar("T")
_ROWS, _TIMEOUT_S = 1024, 60.0


class Arm:
    """The release of *receipt*, asked by its own name through *client*; *serving* says which of the two it is."""

    def __init__(self, client: Client, receipt: Receipt, *, serving: bool) -> None:
        self.receipt, self._serving = receipt, serving
        self._pipeline = client.pipeline(receipt.name)

    def answers(self, rows: Labelled) -> list[Any]:
        """The typed answers to all *rows*."""
        given: list[Any] = []
        for start in range(0, len(rows.cases), _ROWS):
            part = slice(start, start + _ROWS)
            asked = self._told(rows, part)
            features = rows.cases.features[part]
            given += self._loaded(lambda: self._pipeline(features, timeout_s=_TIMEOUT_S, **asked))  # noqa: B023
        return given

    def one_of(self, rows: Labelled) -> Ask:
        """Asks for one of *rows*, as a caller does."""

        def ask(number: int) -> Any:
            row = number % len(rows.cases)
            return self._loaded(lambda: self._pipeline(rows.cases.features[row], **self._told(rows, row)))

        return ask

    def one_of_tensors(self, feed: Mapping[str, NDArray[Any]]) -> Ask:
        """Asks for one row of *feed*, under the names that the member gives its tensors."""
        named = self.named(feed)
        count = min(map(len, named.values()))

        def ask(number: int) -> Any:
            row = number % count
            one: dict[str, Any] = {name: array[row : row + 1] for name, array in named.items()}
            return self._loaded(lambda: self._pipeline.tensors(**one))

        return ask

    def named(self, feed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """A *feed* of the only member, under the names that the pipeline gives its tensors."""
        (step,) = text_format.Parse(self.receipt.ensemble, ModelConfig()).ensemble_scheduling.step
        return {step.input_map[name]: array for name, array in feed.items()}

    def sent(self, rows: Labelled) -> dict[str, NDArray[Any]]:
        """All *rows* as a caller sends them, by the names of the pipeline's tensors."""
        told = self._told(rows, slice(None))
        names = [tensor.name for tensor in text_format.Parse(self.receipt.ensemble, ModelConfig()).input]
        (features,) = (name for name in names if name not in told)
        return {features: rows.cases.features, **told}

    def _told(self, rows: Labelled, part: slice | int) -> dict[str, Any]:
        """What a caller of this release sends beside the features: the group of each row, where it asks for one."""
        per = (self.receipt.spec.get("calibration") or {}).get("per") or {}
        column = per.get("column")
        if column is None:
            return {}
        if rows.cases.apart is None or column != rows.column:
            raise PromoteError(
                f"{self.receipt.name} is asked with the {column} of each row, which this page does not name: nothing "
                "can be measured against it; write limits that are numbers"
            )
        return {"group": np.asarray(rows.cases.apart)[:, None][part]}

    def _loaded(self, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except ModelNotReady as error:
            if not self._serving:
                raise
            release = self.receipt.release
            raise PromoteError(
                f"{self.receipt.name}, which serves, is not loaded, so nothing can be measured against it: "
                f"`sextant rollback {self.receipt.pipeline} --to {release}` loads it, or write limits that are numbers"
            ) from error
