"""Tensors as the bytes that travel, and what Triton calls their types."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sextant.tensors import NUMPY_TYPES, triton_type

Array = NDArray[Any]

LENGTH = struct.Struct("<I")


def triton_dtype(array: Array) -> str:
    """Triton's name for the array's type, or NumPy's where Triton has none."""
    try:
        return triton_type(array.dtype)
    except KeyError:
        return str(array.dtype)


def to_bytes(array: Array) -> bytes:
    """The tensor in row-major order; each element of a BYTES tensor is preceded by its length."""
    if array.dtype.kind == "O":
        return b"".join(LENGTH.pack(len(item)) + item for item in array.ravel())
    return array.tobytes()


def from_bytes(raw: bytes | memoryview, dtype: str, shape: Sequence[int]) -> Array:
    """The tensor again: a read-only view of ``raw`` where the type is numeric."""
    if dtype == "BYTES":
        items = np.empty(int(np.prod(shape)), dtype=object)
        items[:] = list(_split(raw))
        return items.reshape(shape)
    return np.frombuffer(raw, dtype=NUMPY_TYPES[dtype]).reshape(shape)


def _split(raw: bytes | memoryview) -> Iterator[bytes]:
    position = 0
    while position < len(raw):
        (length,) = LENGTH.unpack_from(raw, position)
        position += LENGTH.size + length
        yield bytes(raw[position - length : position])
