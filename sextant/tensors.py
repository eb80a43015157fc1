from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Mask: TypeAlias = NDArray[np.bool_]


class Tensor(NamedTuple):
    """
    What a block says of one of its tensors, in Triton's words.

    *dims* are those of one row, without the batch; ``-1`` is any length.  An *optional* input may be
    left out of a request.

    >>> Tensor("features", "FP32", (-1,)).numpy_type
    dtype('float32')
    """

    name: str
    dtype: str
    dims: tuple[int, ...]
    optional: bool = False

    @property
    def numpy_type(self) -> np.dtype[Any]:
        """The NumPy type Triton hands this tensor over as."""
        return NUMPY_TYPES[self.dtype]


NUMPY_TYPES: Mapping[str, np.dtype[Any]] = MappingProxyType(
    {
        "BOOL": np.dtype(np.bool_),
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
        "BYTES": np.dtype(np.object_),
    }
)

_TRITON_TYPES: Mapping[Any, str] = MappingProxyType({numpy: triton for triton, numpy in NUMPY_TYPES.items()})


def triton_type(dtype: Any) -> str:
    """
    What Triton calls a NumPy type; text and bytes of any length are ``BYTES``.

    >>> triton_type(np.dtype("float32")), triton_type(np.dtype("S3"))
    ('FP32', 'BYTES')
    """
    numpy_type = np.dtype(dtype)
    return "BYTES" if numpy_type.kind in "SU" else _TRITON_TYPES[numpy_type]
