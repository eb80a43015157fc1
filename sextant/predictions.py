"""
A model of any kind behind tensors: what its ``predict`` wants for them, and what it gave as tensors again.

The model may want one array, arrays by name or a table, and may give any of these, a list or a Series.  What it gives
must be what it promised: as many rows, of the promised types.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sextant.columns import NUMBERS, TYPES, Column, decode, encode, tensor_names
from sextant.errors import ModelFailed
from sextant.tensors import Tensor

Arrays = Mapping[str, NDArray[Any]]

FORMS = ("array", "tensors", "columns")
ANSWER = "prediction"
_WORDS = {"b": "boolean", "i4": "integer", "i8": "long", "f4": "float", "f8": "double", "M8": "datetime"}


def served(column: Column) -> Tensor:
    """The tensor of *column* as Triton has it: without dims of rank 0, which Triton does not know."""
    return column.served._replace(dims=column.dims or (1,))


def asked(form: str, inputs: Sequence[Column], feed: Arrays) -> Any:
    """
    What ``predict`` wants for the tensors *feed*: an array, arrays by name, or a table.

    >>> column = Column(name="age (years)", tensor="age_years", type="long")
    >>> asked("columns", [column], {"age_years": np.array([[7], [9]])})["age (years)"].tolist()
    [7, 9]
    """
    present = [column for column in inputs if column.tensor in feed]
    if form == "columns":
        import pandas as pd

        cells = {column.name: decode(feed[column.tensor], column.type, column.name) for column in present}
        # Text is left to pandas, whose own kind of text, with its own kind of missing, is what a caller's table has.
        kept = {column.name: None if column.type == "string" else cells[column.name].dtype for column in present}
        return pd.DataFrame({name: pd.Series(cells[name], dtype=kept[name]) for name in cells})
    arrays = {column.name: _shaped(feed[column.tensor], column) for column in present}
    return next(iter(arrays.values())) if form == "array" else arrays


def split(matrix: NDArray[Any], inputs: Sequence[Column]) -> dict[str, NDArray[Any]]:
    """The columns of a *matrix* (B, width) as the tensors (B, 1) they would be, each of its own type."""
    return {column.tensor: _narrowed(matrix[:, [i]], column) for i, column in enumerate(inputs)}


def answered(answer: Any, outputs: Sequence[Column], rows: int) -> dict[str, NDArray[Any]]:
    """
    The tensors of an *answer* to *rows* rows; ModelFailed where it is not what *outputs* promise.

    >>> column = Column(name="prediction", tensor="prediction", type="double")
    >>> answered([1.5, 2.5], [column], 2)["prediction"].tolist()
    [[1.5], [2.5]]
    >>> answered([1.5], [column], 2)
    Traceback (most recent call last):
    sextant.errors.ModelFailed: its answer 'prediction' has 1 row, to 2 that were asked
    """
    given = _matched(pieces(answer, outputs), outputs)
    return {column.tensor: _promised(given[column.name], column, rows) for column in outputs}


def learned(answer: Any, inputs: Sequence[Column] = ()) -> tuple[Column, ...]:
    """
    The outputs that an *answer* shows, for a model that was logged without saying them.

    Their tensors are named otherwise than those of the *inputs*: of an ensemble's output that is called as an input is,
    Triton gives the input.

    >>> [(column.name, column.type) for column in learned({"label": ["a"], "share": [0.5]})]
    [('label', 'string'), ('share', 'double')]
    """
    given = {name: _array(values) for name, values in pieces(answer, ()).items()}
    tensors = tensor_names([*(column.tensor for column in inputs), *given])[len(inputs) :]
    return tuple(map(_described, given, tensors, given.values()))


def pieces(answer: Any, outputs: Sequence[Column]) -> dict[str, Any]:
    """The parts of an *answer* by name; one without a name is ``prediction``."""
    if hasattr(answer, "columns") and hasattr(answer, "to_numpy"):
        return {str(name): answer[name].to_numpy() for name in answer.columns}
    if isinstance(answer, Mapping):
        return {str(name): values for name, values in answer.items()}
    if _is_records(answer) and not (len(outputs) == 1 and outputs[0].type == "json"):
        names = dict.fromkeys(name for record in answer for name in record)
        return {str(name): [record.get(name) for record in answer] for name in names}
    return {ANSWER: answer.toarray() if hasattr(answer, "toarray") else answer}


def _is_records(answer: Any) -> bool:
    return isinstance(answer, list) and bool(answer) and all(isinstance(record, Mapping) for record in answer)


def _matched(given: dict[str, Any], outputs: Sequence[Column]) -> Mapping[str, Any]:
    """The parts under the names of *outputs*: by name, by place where one array stands for them, or side by side."""
    names = [column.name for column in outputs]
    if all(name in given for name in names):
        return given
    if len(given) == 1:
        (only,) = given.values()
        if len(names) == 1:
            return {names[0]: only}
        table = _array(only)
        if table.ndim == 2 and table.shape[1] == len(names):
            return {name: table[:, i] for i, name in enumerate(names)}
    if len(names) == 1 and outputs[0].dims == (len(given),):
        return {names[0]: np.stack([_array(values) for values in given.values()], axis=1)}
    raise ModelFailed(f"its answer has {', '.join(given)}, and its signature promises {', '.join(names)}")


def _promised(values: Any, column: Column, rows: int) -> NDArray[Any]:
    if values is None:
        raise _broken(column, "nothing")
    listed = isinstance(values, (list, tuple)) or bool(getattr(values, "ndim", 0))
    array = _objects(values) if column.type == "json" and listed else _array(values)
    if not array.ndim and rows == 1:
        array = array[np.newaxis]
    if array.ndim == 0 or len(array) != rows:
        came = "no rows" if array.ndim == 0 else f"{len(array)} row" + "s" * (len(array) != 1)
        raise ModelFailed(f"its answer {column.name!r} has {came}, to {rows} that were asked")
    if column.type in TYPES and column.type not in NUMBERS:
        return _texts(array, column)
    return _fitted(_cast(array, column), column)


def _texts(array: NDArray[Any], column: Column) -> NDArray[Any]:
    """Text, bytes, datetimes or JSON, as they travel."""
    plain = [None if _is_missing(item) else item for item in array.reshape(-1)]
    for item in plain:
        if item is not None and not isinstance(item, _KINDS[column.type]):
            raise _broken(column, f"{type(item).__name__} {item!r:.40}")
    if column.type == "binary" and None in plain:
        raise _broken(column, "missing in places, which bytes cannot be")
    try:
        texts = encode(plain, column.type)
    except ValueError as error:  # a datetime of which a nanosecond cannot be told
        raise _broken(column, str(error)) from error
    return _fitted(texts.reshape(array.shape), column)


def _fitted(array: NDArray[Any], column: Column) -> NDArray[Any]:
    """*array* with the dims of the column's tensor."""
    dims = column.dims or (1,)
    came = array.shape[1:] or (1,)
    if len(came) != len(dims) or any(have != want != -1 for have, want in zip(came, dims, strict=True)):
        raise _broken(column, f"rows of shape {list(array.shape[1:])}")
    return np.ascontiguousarray(array.reshape(len(array), *came))


def _cast(array: NDArray[Any], column: Column) -> NDArray[Any]:
    """*array* as the promised type, where that keeps every value."""
    wanted = column.served.numpy_type
    numbers = _numbers(array) if array.dtype == object else array
    if np.can_cast(numbers.dtype, wanted, "safe"):
        return numbers.astype(wanted, copy=False)
    if numbers.dtype.kind in "iu" and wanted.kind in "iu" and np.array_equal(numbers.astype(wanted), numbers):
        return numbers.astype(wanted)
    raise _broken(column, "text" if numbers.dtype.kind in "SUO" else str(numbers.dtype))


def _numbers(array: NDArray[Any]) -> NDArray[Any]:
    """Objects as the numbers they are; what is missing is NaN."""
    return np.array([np.nan if _is_missing(item) else item for item in array.reshape(-1)]).reshape(array.shape)


def _broken(column: Column, came: str) -> ModelFailed:
    promised = column.type + (f" {list(column.dims)}" if column.dims not in {(), (1,)} else "")
    return ModelFailed(
        f"its answer {column.name!r} is {came}, and its signature promises {promised}: "
        "log the model again with signature=mlflow.models.infer_signature(inputs, outputs)"
    )


def _described(name: str, tensor: str, array: NDArray[Any]) -> Column:
    if array.ndim > 1 and array.dtype != object:
        kind = "string" if array.dtype.kind in "SU" else array.dtype.name
        return Column(name=name, tensor=tensor, type=kind, dims=tuple(int(size) for size in array.shape[1:]))
    return Column(name=name, tensor=tensor, type=_word(array))


def _word(array: NDArray[Any]) -> str:
    """MLflow's word for the type of a column: the narrowest that holds *array*."""
    if array.dtype.kind not in "OSU":
        small = array.dtype.kind in "iu" and array.dtype.itemsize < 4
        return "integer" if small else _WORDS.get(array.dtype.str[1:], _WORDS.get(array.dtype.kind, "double"))
    present = [item for item in array.reshape(-1) if not _is_missing(item)]
    kinds = [kind for kind, types in _KINDS.items() if all(isinstance(item, types) for item in present)]
    numbers = all(isinstance(item, (int, float, np.number)) for item in present)
    return _word(_numbers(array)) if numbers and present and array.ndim == 1 else kinds[0]


def _array(values: Any) -> NDArray[Any]:
    """*values* as an array; one of objects where they are text, or lists of unequal length."""
    try:
        array = np.asarray(values)
    except ValueError:
        return _objects(values)
    return array.astype(object) if array.dtype.kind in "SU" else array


def _objects(values: Iterable[Any]) -> NDArray[Any]:
    """One object a row, whatever it is."""
    items = list(values)
    return np.fromiter(items, dtype=object, count=len(items))


def _shaped(array: NDArray[Any], column: Column) -> NDArray[Any]:
    """A served tensor in the dims, and the type, that the model knows it by."""
    wanted = array.reshape(len(array), *array.shape[1:] if column.dims else ())
    if column.type != "string":
        return wanted.astype(column.served.numpy_type, copy=False)
    return decode(array, "string", column.name).reshape(wanted.shape)


def _narrowed(values: NDArray[Any], column: Column) -> NDArray[Any]:
    """A cell of a matrix in the column's own type; a whole number was drawn whole."""
    wanted = column.served.numpy_type
    return (np.rint(values) if wanted.kind in "iu" else values).astype(wanted)


def _is_missing(item: Any) -> bool:
    """None, NaN, NaT and pandas' NA."""
    if isinstance(item, np.datetime64):
        return bool(np.isnat(item))
    if isinstance(item, (float, np.floating)):
        return bool(np.isnan(item))
    return item is None or type(item).__name__ in {"NAType", "NaTType"}


_KINDS: Mapping[str, tuple[type[Any], ...]] = {
    "string": (str,),
    "binary": (bytes, bytearray),
    "datetime": (np.datetime64, datetime),
    "json": (object,),
}
