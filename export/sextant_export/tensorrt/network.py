"""An ONNX graph as TensorRT's network, or the nodes that it does not take and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from sextant.errors import ConversionError
from sextant.tensors import Tensor
from sextant_export.tensorrt.library import Library

SERVED = ("FP32", "FP16", "INT8", "INT32", "BOOL")
"""The types that Triton's tensorrt backend has taken in every version."""


class Unsupported(NamedTuple):
    """A node, or an input or output, that TensorRT does not take: its *operator*, *name*, and the *reason*."""

    operator: str
    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.operator} {self.name!r}: {self.reason}"


@dataclass(frozen=True)
class Network:
    """A parsed network; *builder* owns it, and both are TensorRT's own objects."""

    library: Library
    builder: Any = field(repr=False)
    definition: Any = field(repr=False)

    @property
    def inputs(self) -> dict[str, tuple[int, ...]]:
        """The shape of each input, batch first, -1 where it is open."""
        tensors = (self.definition.get_input(i) for i in range(self.definition.num_inputs))
        return {tensor.name: tuple(tensor.shape) for tensor in tensors}

    @property
    def layers(self) -> int:
        """How many layers it has before TensorRT fuses them."""
        return int(self.definition.num_layers)


def unsupported(library: Library, path: Path, tensors: Sequence[Tensor]) -> tuple[Unsupported, ...]:
    """
    What TensorRT does not take of the graph at *path*: nodes, or the types of *tensors*, its inputs and outputs.

    TensorRT would turn doubles into floats without a word, and Triton would then refuse the plan.
    """
    taken = f"and Triton's tensorrt backend takes {', '.join(SERVED)}"
    foreign = tuple(Unsupported("tensor", t.name, f"{t.dtype}, {taken}") for t in tensors if t.dtype not in SERVED)
    return foreign or _parsed(library, path)[1]


def parse(library: Library, path: Path) -> Network:
    """The graph at *path*, its types its own, its weights read from beside it; ConversionError names refused nodes."""
    network, refused = _parsed(library, path)
    if refused:
        raise ConversionError(f"{library.name} does not take {'; '.join(map(str, refused))}")
    return network


def _parsed(library: Library, path: Path) -> tuple[Network, tuple[Unsupported, ...]]:
    api = library.api
    builder = api.Builder(library.log)
    definition = builder.create_network(1 << int(api.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = api.OnnxParser(definition, library.log)
    parser.parse_from_file(str(path))
    errors = tuple(_unsupported(parser.get_error(i)) for i in range(parser.num_errors))
    return Network(library, builder, definition), errors


def _unsupported(error: Any) -> Unsupported:
    reason = _PLAIN.get(error.desc().partition(" ")[0], error.desc())
    return Unsupported(error.node_operator() or "graph", error.node_name(), reason)


# The parser takes what it does not know for a plugin, and says so.
_PLAIN = {"creator": "TensorRT has no such operator"}
