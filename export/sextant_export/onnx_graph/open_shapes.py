"""
Constant shapes in a graph that was exported for one number of rows, opened for any.

Where the batch lies in what a Reshape gives follows from where it lies in what it takes: as many numbers stand before
one row's as before.  Where it lies in what it takes shows in the shapes that the graph, opened up to there, infers for
its own number of rows and for another.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

import numpy as np
import onnx
from onnx.external_data_helper import uses_external_data

from sextant_export.onnx_graph.scopes import all_names, fresh, graphs, taken
from sextant_export.onnx_graph.weights import is_heavy, without_weights

Shape = Sequence[int]

_OTHER = 11
"""So many rows more: no length that networks have is changed into another one of theirs."""
_LENGTH = 1013
"""Of axes of any length, meanwhile."""
_STATES = {"LSTM": (5, 6), "GRU": (5,), "RNN": (5,)}


def with_open_shapes(model: onnx.ModelProto, size: int) -> onnx.ModelProto:
    """A copy whose constant shapes and states leave the batch of *size* rows open, and which claims no inner shape."""
    opened = onnx.ModelProto()
    opened.CopyFrom(model)
    _forget_shapes(opened.graph)
    _drop_zero_states(opened.graph)
    known, present = dict(_constants(opened.graph)), all_names(opened.graph)
    names = [value.name for value in taken(opened.graph)]
    light = _of_rows(without_weights(opened, is_heavy), names, size)
    here = dict(_inferred(light))
    light = _of_rows(light, names, size + _OTHER)
    for node, twin in zip(opened.graph.node, light.graph.node, strict=True):
        if node.op_type in {"Reshape", "Expand"} and node.input[1] in known:
            shape = _open(node, known[node.input[1]], here, dict(_inferred(light)), size)
            name = fresh(f"{node.input[1]}_of_any_batch", present)
            for graph, changed in ((opened.graph, node), (light.graph, twin)):
                graph.initializer.append(onnx.numpy_helper.from_array(np.array(shape, np.int64), name))
                changed.input[1] = name
    return opened


def _open(
    node: onnx.NodeProto, shape: Shape, here: Mapping[str, Shape], there: Mapping[str, Shape], size: int
) -> Shape:
    before, after = here.get(node.input[0]), there.get(node.input[0])
    changed = [i for i, (one, other) in enumerate(zip(before or (), after or (), strict=False)) if one != other]
    if node.op_type == "Expand":
        return _open_expand(shape, before, changed, size)
    whole = here.get(node.output[0], shape)
    if before is None or after is None:
        return _guessed(whole, size)
    return _open_reshape(shape, whole, before, changed[0], size) if len(changed) == 1 else shape


def _guessed(shape: Shape, size: int) -> Shape:
    """Where nothing is known of what is reshaped: the first axis that is as long as the batch, or a multiple of it."""
    alone = [axis for axis, length in enumerate(shape) if length == size]
    merged = [axis for axis, length in enumerate(shape) if length > 0 and length % size == 0]
    place = next(iter(alone or merged), None)
    return [-1 if i == place else length for i, length in enumerate(shape)] if min(shape, default=0) > 0 else shape


def _open_reshape(shape: Shape, whole: Shape, before: Shape, axis: int, size: int) -> Shape:
    """The batch, alone or merged into an axis, is whatever is left over once all other axes have their length."""
    place = _batch_axis(whole, before, axis, size)
    if place is None or _LENGTH in before:
        return [0 if i == place == axis and length > 0 else length for i, length in enumerate(shape)]
    return [-1 if i == place else length for i, length in enumerate(whole)]


def _batch_axis(whole: Shape, before: Shape, axis: int, size: int) -> int | None:
    """
    The axis of *whole* that holds the batch, which lies in *axis* of *before*.

    Where a batch of one leaves several, it is an axis of its own; else, of a matrix, the one before the columns; else
    the one that begins where the batch does.

    >>> _batch_axis((7, 8, 8), (7, 2, 32), 1, 2), _batch_axis((14, 32), (7, 2, 4, 8), 1, 2)
    (1, 0)
    """
    ahead, behind = math.prod(before[:axis]), math.prod(before[axis + 1 :])
    starts = [ahead * part for part in range(1, before[axis] // size + 1) if before[axis] // size % part == 0]
    edges = [math.prod(whole[:i]) for i in range(len(whole) + 1)]
    fits = [
        i
        for i in range(len(whole))
        if any(start % edges[i] == 0 and edges[i + 1] % (start * size) == 0 for start in starts)
    ]
    wishes = (
        [i for i in fits if whole[i] == size],
        [i for i in fits if len(whole) == 2 and math.prod(whole[i + 1 :]) == behind],
        [i for i in fits if edges[i] == ahead],
        fits,
    )
    return next((places[0] for places in wishes if places), None)


def _open_expand(shape: Shape, before: Shape | None, changed: Sequence[int], size: int) -> Shape:
    """What is expanded has the batch already, or is broadcast to it later."""
    if before and len(changed) == 1:
        place = len(shape) - len(before) + changed[0]
    else:
        place = shape.index(size) if size in shape else -1
    return [1 if i == place else length for i, length in enumerate(shape)]


def _drop_zero_states(graph: onnx.GraphProto) -> None:
    """A recurrent layer begins with zeros where it is given nothing, for any number of rows."""
    zeros = {name for name, tensor in _held(graph) if not uses_external_data(tensor) and _is_zero(tensor)}
    for node in graph.node:
        for place in _STATES.get(node.op_type, ()):
            if place < len(node.input) and node.input[place] in zeros:
                node.input[place] = ""


def _forget_shapes(graph: onnx.GraphProto) -> None:
    for inner in graphs(graph):
        del inner.value_info[:]
        for value in chain(inner.input, inner.output) if inner is not graph else ():
            value.type.tensor_type.ClearField("shape")


def _of_rows(light: onnx.ModelProto, names: Sequence[str], rows: int) -> onnx.ModelProto:
    """The graph whose inputs *names* have *rows* rows, and one length along every axis of any length."""
    for value in (value for value in light.graph.input if value.name in names):
        first, *others = value.type.tensor_type.shape.dim
        first.dim_value = rows
        for dim in (dim for dim in others if not dim.HasField("dim_value")):
            dim.dim_value = _LENGTH
    for value in light.graph.output:
        value.type.tensor_type.ClearField("shape")
    return light


def _inferred(model: onnx.ModelProto) -> Iterator[tuple[str, Shape]]:
    """The shapes of all that is computed, where every axis is known."""
    yield from ((weight.name, tuple(weight.dims)) for weight in model.graph.initializer)
    try:
        known = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    except Exception:  # noqa: BLE001  what cannot be inferred stays as it is
        return
    for value in chain(known.input, known.value_info, known.output):
        dims = value.type.tensor_type.shape.dim
        if dims and all(dim.HasField("dim_value") for dim in dims):
            yield value.name, tuple(dim.dim_value for dim in dims)


def _constants(graph: onnx.GraphProto) -> Iterator[tuple[str, Shape]]:
    """Whole numbers that stand in the graph and can be shapes."""
    for node in (node for node in graph.node if node.op_type == "Constant"):
        yield from ((node.output[0], tuple(attribute.ints)) for attribute in node.attribute if attribute.ints)
    for name, tensor in _held(graph):
        if tensor.data_type == onnx.TensorProto.INT64 and len(tensor.dims) == 1 and not uses_external_data(tensor):
            yield name, tuple(onnx.numpy_helper.to_array(tensor).tolist())


def _held(graph: onnx.GraphProto) -> Iterator[tuple[str, onnx.TensorProto]]:
    """The tensors that stand in the graph, as weights or as constants."""
    yield from ((weight.name, weight) for weight in graph.initializer)
    for node in (node for node in graph.node if node.op_type == "Constant"):
        yield from ((node.output[0], attribute.t) for attribute in node.attribute if attribute.HasField("t"))


def _is_zero(tensor: onnx.TensorProto) -> bool:
    return tensor.data_type != onnx.TensorProto.STRING and not np.any(onnx.numpy_helper.to_array(tensor))
