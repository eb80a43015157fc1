"""For your own tests: pipelines served by plain functions, without a server."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from sextant.errors import InputRefused, ModelFailed, ModelNotReady, RequestRefused, SextantError
from sextant.tensors import NUMPY_TYPES

from .dtypes import Array
from .transport import Limits, ModelConfig, ModelInfer, ModelMetadata, Reply, Request, Tensor, Tensors

Function = Callable[..., Mapping[str, Any]]


class InMemoryTransport:
    """
    Serves functions that take arrays, rows first, by the names of their parameters, and give tensors by name.

    One function is served under its own name, a mapping under its keys; a parameter with a default is an
    optional input. ``inputs`` says what a tensor is, ``"FP32 [520]"`` (one row's shape); what it does not
    name is FP32 of any width. What a function raises comes out as from a server: InputRefused as
    RequestRefused, a ClientError as it is, anything else as ModelFailed. ``columns`` describes the table that a
    function takes and gives, as a model's configuration would, and ``classes`` names what probabilities are of.

    >>> import numpy as np
    >>> from sextant_client import Client
    >>> def locate(features):
    ...     return {"position": features.mean(axis=1, keepdims=True) + np.array([52.0, 13.0])}
    >>> client = Client(transport=InMemoryTransport(locate, inputs={"features": "FP32 [3]"}))
    >>> client.pipeline("locate").tensors(np.zeros((5, 3)))["position"].shape
    (5, 2)
    >>> client.pipeline("locate")(np.zeros(4))
    Traceback (most recent call last):
    sextant.errors.RequestRefused: features: expected FP32 [3], one row or a batch of rows, got FP32 [4]
    """

    def __init__(
        self,
        functions: Function | Mapping[str, Function],
        *,
        inputs: Mapping[str, str] | None = None,
        max_batch_size: int = 64,
        columns: Mapping[str, Any] | None = None,
        classes: Sequence[str | int] = (),
    ) -> None:
        self._functions = functions if isinstance(functions, Mapping) else {functions.__name__: functions}
        self._inputs = inputs or {}
        self._max_batch_size = max_batch_size
        self._columns = json.dumps(columns) if columns else ""
        self._classes = json.dumps(classes) if classes else ""

    def send(self, request: Request, timeout_s: float) -> Reply:  # noqa: ARG002 - a function is quick
        """The reply a server would give."""
        if request.model and request.model not in self._functions:
            raise ModelNotReady(f"Request for unknown model: {request.model!r} is not found")
        if isinstance(request, ModelInfer):
            return self._infer(request)
        if isinstance(request, ModelMetadata):
            return Tensors(tuple(self._tensor(name) for name in self._parameters(request)), ())
        if isinstance(request, ModelConfig):
            return Limits(self._max_batch_size, self._optional(request), self._columns, self._classes)
        return True

    async def asend(self, request: Request, timeout_s: float) -> Reply:
        """The reply a server would give; other tasks get their turn first, as they would."""
        await asyncio.sleep(0)
        return self.send(request, timeout_s)

    def close(self) -> None:
        """Nothing to let go of."""

    async def aclose(self) -> None:
        """Nothing to let go of."""

    def _infer(self, request: ModelInfer) -> dict[str, Array]:
        try:
            answer = self._functions[request.model](**request.inputs)
        except InputRefused as error:
            raise RequestRefused(str(error)) from error
        except SextantError:
            raise
        except Exception as error:
            raise ModelFailed(f"{request.model}: {type(error).__name__}: {error}") from error
        return {name: np.asarray(array) for name, array in answer.items()}

    def _parameters(self, request: Request) -> Mapping[str, inspect.Parameter]:
        return inspect.signature(self._functions[request.model]).parameters

    def _optional(self, request: Request) -> frozenset[str]:
        parameters = self._parameters(request).items()
        return frozenset(name for name, parameter in parameters if parameter.default is not parameter.empty)

    def _tensor(self, name: str) -> Tensor:
        dtype, _, dims = self._inputs.get(name, "FP32 [-1]").partition(" ")
        if dtype not in NUMPY_TYPES or not (dims.startswith("[") and dims.endswith("]")):
            raise ValueError(f"inputs[{name!r}]: expected a type and one row's shape as in 'FP32 [520]'")
        row = tuple(int(size) for size in dims[1:-1].split(",") if size.strip())
        return Tensor(name, dtype, (-1, *row) if self._max_batch_size else row)
