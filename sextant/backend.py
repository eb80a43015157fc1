from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from itertools import accumulate, pairwise
from pathlib import Path
from time import perf_counter, time_ns
from traceback import format_exc
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sextant.errors import InputRefused, ModelFailed, ParametersError, SextantError
from sextant.meter import BUG, MODEL, labels_of, meter
from sextant.refusals import reason_of
from sextant.spans import spans
from sextant.tensors import Tensor

Arrays = dict[str, NDArray[Any]]


class Block(Protocol):
    """What a shell serves: tensors in, tensors out, a batch at a time."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    def __call__(self, **arrays: NDArray[Any]) -> Arrays:
        """The outputs ``(B, ...)`` of inputs ``(B, ...)``."""


class Shell:
    """
    A block as Triton's Python backend wants it: lists of requests in, lists of responses out.

    *pb_utils* is handed in, for it exists only inside Triton; *args* are those of ``initialize``, and the
    block's parameters lie beside ``model.py`` in ``parameters.json``.  The requests of a dynamic batch are
    answered by one call of the block; one that is refused is refused alone.
    """

    def __init__(
        self, pb_utils: Any, args: Mapping[str, str], block_class: Callable[[Mapping[str, Any]], Block]
    ) -> None:
        self._pb = pb_utils
        self._name = args["model_name"]
        self._block = block_class(read_parameters(Path(args["model_repository"], args["model_version"])))
        self._meter = meter(pb_utils, args, self._block)
        self._spans = spans(pb_utils, labels_of(args, self._block))
        self._required = [tensor.name for tensor in self._block.inputs if not tensor.optional]

    def respond(self, requests: list[Any]) -> list[Any]:
        """One response a request, in order; never raises, for Triton leaks what a request that did held."""
        begun_ns = time_ns()
        responses: list[Any] = [None] * len(requests)
        groups: dict[Any, list[tuple[int, Arrays]]] = {}
        for index, request in enumerate(requests):
            arrays = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
            groups.setdefault(_likeness(arrays), []).append((index, arrays))
        for group in groups.values():
            indices, inputs = zip(*group, strict=True)
            for index, response in zip(indices, self._answers(list(inputs)), strict=True):
                responses[index] = response
        if self._spans:
            self._spans.record(begun_ns, requests, responses)
        return responses

    def close(self) -> None:
        """Write what was measured, send what was traced, and end."""
        self._meter.close()
        if self._spans:
            self._spans.close()

    def _answers(self, inputs: list[Arrays]) -> list[Any]:
        if len(inputs) == 1:
            return [self._answer(inputs[0])]
        try:
            together = self._ask({name: np.concatenate([one[name] for one in inputs]) for name in inputs[0]})
        except Exception:  # noqa: BLE001 - whichever it was, asking one by one finds whose it is
            return [self._answer(one) for one in inputs]
        bounds = pairwise(accumulate((_rows(one) for one in inputs), initial=0))
        return [self._response({name: array[a:b] for name, array in together.items()}) for a, b in bounds]

    def _answer(self, arrays: Arrays) -> Any:
        try:
            return self._response(self._ask(arrays))
        except ModelFailed as error:  # a model's own fault: the sentence to this caller, the whole story to the log
            self._pb.Logger.log_error(f"{self._name}: {format_exc()}")
            self._meter.failed(MODEL)
            return self._refusal(str(error), self._pb.TritonError.INTERNAL)
        except SextantError as error:
            self._meter.refused(reason_of(error))
            return self._refusal(str(error), self._pb.TritonError.INVALID_ARG)
        except Exception as error:  # noqa: BLE001 - a bug of ours: said in the log, and to this caller only
            self._pb.Logger.log_error(f"{self._name}: {format_exc()}")
            self._meter.failed(BUG)
            return self._refusal(f"{self._name} broke: {error!r}", self._pb.TritonError.INTERNAL)

    def _ask(self, arrays: Arrays) -> Arrays:
        for name in self._required:
            if name not in arrays:
                raise InputRefused(name, "a tensor", "none")
        begun = perf_counter()
        answer = self._block(**arrays)
        self._meter.took(perf_counter() - begun, answer)
        return answer

    def _response(self, outputs: Arrays) -> Any:
        tensors = [self._pb.Tensor(name, array) for name, array in outputs.items()]
        return self._pb.InferenceResponse(output_tensors=tensors)

    def _refusal(self, sentence: str, code: Any) -> Any:
        return self._pb.InferenceResponse(output_tensors=[], error=self._pb.TritonError(sentence, code))


def read_parameters(version_directory: Path) -> Mapping[str, Any]:
    """The block's parameters that lie in *version_directory*; ``ParametersError`` where they cannot be read."""
    page = version_directory / "parameters.json"
    try:
        parameters = json.loads(page.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ParametersError(f"{page.name}: {error}") from error
    if not isinstance(parameters, dict):
        raise ParametersError(f"{page.name}: expected an object, got {type(parameters).__name__}")
    return parameters


def _likeness(arrays: Arrays) -> Any:
    """What requests must share to be answered in one call: the same tensors, of the same dims and type."""
    return frozenset((name, array.shape[1:], array.dtype.char) for name, array in arrays.items())


def _rows(arrays: Arrays) -> int:
    return len(next(iter(arrays.values())))
