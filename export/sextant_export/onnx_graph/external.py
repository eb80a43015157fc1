"""
The files beside a graph that its weights lie in.

A weight says its file, and from where to where it lies in it; the file must be in the graph's folder, or deeper.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePath, PurePosixPath

import onnx
from onnx import TensorProto
from onnx.external_data_helper import ExternalDataInfo, set_external_data, uses_external_data

from sextant.errors import ConversionError
from sextant_export.onnx_graph.scopes import graphs
from sextant_export.onnx_graph.sessions import LARGE_BYTES
from sextant_export.onnx_graph.weights import SMALL_BYTES, tensor_size, tensors

WEIGHTS = "model.onnx.data"
PAGE = 4096
"""Weights begin on a page, so that they can be mapped where they lie."""

_NUMBERS = {TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT32, TensorProto.INT64}


def locations(model: onnx.ModelProto) -> list[str]:
    """The files beside the graph, each once, as the graph names them."""
    return sorted({place.location for _, place in _places(model)})


def require_weights(model: onnx.ModelProto, folder: Path) -> None:
    """Every weight's bytes must be in *folder*: a reader of a short file would go on with what it got."""
    for weight, place in _places(model):
        said = f"its weights {weight.name!r} lie in {place.location}, not there"
        if not _is_inside(folder, place.location):
            raise ConversionError(f"{said}: they must lie in the model's own folder; log the model again, whole")
        file = folder / place.location
        if not file.is_file():
            raise ConversionError(f"{said}; log the model again, with every file of it")
        needed = (place.offset or 0) + (place.length or tensor_size(weight))
        if (size := file.stat().st_size) < needed:
            short = f"{place.location} is cut short: {size} bytes of at least {needed}"
            raise ConversionError(f"{short}; log the model again")


def linked(model: onnx.ModelProto, folder: Path, directory: Path) -> None:
    """Have the files of *folder* that the graph names in *directory* too; where it can be, no byte is copied."""
    for location in locations(model):
        target = directory / location
        target.parent.mkdir(parents=True, exist_ok=True)
        source = (folder / location).resolve()
        try:
            os.link(source, target)
        except OSError:
            copy_file(source, target)


def prefixed(model: onnx.ModelProto, folder: PurePath) -> onnx.ModelProto:
    """The graph that names its files as they are seen from further up, where *folder* holds them."""
    for entry in (entry for tensor in tensors(model) for entry in tensor.external_data if entry.key == "location"):
        entry.value = (folder / entry.value).as_posix()
    return model


def copy_file(source: Path, target: Path) -> None:
    """Copy a file inside the kernel; a file system that can shares the bytes."""
    with source.open("rb") as read, target.open("wb") as write:
        left = os.fstat(read.fileno()).st_size
        with suppress(OSError):
            while left > 0 and (done := os.copy_file_range(read.fileno(), write.fileno(), left)):
                left -= done
    if left:
        shutil.copyfile(source, target)


def with_large_weights_outside(model: onnx.ModelProto, directory: Path) -> onnx.ModelProto:
    """The graph, where what it holds itself is large, with its weights in a new file in *directory*."""
    inner = [w for graph in graphs(model.graph) for w in graph.initializer if _can_move(w)]
    if sum(map(tensor_size, inner)) < LARGE_BYTES:
        return model
    name = next(n for n in _file_names() if not (directory / n).exists())
    with (directory / name).open("wb") as file:
        for weight in inner:
            file.seek(-file.tell() % PAGE, os.SEEK_CUR)
            offset, numbers = file.tell(), _raw(weight)
            file.write(numbers)
            set_external_data(weight, name, offset, len(numbers))
            weight.ClearField("raw_data")
    return model


def _places(model: onnx.ModelProto) -> Iterator[tuple[TensorProto, ExternalDataInfo]]:
    for tensor in filter(uses_external_data, tensors(model)):
        yield tensor, _place(tensor)


def _place(tensor: TensorProto) -> ExternalDataInfo:
    try:
        return ExternalDataInfo(tensor)
    except ValueError as error:
        raise ConversionError(f"its weights {tensor.name!r} lie nowhere: {error}; log the model again") from error


def _is_inside(folder: Path, location: str) -> bool:
    parts = PurePosixPath(location).parts
    climbs = not parts or ".." in parts or PurePosixPath(location).is_absolute()
    return not climbs and (folder / location).resolve().is_relative_to(folder.resolve())


def _can_move(weight: TensorProto) -> bool:
    held = weight.HasField("raw_data") or weight.data_type in _NUMBERS
    return held and not uses_external_data(weight) and tensor_size(weight) > SMALL_BYTES


def _raw(weight: TensorProto) -> bytes:
    """The bytes of a weight, which from now on holds no numbers in any other form."""
    if not weight.HasField("raw_data"):
        weight.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weight), weight.name))
    return bytes(weight.raw_data)


def _file_names() -> Iterator[str]:
    yield WEIGHTS
    yield from (f"{WEIGHTS}.{number}" for number in range(2, 1000))
