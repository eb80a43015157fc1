"""
What a caller of MLflow's ``predict`` gives, as tensors or a table; and the answer as MLflow has it.

``mlflow deployments predict`` reads its file with pandas, so the forms of MLflow's scoring server and of NVIDIA's
plugin arrive as frames of one column; the same forms may be given as dictionaries.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from mlflow.deployments import PredictionsResponse
from numpy.typing import NDArray

from sextant.errors import RequestRefused

PREDICTIONS, OUTPUTS = "predictions", "outputs"
SPLIT, RECORDS, INSTANCES, INPUTS = "dataframe_split", "dataframe_records", "instances", "inputs"
_ROWS = "a list of rows, or of one mapping of tensors a row"
_WANTED = {
    SPLIT: "columns: [...] and data: [[...], ...]",
    RECORDS: "a list of one mapping of columns a row",
    INSTANCES: _ROWS,
    INPUTS: f"{_ROWS}, or a mapping of tensors",
}
FORMS = tuple(_WANTED)


class Question(NamedTuple):
    """A *table*, one unnamed array, or tensors by name; *word* is where the caller looks for the answer."""

    value: Any
    word: str = PREDICTIONS


class Predictions(PredictionsResponse):  # type: ignore[misc]  # MLflow has no types
    """
    MLflow's response: JSON-ready under ``predictions``.

    Whoever asked as NVIDIA's plugin wants it finds tensors by name under ``outputs`` instead; either word is
    understood.
    """

    def __missing__(self, word: str) -> Any:
        if word not in {PREDICTIONS, OUTPUTS}:
            raise KeyError(word)
        return next(iter(self.values()))


def question(inputs: Any) -> Question:
    """*inputs* in whatever form they were given; ``RequestRefused`` says which forms there are."""
    if isinstance(inputs, pd.DataFrame):
        return _of_frame(inputs)
    if isinstance(inputs, Mapping):
        return _of_mapping(inputs)
    if isinstance(inputs, list) and inputs and all(isinstance(row, Mapping) for row in inputs):
        return Question(pd.DataFrame(inputs))
    if isinstance(inputs, (np.ndarray, list, pd.Series)):
        return Question(_array("inputs", inputs))
    raise RequestRefused(
        f"expected a DataFrame, an array, a list, or a dictionary of tensors by name, got {type(inputs).__name__}"
    )


def predictions(answer: Any, word: str, single: Collection[str] = ()) -> Predictions:
    """
    An *answer* of the client's, a table, typed answers or arrays by name, under *word*.

    The arrays named *single* are one number a row, without the axis that Triton gives it.
    """
    if isinstance(answer, pd.DataFrame) and len(answer.columns) > 1 and word != OUTPUTS:
        return Predictions({word: [dict(zip(answer.columns, row, strict=True)) for row in _rows(answer)]})
    if isinstance(answer, list):
        return Predictions({word: [each.to_dict() for each in answer]})
    arrays = {name: plain(_flat(array) if name in single else array) for name, array in _arrays(answer).items()}
    alone = len(arrays) == 1 and word != OUTPUTS
    return Predictions({word: next(iter(arrays.values())) if alone else arrays})


def plain(array: NDArray[Any]) -> Any:
    """
    An array as JSON has it: text is UTF-8, other bytes are base64, a datetime is ISO 8601.

    >>> plain(np.array([[b"a"], [b"b"]], object))
    [['a'], ['b']]
    """
    array = np.asarray(array)
    if array.dtype.kind == "M":
        return np.datetime_as_string(array).tolist()
    return _plain(array.tolist()) if array.dtype.kind in "OS" else array.tolist()


def _of_frame(frame: pd.DataFrame) -> Question:
    """A frame whose only column is called as a form, and holds no values, is that form as pandas reads it."""
    form = frame.columns[0] if len(frame.columns) == 1 else None
    cells = list(frame[form]) if form in FORMS else []
    if not cells or not all(isinstance(cell, (list, Mapping)) for cell in cells):
        return Question(frame)
    named = all(isinstance(name, str) for name in frame.index)
    return _of_form(str(form), dict(zip(frame.index, cells, strict=True)) if named else cells)


def _of_mapping(given: Mapping[str, Any]) -> Question:
    if len(given) == 1:
        ((form, value),) = given.items()
        if form in FORMS and isinstance(value, (list, Mapping)):
            return _of_form(form, value)
    return Question(_tensors(given))


def _of_form(form: str, value: Any) -> Question:
    """One of the four forms that MLflow's scoring server takes; RequestRefused where it is none."""
    try:
        return _formed(form, value)
    except RequestRefused:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        said = f"{form}: expected {_WANTED[form]}, got what cannot be read ({type(error).__name__}: {error})"
        raise RequestRefused(said) from error


def _formed(form: str, value: Any) -> Question:
    if form == SPLIT:
        return Question(pd.DataFrame(value["data"], columns=value.get("columns")))
    if form == RECORDS:
        return Question(pd.DataFrame(value))
    if isinstance(value, Mapping):
        return Question(_tensors(value), OUTPUTS)
    if value and all(isinstance(row, Mapping) for row in value):
        return Question(_tensors({name: [row[name] for row in value] for name in value[0]}))
    return Question(_array(form, value))


def _tensors(given: Mapping[Any, Any]) -> dict[str, NDArray[Any]]:
    return {str(name): _array(str(name), values) for name, values in given.items()}


def _array(name: str, values: Any) -> NDArray[Any]:
    try:
        return np.asarray(values)
    except ValueError:
        raise RequestRefused(f"{name}: expected an array, got rows of unequal length") from None


def _arrays(answer: Any) -> Mapping[str, NDArray[Any]]:
    return {str(name): answer[name].to_numpy() for name in answer} if isinstance(answer, pd.DataFrame) else answer


def _flat(array: NDArray[Any]) -> NDArray[Any]:
    return array.reshape(len(array)) if array.shape[1:] == (1,) else array


def _rows(frame: pd.DataFrame) -> list[Sequence[Any]]:
    return list(zip(*(plain(frame[name].to_numpy()) for name in frame), strict=True))


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return _text(value)
    return value.isoformat() if hasattr(value, "isoformat") else value


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return base64.b64encode(raw).decode()
