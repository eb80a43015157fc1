"""Which shapes a plan is built for: the batches that are served, and what the spec says of other open axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sextant.errors import ConversionError
from sextant.tensors import Tensor
from sextant_export.pipeline import Serving, TensorRT

Shape = tuple[int, ...]


class Range(NamedTuple):
    """The shapes of one input, batch first: the smallest, the one to be fastest for, the largest."""

    min: Shape
    opt: Shape
    max: Shape


def profile(inputs: Sequence[Tensor], serving: Serving, asked: TensorRT) -> dict[str, Range]:
    """The range of each input; ConversionError names an axis that is open and not in the spec."""
    unknown = asked.profile.keys() - {tensor.name for tensor in inputs}
    if unknown:
        names = ", ".join(tensor.name for tensor in inputs)
        raise ConversionError(f"tensorrt.profile: {', '.join(sorted(unknown))} is no input; the model takes {names}")
    return {tensor.name: _range(tensor, serving, asked) for tensor in inputs}


def _range(tensor: Tensor, serving: Serving, asked: TensorRT) -> Range:
    said = asked.profile.get(tensor.name)
    if said is not None:
        return _said(tensor, said, serving)
    if any(size < 0 for size in tensor.dims):
        raise ConversionError(
            f"{tensor.name} has open axes, {list(tensor.dims)} for a row, and a plan is built for a range of shapes: "
            f"write tensorrt.profile.{tensor.name}: {{min: [...], opt: [...], max: [...]}}, batch first"
        )
    fastest = min(asked.opt_batch_size, serving.max_batch_size)
    return Range(*((batch, *tensor.dims) for batch in (1, fastest, serving.max_batch_size)))


def _said(tensor: Tensor, said: Mapping[str, Sequence[int]], serving: Serving) -> Range:
    found = Range(*(tuple(said[word]) for word in Range._fields))
    rows = (1, serving.max_batch_size)
    wrong = [shape for shape in found if not _fits(shape, tensor.dims)]
    if wrong:
        raise ConversionError(
            f"tensorrt.profile.{tensor.name}: {list(wrong[0])} does not fit {['batch', *tensor.dims]} of the graph"
        )
    if any(not low <= middle <= high for low, middle, high in zip(*found, strict=True)):
        raise ConversionError(f"tensorrt.profile.{tensor.name}: expected min <= opt <= max on every axis")
    if (found.min[0], found.max[0]) != rows:
        raise ConversionError(
            f"tensorrt.profile.{tensor.name}: batches of {found.min[0]} to {found.max[0]}, and Triton serves "
            f"{rows[0]} to {rows[1]} rows: write them as the first axis of min and max"
        )
    return found


def _fits(shape: Shape, dims: Shape) -> bool:
    return len(shape) == len(dims) + 1 and all(d in (-1, size) for d, size in zip(dims, shape[1:], strict=True))
