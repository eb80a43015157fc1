"""
The columns of a table as tensors: MLflow's types, Triton's types, and the way there and back.

A table travels as one tensor a column, ``(B, 1)``.  What has no tensor type of its own travels as text in a
``BYTES`` tensor: a datetime as ISO 8601, an Array, Object or Map as JSON.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sextant.errors import InputRefused
from sextant.tensors import NUMPY_TYPES, Tensor, triton_type

TYPES: Mapping[str, str] = MappingProxyType(
    {
        "boolean": "BOOL",
        "integer": "INT32",
        "long": "INT64",
        "float": "FP32",
        "double": "FP64",
        "string": "BYTES",
        "binary": "BYTES",
        "datetime": "BYTES",
        "json": "BYTES",
    }
)
"""MLflow's word for the type of a column: Triton's."""

NUMBERS = frozenset({"boolean", "integer", "long", "float", "double"})

MISSING = b"\xff"
"""A missing text: no UTF-8 text holds this byte."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """
    One column of a table, or one tensor, that a model takes or gives.

    *name* is the model's own word, *tensor* what Triton calls it.  *type* is a word of :data:`TYPES`, or
    NumPy's name of the type of a tensor that is no column; *dims* are those of one row.

    >>> Column(name="sepal length (cm)", tensor="sepal_length_cm", type="double").served
    Tensor(name='sepal_length_cm', dtype='FP64', dims=(1,), optional=False)
    """

    name: str
    tensor: str
    type: str
    dims: tuple[int, ...] = (1,)
    required: bool = True

    @property
    def served(self) -> Tensor:
        """The tensor, in Triton's words."""
        dtype = TYPES.get(self.type) or triton_type(self.type)
        return Tensor(self.tensor, dtype, self.dims, optional=not self.required)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self) | {"dims": list(self.dims)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Column:
        """The column that :meth:`to_dict` described."""
        return cls(**{**values, "dims": tuple(values["dims"])})


def tensor_names(names: Iterable[str]) -> tuple[str, ...]:
    """
    Names that Triton and its shells take, as near to *names* as can be and all different.

    >>> tensor_names(["sepal length (cm)", "a b", "a-b", "a/b", ""])
    ('sepal_length_cm', 'a_b', 'a-b', 'a_b_2', 'column')
    """
    settled: list[str] = []
    for name in names:
        plain = re.sub(r"[^A-Za-z0-9_.-]+", "_", name).strip("_.") or "column"
        again = sum(1 for other in settled if other == plain or other.startswith(f"{plain}_"))
        settled.append(plain if plain not in settled else _fresh(plain, settled, again))
    return tuple(settled)


def encode(values: Any, kind: str) -> NDArray[Any]:
    """
    The *values* of one column of type *kind*, as the tensor ``(B, 1)`` that is served.

    >>> encode([True, False], "boolean").tolist()
    [[True], [False]]
    >>> encode([{"a": 1}], "json").tolist()
    [[b'{"a": 1}']]
    """
    wanted = NUMPY_TYPES[TYPES[kind]]
    if kind in NUMBERS:
        return np.asarray(values).astype(wanted).reshape(-1, 1)
    items = np.empty((len(values), 1), dtype=object)
    items[:, 0] = [_TO_BYTES[kind](value) for value in values]
    return items


def decode(array: NDArray[Any], kind: str, name: str = "column") -> NDArray[Any]:
    """
    The values ``(B,)`` of one column of type *kind* from the tensor that was served.

    ``InputRefused`` names *name* where a text is no datetime, no JSON or no UTF-8.

    >>> decode(np.array([[b"2026-11-22"]], object), "datetime")
    array(['2026-11-22T00:00:00.000000000'], dtype='datetime64[ns]')
    """
    flat = array.reshape(-1)
    if kind in NUMBERS:
        return flat.astype(NUMPY_TYPES[TYPES[kind]], copy=False)
    values = [_decoded(kind, text, name) for text in flat]
    if kind == "datetime":
        return np.array(values, dtype="datetime64[ns]")
    return np.fromiter(values, dtype=object, count=len(values))


def _fresh(name: str, taken: list[str], start: int) -> str:
    number = max(start, 2)
    while f"{name}_{number}" in taken:
        number += 1
    return f"{name}_{number}"


def _decoded(kind: str, text: Any, name: str) -> Any:
    raw = text if isinstance(text, bytes) else str(text).encode()
    try:
        return _FROM_BYTES[kind](raw)
    except (ValueError, TypeError) as error:
        raise InputRefused(name, f"{_SAID[kind]}", f"{raw[:60]!r}") from error


def _text(value: Any) -> bytes:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return MISSING
    return value if isinstance(value, bytes) else str(value).encode()


def _word(raw: bytes) -> str | None:
    return None if raw == MISSING else raw.decode()


def _iso(value: Any) -> bytes:
    return str(moment(value)).encode()


def moment(value: Any) -> np.datetime64:
    """
    *value* to the nanosecond; ValueError for what NumPy would turn into another time without a word.

    Nanoseconds reach from 1678 to 2261: 9999-12-31, which is often said for never, came out in 1816.
    """
    if str(value) in _RELATIVE:
        raise ValueError(f"{value!r} is no time of its own")
    exact = getattr(value, "asm8", value)  # pandas has nanoseconds, which NumPy does not look for
    moment = np.datetime64(exact, "ns")
    near = np.datetime64(exact, "s") if np.isnat(moment) or not isinstance(exact, np.datetime64) else exact
    if not np.isnat(moment) and moment.astype("M8[s]") != near.astype("M8[s]"):
        raise ValueError(f"{value} is not between 1678 and 2261, which a datetime64[ns] can hold")
    return moment


_RELATIVE = {"now", "today"}


def _json(value: Any) -> bytes:
    return json.dumps(value, default=_plain).encode()


def _plain(value: Any) -> Any:
    """What NumPy put into an object, as JSON has it; bytes in base64, as MLflow's own server takes them."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return str(value) if isinstance(value, np.datetime64) or not hasattr(value, "tolist") else value.tolist()


_TO_BYTES: Mapping[str, Callable[[Any], bytes]] = {"string": _text, "binary": bytes, "datetime": _iso, "json": _json}
_FROM_BYTES: Mapping[str, Callable[[bytes], Any]] = {
    "string": _word,
    "binary": bytes,
    "datetime": lambda raw: moment(raw.decode()),
    "json": json.loads,
}
_SAID: Mapping[str, str] = {
    "string": "UTF-8 text",
    "binary": "bytes",
    "datetime": "a datetime as ISO 8601, like 2026-11-22T18:00:00",
    "json": "JSON",
}
