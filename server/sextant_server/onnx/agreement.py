"""
Whether a configuration agrees with its ONNX graph, by the official backend's rules.

What would fail to load on NVIDIA's container must fail here too, and say why.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

DATA_TYPES = {
    "TYPE_BOOL": "tensor(bool)",
    "TYPE_UINT8": "tensor(uint8)",
    "TYPE_UINT16": "tensor(uint16)",
    "TYPE_UINT32": "tensor(uint32)",
    "TYPE_UINT64": "tensor(uint64)",
    "TYPE_INT8": "tensor(int8)",
    "TYPE_INT16": "tensor(int16)",
    "TYPE_INT32": "tensor(int32)",
    "TYPE_INT64": "tensor(int64)",
    "TYPE_FP16": "tensor(float16)",
    "TYPE_FP32": "tensor(float)",
    "TYPE_FP64": "tensor(double)",
    "TYPE_STRING": "tensor(string)",
}


class GraphTensor(NamedTuple):
    """An input or output of a graph: *shape* holds a number for a fixed dim, else anything."""

    name: str
    type: str
    shape: Sequence[Any]

    @property
    def dims(self) -> list[int]:
        """Its shape in Triton's words: -1 for variable."""
        return [dim if isinstance(dim, int) and dim >= 0 else -1 for dim in self.shape]


def disagreements(
    config: Mapping[str, Any], inputs: Sequence[GraphTensor], outputs: Sequence[GraphTensor]
) -> Iterator[str]:
    """Every way in which *config* differs from a graph with *inputs* and *outputs*, a sentence each."""
    fed = {tensor["name"] for tensor in config["input"]}
    for tensor in inputs:
        if tensor.name not in fed:
            yield f"input '{tensor.name}' of the graph is not in the configuration"
    batched = config["max_batch_size"] > 0
    for kind, declared, found in (("input", config["input"], inputs), ("output", config["output"], outputs)):
        by_name = {tensor.name: tensor for tensor in found}
        for tensor in declared:
            yield from _tensor_disagreements(kind, tensor, by_name, batched=batched)


def _tensor_disagreements(
    kind: str, declared: Mapping[str, Any], graph: Mapping[str, GraphTensor], *, batched: bool
) -> Iterator[str]:
    name = f"{kind} '{declared['name']}'"
    tensor = graph.get(declared["name"])
    if tensor is None:
        yield f"{name} is not in the graph, which has {', '.join(sorted(graph))}"
        return
    wanted = DATA_TYPES.get(declared["data_type"])
    if wanted is None:
        yield f"{name}: {declared['data_type']} is not served by this backend"
    elif wanted != tensor.type:
        yield f"{name} is {declared['data_type']} in the configuration and {tensor.type} in the graph"
    yield from _shape_disagreements(name, _declared_dims(declared), tensor.dims, batched=batched)


def _declared_dims(declared: Mapping[str, Any]) -> list[int]:
    """The shape the graph sees: after the reshape, where there is one."""
    reshape = declared.get("reshape")
    return [int(dim) for dim in (reshape.get("shape", []) if reshape else declared["dims"])]


def _shape_disagreements(name: str, declared: list[int], graph: list[int], *, batched: bool) -> Iterator[str]:
    if batched and graph[:1] != [-1]:
        yield (
            f"{name}: max_batch_size > 0 needs a variable first dimension, and the graph has {graph}: "
            "export it with a dynamic batch, or set max_batch_size to 0"
        )
        return
    whole = [-1, *declared] if batched else declared
    if len(whole) != len(graph) or any(fixed not in (-1, dim) for fixed, dim in zip(graph, whole, strict=True)):
        first = " (batch first)" if batched else ""
        yield f"{name} has shape {whole}{first} in the configuration and {graph} in the graph"
