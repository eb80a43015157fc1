"""Trial runs: what a graph answers to rows that nobody would refuse."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from sextant.errors import ConversionError
from sextant.tensors import Tensor
from sextant_export.onnx_graph.facts import graph_inputs
from sextant_export.onnx_graph.sessions import answers, open_session

ROWS = (1, 2, 3)
"""One row is a case of its own: a Squeeze drops its axis."""
SIZES = ((2, 3), (32, 64), (224, 256), (1, 1))
"""Tried in turn for axes of any length: words of a text, ticks of a signal, pixels, whatever is left."""

_Found = TypeVar("_Found")


def with_true_shapes(model: onnx.ModelProto, weights: Path | None = None) -> onnx.ModelProto:
    """
    The graph with the shapes that its outputs have when it runs; converters declare (-1, 1) for (-1, K).

    Batches of three sizes are run, so a graph that only pretends to batch is refused.  An axis is fixed where it is
    equally long in all of them and nothing said to be of any length could have made it so.
    """
    session = open_session(_undeclared(model), weights)
    inputs = graph_inputs(model)
    trials = of_any_size(inputs, lambda sizes: _trials(session, inputs, sizes))
    for value in model.graph.output:
        shapes = [trial[value.name].shape for trial in trials]
        if [shape[:1] for shape in shapes] != [(rows,) for rows in ROWS]:
            said = ", ".join(map(str, shapes))
            raise ConversionError(
                f"output {value.name!r} of 1, 2 and 3 rows has shapes {said}: it does not batch; "
                "export the model with a dynamic first axis"
            )
        _declare(value, [_size(value, axis, {s[axis] for s in shapes}, inputs) for axis in range(1, len(shapes[0]))])
    return model


def of_any_size(inputs: Sequence[Tensor], run: Callable[[tuple[int, int]], _Found]) -> _Found:
    """What *run* gives for the first pair of lengths, of axes without a fixed one, that the graph takes."""
    first, *others = SIZES if _has_free_axis(inputs) else SIZES[-1:]
    try:
        return run(first)
    except ConversionError:
        for sizes in others:
            with suppress(ConversionError):
                return run(sizes)
        raise


def quiet_rows(tensor: Tensor, rows: int, size: int) -> NDArray[Any]:
    """*rows* of zeros, False or no text, which are valid numbers, places in a table, and words."""
    shape = (rows, *(dim if dim >= 0 else size for dim in tensor.dims))
    return np.full(shape, "" if tensor.dtype == "BYTES" else 0, dtype=tensor.numpy_type)


def _trials(session: ort.InferenceSession, inputs: Sequence[Tensor], sizes: tuple[int, int]) -> list[dict[str, Any]]:
    small, large = sizes
    runs = zip(ROWS, (small, small, large), strict=True)
    return [answers(session, {tensor.name: quiet_rows(tensor, rows, size) for tensor in inputs}) for rows, size in runs]


def _size(value: onnx.ValueInfoProto, axis: int, seen: set[int], inputs: Sequence[Tensor]) -> int:
    """The length of an axis of an output, or -1."""
    declared = value.type.tensor_type.shape.dim[axis : axis + 1]
    named = bool(declared) and bool(declared[0].dim_param)
    stated = bool(declared) and declared[0].HasField("dim_value") and {declared[0].dim_value} == seen
    trusted = stated or not (named or _has_free_axis(inputs))
    return next(iter(seen)) if len(seen) == 1 and trusted else -1


def _has_free_axis(inputs: Sequence[Tensor]) -> bool:
    return any(-1 in tensor.dims for tensor in inputs)


def _undeclared(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy that claims nothing of its outputs' shapes, so that a wrong claim cannot stop the trial."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for value in copy.graph.output:
        value.type.tensor_type.ClearField("shape")
    return copy


def _declare(value: onnx.ValueInfoProto, sizes: Sequence[int]) -> None:
    shape = value.type.tensor_type.shape
    shape.ClearField("dim")
    shape.dim.add(dim_param="batch")
    for size in sizes:
        shape.dim.add(**({"dim_value": size} if size >= 0 else {}))
