"""Triton's tensor types in NumPy's words, and tensors as the bytes that travel."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

NUMPY: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(bool),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BYTES": np.dtype(object),
}
TRITON: dict[np.dtype[Any], str] = {dtype: name for name, dtype in NUMPY.items()}

LENGTH = struct.Struct("<I")


def triton_dtype(array: Array) -> str:
    """Triton's name for the array's type, or NumPy's where Triton has none."""
    return TRITON.get(array.dtype) or ("BYTES" if array.dtype.kind in "SU" else str(array.dtype))


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
    return np.frombuffer(raw, dtype=NUMPY[dtype]).reshape(shape)


def _split(raw: bytes | memoryview) -> Iterator[bytes]:
    position = 0
    while position < len(raw):
        (length,) = LENGTH.unpack_from(raw, position)
        position += LENGTH.size + length
        yield bytes(raw[position - length : position])
