"""
A DataFrame's columns as the tensors that a pipeline takes, and its answer as a DataFrame again.

Which column travels in which tensor stands in the model's configuration.  pandas is imported here only once a
DataFrame came, so a caller without it pays nothing for it.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sextant.columns import NUMBERS, TYPES, Column, decode, encode
from sextant.errors import InputRefused, RequestRefused

from .dtypes import Array

Tensors = Mapping[str, Array]
_ITEMS: Mapping[str, tuple[type[Any], ...]] = {"string": (str,), "binary": (bytes, bytearray)}


@dataclass(frozen=True)
class Table:
    """
    The columns a model takes and gives; columns that share a tensor stand in it in their order.

    *missing_text* says whether the model can tell a missing text from an empty one.
    """

    model: str
    inputs: tuple[Column, ...]
    outputs: tuple[Column, ...]
    missing_text: bool = False

    @classmethod
    def of(cls, model: str, text: str) -> Table | None:
        """The table that a configuration's parameter ``columns`` describes; None where it has none."""
        if not text:
            return None
        page = json.loads(text)
        inputs, outputs = (tuple(map(Column.from_dict, page[side])) for side in ("inputs", "outputs"))
        return cls(model, inputs, outputs, page.get("missing_text", False))

    def tensors(self, frame: Any) -> dict[str, Array]:
        """
        The columns of *frame*, in whatever order they stand, as tensors with its rows first.

        RequestRefused names the column that is unknown, missing, or not of the type the model takes.
        """
        named = self._named(frame)
        tensors: dict[str, list[Array]] = {}
        for column in self.inputs:
            if column.name in named:
                tensors.setdefault(column.tensor, []).append(self._encoded(named[column.name], column))
        if not tensors:
            said = ", ".join(column.name for column in self.inputs)
            raise RequestRefused(f"{self.model}: expected some of the columns {said}, got none")
        return {tensor: _joined(arrays) for tensor, arrays in tensors.items()}

    def answer(self, tensors: Tensors, index: Any) -> Any:
        """
        The output columns as a DataFrame with the *index* of what was asked; None where these are no columns.

        What the pipeline gives besides, such as ``probabilities``, is a column of its own: an array a row.
        """
        if not self.outputs or any(c.tensor not in tensors or c.dims not in {(), (1,)} for c in self.outputs):
            return None
        import pandas as pd

        shared = [column.tensor for column in self.outputs]
        arrays = [_place(tensors[tensor], shared[:i].count(tensor)) for i, tensor in enumerate(shared)]
        pairs = zip(self.outputs, arrays, strict=True)
        columns = {column.name: _series(array, column, index) for column, array in pairs}
        besides = {name: _besides(array, index) for name, array in tensors.items() if name not in shared}
        return pd.DataFrame(besides | columns, index=index)[[*columns, *besides]]

    def _named(self, frame: Any) -> dict[str, Any]:
        """The columns of *frame* by name, all known and none missing."""
        names = [str(name) for name in frame.columns]
        known = [column.name for column in self.inputs]
        for name in names:
            if name not in known:
                raise RequestRefused(f"{name}: {self.model} takes no such column{_guess(name, known)}")
            if names.count(name) > 1:
                raise RequestRefused(f"{name}: expected one column of that name, got {names.count(name)}")
        missing = [column for column in self.inputs if column.required and column.name not in names]
        if missing:
            said = ", ".join(f"{column.name} ({column.type})" for column in missing)
            raise RequestRefused(f"{self.model}: expected the columns {said}, got {', '.join(names) or 'none'}")
        return {name: frame.iloc[:, place] for place, name in enumerate(names)}

    def _encoded(self, series: Any, column: Column) -> Array:
        if column.type in NUMBERS:
            return _numbers(series, column)
        if column.type == "datetime":
            return _datetimes(series, column)
        return encode(self._items(series, column), column.type)

    def _items(self, series: Any, column: Column) -> list[Any]:
        """Text, bytes or what becomes JSON; None is what is missing."""
        missing = series.isna().to_numpy()
        items = [None if absent else item for item, absent in zip(series, missing, strict=True)]
        if column.type == "json":
            return items
        if missing.any() and not (column.type == "string" and self.missing_text):
            raise RequestRefused(f"{column.name}: {_counted(missing)}, and this model knows no missing {column.type}")
        for item in items:
            if item is not None and not isinstance(item, _ITEMS[column.type]):
                raise _refused(column, f"{type(item).__name__} {item!r:.40}")
        return items


def is_frame(value: Any) -> bool:
    """Whether *value* is a pandas DataFrame, without importing pandas to know."""
    return hasattr(value, "columns") and hasattr(value, "iloc")


def _numbers(series: Any, column: Column) -> Array:
    """A column of numbers as the type the model takes, where that keeps their meaning."""
    wanted, missing = column.served.numpy_type, series.isna().to_numpy()
    if missing.any() and wanted.kind != "f":
        raise RequestRefused(
            f"{column.name}: {_counted(missing)}, and {column.type} has no word for that: log the model with a "
            "signature in which this column is double"
        )
    values = series.to_numpy()
    if values.dtype == object:
        values = np.array([np.nan if absent else item for item, absent in zip(values, missing, strict=True)])
    if values.dtype.kind not in {"b": "b", "i": "iu", "f": "iuf"}[wanted.kind] and values.size:
        raise _refused(column, str(series.dtype))
    with np.errstate(over="ignore"):
        cast: Array = values.astype(wanted)
    if wanted.kind == "i" and not np.array_equal(cast, values):
        raise _refused(column, f"{values.dtype} values beyond its range")
    return cast.reshape(-1, 1)


def _datetimes(series: Any, column: Column) -> Array:
    if getattr(series.dtype, "tz", None) is not None:
        raise _refused(column, f"{series.dtype}; convert it with .dt.tz_convert('UTC').dt.tz_localize(None)")
    values = series.to_numpy()
    if values.dtype.kind not in "MO":
        raise _refused(column, str(series.dtype))
    try:
        return encode(values, "datetime")
    except (ValueError, TypeError) as error:
        raise _refused(column, f"{series.dtype}: {error}") from error


def _place(array: Array, place: int) -> Array:
    """The column at *place* of a tensor, which may hold it alone."""
    return array[:, place] if array.ndim > 1 else array


def _series(array: Array, column: Column, index: Any) -> Any:
    """One output column; text is left to pandas, whose own kind of text it is to be."""
    import pandas as pd

    values = decode(array, column.type, column.name) if column.type in TYPES else array
    return pd.Series(values, index=index, dtype=None if column.type == "string" else values.dtype)


def _besides(array: Array, index: Any) -> Any:
    import pandas as pd

    single = array.ndim == 1 or array.shape[1:] == (1,)
    return pd.Series(array.reshape(-1) if single else list(array), index=index)


def _joined(arrays: list[Array]) -> Array:
    """Columns that share a tensor, in its one type: numbers of 32 bits."""
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays, axis=1, dtype=np.float32, casting="unsafe")


def _counted(missing: Array) -> str:
    count = int(missing.sum())
    return f"{count} value{'s are' if count > 1 else ' is'} missing"


def _refused(column: Column, came: str) -> RequestRefused:
    return RequestRefused(str(InputRefused(column.name, column.type, came)))


def _guess(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), 1)
    return f"; did you mean {close[0]!r}?" if close else f"; it takes {', '.join(known)}"
