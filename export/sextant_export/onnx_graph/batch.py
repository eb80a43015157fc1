"""
The batch axis: a graph that was exported for one number of rows is made to take any, where that is sound.

Sound is what was tried: rows in batches of one, two and three must be answered as the graph as it was answers them in
batches of its own size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from sextant.errors import ConversionError
from sextant.tensors import Tensor
from sextant_export.onnx_graph.facts import fixed_batch, graph_inputs
from sextant_export.onnx_graph.open_shapes import with_open_shapes
from sextant_export.onnx_graph.scopes import taken
from sextant_export.onnx_graph.sessions import answers, open_session
from sextant_export.onnx_graph.trial import ROWS, of_any_size

Rows = Mapping[str, NDArray[Any]]

PART = 256
_SEED = 20_260
_CLOSE = 1e-4
"""Of an answer's own size: sums of another number of rows are added up in another order."""


def with_free_batch(model: onnx.ModelProto, weights: Path | None = None) -> onnx.ModelProto:
    """The graph with the first axis of every input and output free; ConversionError where there is none to free."""
    size = fixed_batch(model)
    if size is None:
        return _declared_free(model)
    inputs = graph_inputs(model)
    asked, expected = of_any_size(inputs, lambda sizes: _alone(model, weights, size, sizes[0]))
    try:
        return _compared(_declared_free(with_open_shapes(model, size)), weights, asked, expected)
    except ConversionError as error:
        raise ConversionError(
            f"the graph was exported for batches of {size}, and it is another graph for any other: {error}; "
            "export the model with a dynamic first axis"
        ) from error


def in_batches(feed: Rows, size: int) -> Iterator[dict[str, NDArray[Any]]]:
    """*feed* in batches of exactly *size* rows; the last row again where they do not suffice."""
    rows = len(next(iter(feed.values())))
    for start in range(0, rows, size):
        places = np.minimum(np.arange(start, start + size), rows - 1)
        yield {name: array[places] for name, array in feed.items()}


def in_parts(feed: Rows) -> Iterator[Rows]:
    """*feed* in parts of no more rows than fit into memory."""
    for start in range(0, max(len(next(iter(feed.values()))), 1), PART):
        yield {name: array[start : start + PART] for name, array in feed.items()}


def _alone(model: onnx.ModelProto, weights: Path | None, size: int, length: int) -> tuple[Rows, Rows]:
    """Seeded rows, and what the graph answers to them in batches of its own *size*."""
    random = np.random.default_rng(_SEED)
    asked = {tensor.name: _drawn(random, tensor, sum(ROWS), length) for tensor in graph_inputs(model)}
    session = open_session(model, weights)
    parts = [answers(session, part) for part in in_batches(asked, size)]
    for name, array in parts[0].items():
        if array.shape[:1] != (size,):
            raise ConversionError(
                f"output {name!r} of the {size} rows that the graph was exported for has the shape {array.shape}: "
                "it does not batch; export the model with a dynamic first axis"
            )
    return asked, {name: np.concatenate([part[name] for part in parts])[: sum(ROWS)] for name in parts[0]}


def _drawn(random: np.random.Generator, tensor: Tensor, rows: int, length: int) -> NDArray[Any]:
    """Numbers between 0 and 1; whole ones, that may be places in a table, are 0 or 1."""
    shape = (rows, *(dim if dim >= 0 else length for dim in tensor.dims))
    if tensor.dtype == "BYTES":
        return random.choice(np.array(["", "a"], dtype=object), shape)
    drawn = random.random(shape) if tensor.dtype.startswith("FP") else random.integers(0, 2, shape)
    return drawn.astype(tensor.numpy_type)


def _compared(model: onnx.ModelProto, weights: Path | None, asked: Rows, expected: Rows) -> onnx.ModelProto:
    """*model*, once it answered *asked* in batches of several sizes as *expected*; else ConversionError."""
    session, start = open_session(model, weights), 0
    for rows in ROWS:
        place = slice(start, start + rows)
        given = answers(session, {name: array[place] for name, array in asked.items()})
        for name, array in expected.items():
            if given[name].shape != array[place].shape:
                raise ConversionError(f"output {name!r} of {rows} rows has the shape {given[name].shape}")
            if not _close(given[name], array[place]):
                raise ConversionError(f"output {name!r} of {rows} rows is not what it is in its own batches")
        start += rows
    return model


def _close(one: NDArray[Any], other: NDArray[Any]) -> bool:
    if other.dtype.kind != "f":
        return bool(np.array_equal(one, other))
    scale = float(np.nanmax(np.abs(other), initial=0.0, where=np.isfinite(other)))
    return bool(np.allclose(one, other, rtol=_CLOSE, atol=_CLOSE * scale, equal_nan=True))


def _declared_free(model: onnx.ModelProto) -> onnx.ModelProto:
    for value in chain(taken(model.graph), model.graph.output):
        dims = value.type.tensor_type.shape.dim
        if dims:
            dims[0].Clear()
            dims[0].dim_param = "batch"
    return model
