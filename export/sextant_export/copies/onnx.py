"""A registered version as an ONNX graph, for ONNX Runtime."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sextant.tensors import Tensor
from sextant_export.config import Configs, onnx_config
from sextant_export.graph_file import GraphFile
from sextant_export.pipeline import Serving
from sextant_export.signature import Arrays, Feed


@dataclass(frozen=True, kw_only=True)
class OnnxCopy:
    """
    The graph of a version; *accelerator* is what ONNX Runtime may hand it to, where the server has it.

    *why* says, where TensorRT was asked for, which nodes kept it on ONNX Runtime.
    """

    graph: GraphFile
    accelerator: str | None = None
    why: str | None = None

    kind = "onnx"
    converted = True

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """What it takes, per row."""
        return self.graph.inputs

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """What it gives, per row."""
        return self.graph.outputs

    def answer(self, feed: Feed) -> Arrays:
        """What ONNX Runtime answers to *feed*."""
        return self.graph.answer(feed)

    def proven(self, _feed: Feed, _expected: Arrays) -> OnnxCopy:
        """This: the graph is all it holds."""
        return self

    def write(self, directory: Path) -> None:
        """Put ``model.onnx`` and its weights into *directory*."""
        self.graph.write(directory)

    def configs(self, name: str, serving: Serving, versions: Iterable[int]) -> Configs:
        """The official ``onnxruntime`` backend's configuration, which ours takes too."""
        return Configs(onnx_config(name, self.inputs, self.outputs, serving, versions, self.accelerator))

    def facts(self) -> dict[str, Any]:
        """What the receipt keeps of it."""
        return self.graph.facts() | ({"why": self.why} if self.why else {})
