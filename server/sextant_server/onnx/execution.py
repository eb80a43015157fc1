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
                return self._together(requests)
        return [self._alone(request) for request in requests]

    def _feed(self, request: Any) -> Feed:
        array = self._model.array
        named = ((tensor.name(), tensor) for tensor in request.inputs())
        return {name: array(name, tensor) for name, tensor in named}

    def _alone(self, request: Any) -> Any:
        try:
            return self._response(request, self._model.run(self._feed(request)))
        except Exception as error:  # noqa: BLE001  (ONNX Runtime raises many kinds, and each belongs to its caller)
            refusal = self._pb.TritonError(str(error), self._pb.TritonError.INVALID_ARG)
            return self._pb.InferenceResponse(error=refusal)

    def _together(self, requests: Sequence[Any]) -> list[Any]:
        """Raises where rows cannot be joined (variable dims may differ), or not be told apart afterwards."""
        feeds = [self._feed(request) for request in requests]
        joined = {name: np.concatenate([feed[name] for feed in feeds]) for name in feeds[0]}
        ends = list(accumulate((len(feed[self._model.inputs[0]]) for feed in feeds), initial=0))
        outputs = self._model.run(joined)
        if any(len(output) != ends[-1] for output in outputs):
            raise ValueError("the graph does not give one row of output for each row of input")
        parts = ([output[start:end] for output in outputs] for start, end in pairwise(ends))
        return [self._response(request, part) for request, part in zip(requests, parts, strict=True)]

    def _response(self, request: Any, outputs: Sequence[Array]) -> Any:
        """
        The outputs that *request* asks for: all of them where the caller named none, and where an ensemble asks.

        Triton drops what was not asked for, but only after it was handed over, which is what costs most here.
        """
        names = self._model.outputs
        asked = names if len(names) == 1 else request.requested_output_names()
        tensor = self._pb.Tensor
        return self._pb.InferenceResponse([tensor(n, a) for n, a in zip(names, outputs, strict=True) if n in asked])
