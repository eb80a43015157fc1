"""
A PyTorch module as a graph with an open batch.

The module is first asked 3 rows and 1, which gives the names and shapes of its answers; then it is exported
with the first axis of every input open, and the exported program is searched for what would not answer row by
row: an axis that was fixed after all, dropout that is still on, a mean over the rows of one request.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.external_data_helper import uses_external_data

from sextant.errors import ConversionError, MissingExtra
from sextant.tensors import Tensor
from sextant_export.converters.network import Network, Tensors, named_tensors, quiet_torch
from sextant_export.converters.torch_refusals import batch_advice, refusal, unsteady
from sextant_export.onnx_graph import open_session
from sextant_export.original import first_line
from sextant_export.signature import Arrays, Feed

try:
    import onnxscript  # noqa: F401 - the exporter of PyTorch writes with it
    import torch
except ImportError as error:
    raise MissingExtra("torch", "a PyTorch model") from error

OPSET = 18
"""The operator set that PyTorch's exporter writes itself; all others are translated from it."""
LARGEST_WHOLE = 2**30
"""A graph with more bytes of weights leaves them in a file of their own."""
GRAPH = "sextant-network.onnx"
ROWS = 3
NEAR: Mapping[str, Any] = {"rtol": 1e-2, "atol": 1e-3, "equal_nan": True}
"""Trials tell another computation from the same; how near the same one comes, the proof measures."""
SIZES = (8, 64, 224)
"""What an open axis may be in a trial: long enough for a word, then for an image."""


def graph_of(network: Network, weights: Path) -> onnx.ModelProto:
    """
    The graph of *network*: its inputs, and its answers by name.  Large weights are left in the folder *weights*.

    ConversionError says what in the model cannot be a graph.
    """
    with quiet_torch():
        size, feed, answers = _trial(network)
        _refuse_other_rows(network, answers)
        program = _exported(network, feed)
        _refuse_unsteady(network, program, answers)
        _refuse_neighbours(network, feed, answers)
        model = _written(_translated(network, program, list(answers)), weights)
        _refuse_other_sizes(network, model, size)
        return _plain(model)


def _trial(network: Network) -> tuple[int, Feed, Arrays]:
    """A size of the open axes that the model takes, rows of it, and what it answers."""
    failed: Exception = RuntimeError()
    for size in SIZES if _open_axes(network) else SIZES[:1]:
        feed = _feed(network, size)
        try:
            return size, feed, network.answer(feed)
        except ConversionError as error:
            raise _refused(network, str(error)) from error
        except Exception as error:  # noqa: BLE001 - the model's own code may raise anything
            failed = error
    taken = ", ".join(f"{tensor.name} {tensor.dtype} {[-1, *tensor.dims]}" for tensor in network.inputs)
    said = batch_advice(failed) or f"it fails on rows of its own signature ({taken}): {first_line(failed)}"
    raise _refused(network, said) from failed


def _open_axes(network: Network) -> bool:
    return any(-1 in tensor.dims for tensor in network.inputs)


def _feed(network: Network, size: int) -> dict[str, NDArray[Any]]:
    return {tensor.name: _rows(tensor, size) for tensor in network.inputs}


def _rows(tensor: Tensor, size: int) -> NDArray[Any]:
    """Few different rows; 0 and 1 are in every vocabulary."""
    shape = (ROWS, *(size if dim == -1 else dim for dim in tensor.dims))
    numbers = np.random.default_rng(0).random(shape)
    return (numbers if tensor.numpy_type.kind == "f" else numbers < 1 / 2).astype(tensor.numpy_type)


def _refuse_other_rows(network: Network, answers: Arrays) -> None:
    for name, array in answers.items():
        if array.shape[:1] != (ROWS,):
            said = f"its answer {name!r} to {ROWS} rows has shape {array.shape}: answer only what begins with the rows"
            raise _refused(network, said)


def _refuse_neighbours(network: Network, feed: Feed, answers: Arrays) -> None:
    """Triton asks rows of several callers together, so a row must be answered as if it were alone."""
    alone = network.answer({name: array[:1] for name, array in feed.items()})
    for name, array in answers.items():
        if alone[name].shape != array[:1].shape:
            said = f"its answer {name!r} to 1 row has shape {alone[name].shape}, to {ROWS} rows {array.shape}"
            raise _refused(network, f"{said}: write squeeze(-1) for squeeze()")
        if not np.allclose(alone[name], array[:1], **NEAR):
            said = f"its answer {name!r} to a row depends on the other rows of a request"
            raise _refused(network, f"{said}: no mean or sort may go over the first axis")


def _exported(network: Network, feed: Feed) -> torch.export.ExportedProgram:
    tensors = tuple(torch.from_numpy(feed[tensor.name]) for tensor in network.inputs)
    shapes = tuple(dict(_dynamic(tensor)) for tensor in network.inputs)
    try:
        return torch.export.export(_Flat(network), tensors, dynamic_shapes=(shapes,), strict=False)
    except Exception as error:
        raise _refused(network, refusal(error, network.inputs)) from error


def _dynamic(tensor: Tensor) -> Iterator[tuple[int, Any]]:
    yield 0, torch.export.Dim("batch")
    for axis, size in enumerate(tensor.dims, 1):
        if size == -1:
            yield axis, torch.export.Dim.DYNAMIC


class _Flat(torch.nn.Module):  # type: ignore[misc, unused-ignore]
    """The network as PyTorch exports it: tensors in order, a tuple of tensors."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.module, self._network = network.module, network

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        names = (tensor.name for tensor in self._network.inputs)
        rows: Tensors = dict(zip(names, tensors, strict=True))
        return tuple(named_tensors(self._network.ask(rows)).values())


def _refuse_unsteady(network: Network, program: torch.export.ExportedProgram, answers: Arrays) -> None:
    """Nothing may be drawn at random, and each answer must keep the open axis of the rows."""
    for node in program.graph.nodes:
        if reason := unsteady(node):
            raise _refused(network, reason)
    batch = str(next(_first_axes(program, "placeholder")))
    for name, axis in zip(answers, _first_axes(program, "output"), strict=True):
        if str(axis) != batch:
            raise _refused(network, f"its answer {name!r} has not one row for each row asked")


def _first_axes(program: torch.export.ExportedProgram, kind: str) -> Iterator[Any]:
    """The first axis of each of the program's own inputs, or outputs."""
    signature = program.graph_signature
    names = signature.user_inputs if kind == "placeholder" else signature.user_outputs
    nodes = {node.name: node for node in program.graph.nodes}
    yield from (nodes[name].meta["val"].shape[0] for name in names)


def _translated(network: Network, program: torch.export.ExportedProgram, answers: list[str]) -> torch.onnx.ONNXProgram:
    names = [tensor.name for tensor in network.inputs]
    options: dict[str, Any] = {"external_data": False, "verbose": False, "report": False, "verify": False}
    try:
        return torch.onnx.export(
            program, dynamo=True, opset_version=OPSET, input_names=names, output_names=answers, **options
        )
    except Exception as error:
        raise _refused(network, refusal(error, network.inputs)) from error


def _refuse_other_sizes(network: Network, model: onnx.ModelProto, size: int) -> None:
    """PyTorch's exporter may fix what it should have left open, without a word: another size tells."""
    if not _open_axes(network) or any(map(uses_external_data, model.graph.initializer)):
        return
    session = open_session(model)
    for other in (size + 5, 2 * size):
        feed = _feed(network, other)
        try:
            expected = network.answer(feed)
        except Exception:  # noqa: BLE001, S112 - the model's own code; it does not take this size
            continue
        if not _close(expected, session, feed):
            said = f"its graph answers differently where an open axis is {other} and not {size}"
            raise _refused(network, f"{said}: log a signature with the sizes it has")
        return


def _close(expected: Arrays, session: Any, feed: Feed) -> bool:
    try:
        given = session.run(list(expected), dict(feed))
    except Exception:  # noqa: BLE001 - a graph that fails differs too
        return False
    pairs = zip(expected.values(), given, strict=True)
    return all(own.shape == other.shape and np.allclose(own, other, **NEAR) for own, other in pairs)


def _written(program: torch.onnx.ONNXProgram, weights: Path) -> onnx.ModelProto:
    """One message holds no more than 2 GB, so large weights go to the disk beside it."""
    constants = (value.const_value for value in program.model.graph.initializers.values())
    if sum(constant.nbytes for constant in constants) <= LARGEST_WHOLE:
        return program.model_proto
    path = weights / GRAPH
    program.save(path, external_data=True)
    model = onnx.load(path, load_external_data=False)
    path.unlink()
    return model


def _plain(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph without the exporter's notes: they quote the model's source and name this machine's files."""
    graph = model.graph
    del graph.value_info[:]
    noted = [model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer]
    for part in noted:
        del part.metadata_props[:]
        part.ClearField("doc_string")
    return model


def _refused(network: Network, reason: str) -> ConversionError:
    return ConversionError(f"PyTorch cannot export {type(network.module).__name__}: {reason}")


def with_labels(model: onnx.ModelProto, scores: str, labels: Mapping[int, str], output: str) -> onnx.ModelProto:
    """The graph with one more output in front: of each row the one of *labels* whose score is the highest."""
    words = onnx.helper.make_tensor("labels", onnx.TensorProto.STRING, [len(labels)], _encoded(labels))
    model.graph.initializer.append(words)
    model.graph.node.append(onnx.helper.make_node("ArgMax", [scores], ["best"], name="best", axis=1, keepdims=1))
    model.graph.node.append(onnx.helper.make_node("Gather", ["labels", "best"], [output], name=output, axis=0))
    described = onnx.helper.make_tensor_value_info(output, onnx.TensorProto.STRING, ["batch", 1])
    model.graph.output.insert(0, described)
    return model


def _encoded(labels: Mapping[int, str]) -> list[bytes]:
    return [labels[place].encode() for place in sorted(labels)]
