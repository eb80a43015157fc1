"""A graph in ONNX Runtime, on the CPU: opened, and asked rows of tensors by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from sextant.errors import ConversionError
from sextant.tensors import NUMPY_TYPES
from sextant_export.onnx_graph.facts import DTYPES
from sextant_export.onnx_graph.weights import weights_size
from sextant_export.original import first_line

LARGE_BYTES = 256 << 20
"""From here on weights lie outside the graph, and are mapped into memory rather than copied."""

_KINDS = {"float": "FLOAT", "double": "DOUBLE"}
_SILENT = 4
"""What ONNX Runtime refuses, it says in the exception too."""


def open_session(model: onnx.ModelProto, weights: Path | None = None) -> ort.InferenceSession:
    """
    The graph, loaded; what of it lies outside, lies in the folder *weights*.

    ``ConversionError`` says why ONNX Runtime refuses it.
    """
    large = weights_size(model) >= LARGE_BYTES
    if weights is None:
        return _opened(model.SerializeToString(), large=large)
    with NamedTemporaryFile(dir=weights, prefix=".", suffix=".onnx") as file:
        file.write(model.SerializeToString())
        file.flush()
        return _opened(file.name, large=large)


def open_file(path: Path, model: onnx.ModelProto) -> ort.InferenceSession:
    """The graph *model* that is the file *path*, loaded from there."""
    return _opened(str(path), large=weights_size(model) >= LARGE_BYTES)


def answers(session: ort.InferenceSession, feed: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """What the graph answers to *feed*, by the name of the output."""
    inputs = {taken.name: taken for taken in session.get_inputs()}
    if feed.keys() != inputs.keys():
        raise ConversionError(f"the graph takes {', '.join(inputs)}, and was given {', '.join(feed) or 'nothing'}")
    given = {name: fitting(name, _ranked(array, inputs[name]), inputs[name].type) for name, array in feed.items()}
    try:
        answered = session.run(None, given)
    except Exception as error:
        rows = len(next(iter(feed.values())))
        raise ConversionError(f"the graph fails on {rows} rows: {first_line(error)}") from error
    return {output.name: array for output, array in zip(session.get_outputs(), answered, strict=True)}


def fitting(name: str, array: NDArray[Any], kind: str) -> NDArray[Any]:
    """
    *array* as the *kind* of tensor that the graph takes; floats are rounded, and nothing else may change.

    >>> fitting("ids", np.array([[2.0]]), "tensor(int64)")
    array([[2]])
    """
    wanted = numpy_type(kind)
    if wanted == np.object_:
        return _texts(array)
    try:
        with np.errstate(all="ignore"):
            cast = array.astype(wanted, copy=False)
    except (ValueError, TypeError) as error:
        raise ConversionError(f"{name!r} takes {wanted}, and {array.dtype} came: {first_line(error)}") from error
    if array.dtype != wanted and not _same(array, cast):
        raise ConversionError(f"{name!r} takes {wanted}, and some of the {array.dtype} given is not: send {wanted}")
    return cast


def numpy_type(kind: str) -> np.dtype[Any]:
    """
    NumPy's name for one of ONNX Runtime's.

    >>> numpy_type("tensor(float)")
    dtype('float32')
    """
    word = kind.removeprefix("tensor(").removesuffix(")")
    return NUMPY_TYPES[DTYPES[onnx.TensorProto.DataType.Value(_KINDS.get(word, word.upper()))]]


def _opened(source: str | bytes, *, large: bool) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = _SILENT
    if large:
        # Else the weights of every matrix product are copied, in another order, out of the mapped file.
        options.add_session_config_entry("session.disable_prepacking", "1")
    try:
        return ort.InferenceSession(source, sess_options=options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ConversionError(f"ONNX Runtime does not load the graph: {first_line(error)}") from error


def _ranked(array: NDArray[Any], taken: Any) -> NDArray[Any]:
    """Triton has no rows of rank 0, and sends ``(B, 1)`` for the ``(B,)`` that a graph may take."""
    return array.reshape(-1) if len(taken.shape) == 1 and array.shape[1:] == (1,) else array


def _same(array: NDArray[Any], cast: NDArray[Any]) -> bool:
    if array.dtype.kind == cast.dtype.kind == "f":
        return bool(np.array_equal(np.isinf(array), np.isinf(cast)))
    return bool(np.array_equal(cast, array))


def _texts(array: NDArray[Any]) -> NDArray[Any]:
    """Triton's text is bytes, and ONNX Runtime's is ``str``."""
    texts = np.empty(array.size, dtype=object)
    texts[:] = [item.decode() if isinstance(item, bytes) else str(item) for item in array.reshape(-1)]
    return texts.reshape(array.shape)
