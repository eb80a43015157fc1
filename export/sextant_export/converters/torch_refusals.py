"""Why PyTorch's exporter refuses a model, in a sentence that says where and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from textwrap import shorten
from typing import Any

from sextant.tensors import Tensor
from sextant_export.original import first_line

_FRAME = re.compile(r'File "([^"]+)", line (\d+), in \S+\n\s+(.+)')
_FOREIGN = re.compile(r"^<|/torch/|/sextant_export/")
_AXIS = re.compile(r"L\['tensors'\]\[(\d+)\]\.size\(\)\[(\d+)\] as dynamic but your code specialized it .*\((\d+)\)")
_GUARD = re.compile(r"Guard failed: (.+)")
_OPERATOR = re.compile(r"OpOverload\(op='([\w.]+)'")
_NODE = re.compile(r"translating node %(\w+)")
_OFF = ("train", "training")
_CHANCES = ("p", "dropout_p", "dropout")


def refusal(error: Exception, inputs: Sequence[Tensor]) -> str:
    """What an *error* of torch.export, or of its translation to ONNX, means for a model that takes *inputs*."""
    said = "\n".join(str(link) for link in _chain(error))
    if "data-dependent" in said:
        return f"what it does depends on the values it is asked{_place(said)}: write it with torch.where"
    if operator := _OPERATOR.search(said):
        node = _NODE.search(said)
        return f"ONNX has no operator for {operator[1]}{f' (node {node[1]})' if node else ''}"
    if axis := _AXIS.search(said):
        name = inputs[int(axis[1])].name
        fixed = f"axis {axis[2]} of {name!r} is open in its signature and comes out fixed at {axis[3]}"
        return f"{fixed}: log a signature with the size it has"
    if "You marked batch as dynamic" in said:
        return "it comes out for a fixed number of rows: write -1 or x.shape[0] where the rows are counted"
    if "Not all values of batch" in said:
        return "it does not do the same for any number of rows: no branch may ask how many there are"
    return batch_advice(error) or first_line(error)


def batch_advice(error: Exception | None) -> str | None:
    """What to do where a model that was exported before it was logged was exported for one shape only."""
    guard = _GUARD.search(str(error))
    if guard is None:
        return None
    said = f"it was saved as a program for {guard[1]} only"
    return f"{said}: log it again with an input_example of more than one row, and -1 for what is open in its signature"


def unsteady(node: Any) -> str | None:
    """Why a *node* of an exported program answers differently from call to call, or None where it does not."""
    if node.op != "call_function" or not hasattr(node.target, "_schema"):
        return None
    called = _arguments(node)
    training = any(called.get(word) for word in _OFF)
    if "batch_norm" in str(node.target) and training:
        advice = "call model.eval() before it is logged, and keep track_running_stats"
        return f"{_named(node)} takes its mean over the rows of a request: {advice}"
    if _random(node.target, called):
        advice = "call model.eval() before it is logged, and write F.dropout(x, training=self.training)"
        return f"{_named(node)} draws at random when it answers: {advice}"
    return None


def _random(target: Any, called: dict[str, Any]) -> bool:
    import torch

    switched_off = any(called.get(word) is False for word in _OFF)
    never = any(called.get(word) == 0 for word in _CHANCES)
    return torch.Tag.nondeterministic_seeded in target.tags and not switched_off and not never


def _arguments(node: Any) -> dict[str, Any]:
    """What *node* was called with, by the operator's own words, defaults included."""
    schema = node.target._schema.arguments  # noqa: SLF001 - PyTorch says it nowhere else
    defaults = {argument.name: argument.default_value for argument in schema}
    given = {argument.name: value for argument, value in zip(schema, node.args, strict=False)}
    return {**defaults, **given, **node.kwargs}


def _named(node: Any) -> str:
    return f"{node.target} (node {node.name}{_place(str(node.meta.get('stack_trace', '')), '; ')})"


def _place(said: str, before: str = " (") -> str:
    """The last line of the model's own source that is quoted, if one is; PyTorch's own lines and ours say nothing."""
    own = [frame for frame in _FRAME.findall(said) if not _FOREIGN.search(frame[0])]
    if not own:
        return ""
    path, line, code = own[-1]
    return f"{before}{PurePath(path).name} line {line}: {shorten(code, 80)}{')' if before == ' (' else ''}"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
