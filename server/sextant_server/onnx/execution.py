"""
Requests in, responses out: a dynamic batch is one call of ONNX Runtime.

Every microsecond here is paid by every request: the lone one is neither joined nor split.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from sextant_server.onnx.model import Array, OnnxModel

Feed = dict[str, Array]


class Execution:
    """Answers Triton's requests with *model*; *pb_utils* is handed in, so this runs without Triton too."""

    def __init__(self, pb_utils: Any, model: OnnxModel) -> None:
        self._pb, self._model = pb_utils, model

    def respond(self, requests: Sequence[Any]) -> list[Any]:
        """A response for each request, in order; one that fails, fails alone."""
        if len(requests) > 1 and self._model.batched:
            # Whose fault it is shows when each is asked alone.
            with suppress(Exception):
                return self._together([self._feed(request) for request in requests])
        return [self._alone(request) for request in requests]

    def _feed(self, request: Any) -> Feed:
        get, array = self._pb.get_input_tensor_by_name, self._model.array
        tensors = ((name, get(request, name)) for name in self._model.inputs)
        return {name: array(name, tensor) for name, tensor in tensors if tensor is not None}

    def _alone(self, request: Any) -> Any:
        try:
            return self._response(self._model.run(self._feed(request)))
        except Exception as error:  # noqa: BLE001  (ONNX Runtime raises many kinds, and each belongs to its caller)
            refusal = self._pb.TritonError(str(error), self._pb.TritonError.INVALID_ARG)
            return self._pb.InferenceResponse(error=refusal)

    def _together(self, feeds: list[Feed]) -> list[Any]:
        """Raises where rows cannot be joined (variable dims may differ), or not be told apart afterwards."""
        joined = {name: np.concatenate([feed[name] for feed in feeds]) for name in feeds[0]}
        ends = list(accumulate((len(feed[self._model.inputs[0]]) for feed in feeds), initial=0))
        outputs = self._model.run(joined)
        if any(len(output) != ends[-1] for output in outputs):
            raise ValueError("the graph does not give one row of output for each row of input")
        return [self._response([output[start:end] for output in outputs]) for start, end in pairwise(ends)]

    def _response(self, outputs: Sequence[Array]) -> Any:
        tensors = [self._pb.Tensor(name, array) for name, array in zip(self._model.outputs, outputs, strict=True)]
        return self._pb.InferenceResponse(tensors)
