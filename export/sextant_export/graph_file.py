"""
A graph on disk: ``model.onnx``, with the files that its weights lie in beside it.

Large weights never pass through Python's memory: they are mapped by ONNX Runtime, and copied inside the kernel.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

from sextant.errors import ConversionError
from sextant.tensors import Tensor
from sextant_export.onnx_graph import answers, corrected, graph_inputs, graph_outputs, noted
from sextant_export.onnx_graph.batch import in_parts
from sextant_export.onnx_graph.external import (
    copy_file,
    linked,
    locations,
    require_weights,
    with_large_weights_outside,
)
from sextant_export.onnx_graph.facts import NOTES
from sextant_export.onnx_graph.sessions import LARGE_BYTES, open_file
from sextant_export.onnx_graph.weights import (
    weights_size,
    with_constants_as_weights,
    with_small_weights_inside,
    with_weights_once,
)
from sextant_export.original import first_line
from sextant_export.signature import Arrays, Feed
from sextant_export.store import digest

MODEL = "model.onnx"


@dataclass(frozen=True)
class GraphFile:
    """The graph at *path*, and the files beside it that it names."""

    path: Path

    @cached_property
    def model(self) -> onnx.ModelProto:
        """The graph itself; weights that lie outside it stay there."""
        return onnx.load(self.path, load_external_data=False)

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """What it takes, per row."""
        return graph_inputs(self.model)

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """What it gives, per row."""
        return graph_outputs(self.model)

    @property
    def files(self) -> tuple[str, ...]:
        """Its files, seen from its folder: the graph first."""
        return (self.path.name, *locations(self.model))

    @cached_property
    def sha256(self) -> str:
        """Over the names and bytes of all its files."""
        total = hashlib.sha256()
        for name in (MODEL, *locations(self.model)):
            file = self.path if name == MODEL else self.path.parent / name
            total.update(f"{name}\0{digest(file)}\0".encode())
        return total.hexdigest()

    def answer(self, feed: Feed) -> Arrays:
        """What ONNX Runtime answers to *feed*, by the name of the output."""
        session = self._kept or open_file(self.path, self.model)
        parts = [answers(session, part) for part in in_parts(feed)]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def write(self, directory: Path) -> None:
        """Put its files into *directory*."""
        for name in self.files:
            target = directory / (MODEL if name == self.path.name else name)
            target.parent.mkdir(parents=True, exist_ok=True)
            copy_file(self.path.parent / name, target)

    def facts(self) -> dict[str, Any]:
        """What a receipt keeps: the digest, and what was called otherwise, or had names, in the graph as it was."""
        notes = {key: noted(self.model, key) for key in NOTES}
        return {"onnx_sha256": self.sha256} | {key: facts for key, facts in notes.items() if facts}

    @cached_property
    def _kept(self) -> ort.InferenceSession | None:
        """A session for all questions; None where it would hold too much between them."""
        return open_file(self.path, self.model) if weights_size(self.model) < LARGE_BYTES else None


def settle(model: onnx.ModelProto, weights: Path, directory: Path) -> GraphFile:
    """
    The graph *model*, corrected, on disk in the new folder *directory*; *weights* is where its weights lie.

    ``ConversionError`` says what cannot be mended, or which file is missing or cut short.
    """
    directory.mkdir(parents=True)
    require_weights(model, weights)
    model = with_small_weights_inside(with_constants_as_weights(model), weights)
    model = with_weights_once(model, weights)
    linked(model, weights, directory)
    model = corrected(with_large_weights_outside(model, directory), directory)
    (directory / MODEL).write_bytes(model.SerializeToString(deterministic=True))
    return GraphFile(directory / MODEL)


def read(path: Path) -> GraphFile:
    """The graph at *path*; ConversionError where it, or a file it names, is not whole."""
    graph = GraphFile(path)
    try:
        _ = graph.model
    except Exception as error:
        raise ConversionError(f"{path} is no whole ONNX file: {first_line(error)}") from error
    if not graph.model.graph.output:
        raise ConversionError(f"{path} is no whole ONNX file: its graph has no output")
    require_weights(graph.model, path.parent)
    return graph
