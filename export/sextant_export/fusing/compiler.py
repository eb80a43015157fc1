"""Steps of a pipeline as one ONNX model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from operator import or_
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx

from sextant_export.fusing.graph import OPSETS, FusedGraph, Value, where
from sextant_export.fusing.merging import merge
from sextant_export.fusing.parts import Part
from sextant_export.fusing.raising import newest_opsets, raised
from sextant_export.fusing.steps import EXPRESSIONS
from sextant_export.fusing.written import Written
from sextant_export.graph_file import GraphFile, settle
from sextant_export.onnx_graph.external import linked


class Compiled(NamedTuple):
    """
    A *graph* on disk.

    *exact* says that no step in it computes otherwise than its block, but for the last places of FP64.
    """

    graph: GraphFile
    exact: bool


def compiled(parts: Sequence[Part], wanted: Iterable[str], directory: Path) -> Compiled:
    """
    One graph of *parts* that follow one another, in the new folder *directory*.

    It takes what they take and none of them gives, and gives those tensors of the ensemble that are *wanted*. A row
    that a block would refuse is NaN in every real output, -1 in whole numbers, false, and empty text.
    """
    made = {name: tensor for part in parts for name, tensor in part.outputs.items()}
    given = {name: tensor for part in parts for name, tensor in part.inputs.items() if name not in made}
    graph, models = FusedGraph(), _members(parts)
    graph.opsets = newest_opsets(models, OPSETS)
    values = {name: Value(graph, name, tensor.numpy_type) for name, tensor in given.items()}
    written = [_add(graph, part, models, values) for part in parts]
    refused = [one.refused for one in written if one.refused is not None]
    kept = {name: made[name] for name in wanted}
    outputs = {name: values[name] for name in kept}
    if refused:
        mask = reduce(or_, refused)
        outputs = {name: _without(value, mask, kept[name].dims) for name, value in outputs.items()}
    model = graph.finished(tuple(given.values()), outputs, {name: tensor.dims for name, tensor in kept.items()})
    _gather(parts, directory / "weights")
    return Compiled(settle(model, directory / "weights", directory / "graph"), all(one.exact for one in written))


def _members(parts: Sequence[Part]) -> dict[str, onnx.ModelProto]:
    return {part.name: part.graph.model for part in parts if part.graph}


def _add(graph: FusedGraph, part: Part, models: Mapping[str, onnx.ModelProto], values: dict[str, Value]) -> Written:
    """The nodes of one part; what it gives joins *values*, by the ensemble's names."""
    sources = {own: values[name] for own, name in part.step.input_map.items()}
    if part.member is None:
        written = EXPRESSIONS[part.name].write(part.parameters, sources)
    else:
        model = raised(models[part.name], graph.opsets)
        names = merge(graph, model, part.name, {own: value.name for own, value in sources.items()})
        types = {tensor.name: tensor.numpy_type for tensor in part.member.outputs}
        written = Written({own: Value(graph, name, types[own]) for own, name in names.items()})
    values |= {name: written.outputs[own] for own, name in part.step.output_map.items()}
    return written


def _without(value: Value, refused: Value, dims: tuple[int, ...]) -> Value:
    """*value* with nothing in the rows ``(B, 1)`` that are *refused*."""
    mask = refused.reshape(*([0] + [1] * len(dims) if dims else [-1]))
    kind = value.dtype.kind
    if kind == "b":
        return value & ~mask
    if kind == "O":
        return where(mask, value.like(""), value)
    if kind == "f":
        wide = value if value.dtype.itemsize > 2 else value.cast(np.float32)
        return where(mask, wide.like(np.nan), wide).cast(value.dtype)
    wide = value.cast(np.int64)
    return where(mask, wide.like(-1 if kind == "i" else 0), wide).cast(value.dtype)


def _gather(parts: Sequence[Part], folder: Path) -> None:
    """The files beside the members' graphs, each member's in a folder of its own."""
    folder.mkdir(parents=True)
    for part in parts:
        if part.graph:
            linked(part.graph.model, part.graph.path.parent, folder / part.name)
