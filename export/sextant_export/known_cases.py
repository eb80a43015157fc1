"""Known cases: rows of features whose true position or label is known, from a table or from arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sextant.errors import CalibrationError
from sextant.groups import composed
from sextant_export.calibration_problems import FILES
from sextant_export.pipeline import Calibration
from sextant_export.problem import guess

FEATURES = "features"


@dataclass(frozen=True, kw_only=True)
class KnownCases:
    """
    *features* FP32 (N, ...) and what is true of each row.

    *truth* is (N, 2) latitude, longitude in degrees, or (N,) labels, INT64 or text; *group* (N,) which rows belong
    together, as those of a walk do, and *apart* (N,) the words by which rows are calibrated apart; None where the spec
    names no column for it.  *sha256* is that of the file they are from.
    """

    features: NDArray[np.float32]
    truth: NDArray[Any]
    sha256: str
    group: NDArray[Any] | None = None
    apart: NDArray[Any] | None = None

    def __len__(self) -> int:
        return len(self.features)


def read_known_cases(spec: Calibration) -> KnownCases:
    """
    The cases at ``spec.data``: a table (``.parquet``, ``.csv``) or arrays (``.npz``).

    Of a table, every column is a feature but those that the spec names otherwise, in order; of arrays, ``features``
    of any rank.  :class:`~sextant.errors.CalibrationError` where the file, a column, or a finite number is missing.
    """
    if spec.data.suffix not in FILES:
        raise CalibrationError(f"{spec.data}: expected known cases in a file of {', '.join(FILES)}")
    named = [*spec.truth, *filter(None, (spec.group, spec.per_column))]
    with _reading(spec.data):
        source = _arrays(spec.data) if spec.data.suffix == ".npz" else _table(spec.data, named)
    features = source.features(named)
    if not len(features):
        raise CalibrationError(f"{spec.data}: there is no row in it")
    return KnownCases(
        features=features,
        truth=_class(source, spec.truth[0]) if len(spec.truth) == 1 else _position(source, spec.truth),
        group=None if spec.group is None else _group(source, spec.group),
        apart=None if spec.per_column is None else _apart(source, spec.per_column),
        sha256=file_sha256(spec.data),
    )


def file_sha256(path: Path) -> str:
    """What ``sha256sum`` prints for the file at *path*."""
    total = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            total.update(block)
    return total.hexdigest()


class _Table:
    """A table, whose columns are features unless they are *named* otherwise."""

    def __init__(self, path: Path, columns: Any, named: list[str]) -> None:
        self.path, self._columns, self._named = path, columns, named

    def column(self, name: str) -> NDArray[Any]:
        if name not in self._columns.columns:
            free = (column for column in map(str, self._columns.columns) if column not in self._named)
            raise CalibrationError(f"{self.path}: no column {name!r}{guess(name, free)}")
        return np.asarray(self._columns[name].to_numpy())

    def features(self, named: list[str]) -> NDArray[np.float32]:
        for name in named:
            self.column(name)
        table = self._columns.drop(columns=named)
        columns = [_numbers(self.path, str(name), table[name].to_numpy(), np.float32) for name in table.columns]
        if not columns:
            raise CalibrationError(f"{self.path}: no column is left for the features")
        return np.ascontiguousarray(np.stack(columns, axis=1))


class _ArrayFile:
    """Arrays under their names, one row a case in each."""

    def __init__(self, path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.path, self._arrays = path, arrays

    def column(self, name: str) -> NDArray[Any]:
        if name not in self._arrays:
            raise CalibrationError(f"{self.path}: no array {name!r}{guess(name, self._arrays)}")
        array = self._arrays[name]
        if array.ndim == 2 and array.shape[1] == 1:
            array = array[:, 0]
        rows = len(self._arrays[FEATURES]) if FEATURES in self._arrays else len(array)
        if array.ndim != 1 or len(array) != rows:
            raise CalibrationError(f"{self.path}: expected {name!r} of shape [{rows}], got {list(array.shape)}")
        return array

    def features(self, named: list[str]) -> NDArray[np.float32]:
        if FEATURES not in self._arrays:
            raise CalibrationError(f"{self.path}: no array {FEATURES!r}{guess(FEATURES, self._arrays)}")
        array = self._arrays[FEATURES]
        if array.ndim < 2:
            raise CalibrationError(f"{self.path}: expected {FEATURES!r} with a row a case, got {list(array.shape)}")
        for name in named:
            self.column(name)
        return _numbers(self.path, FEATURES, array, np.float32)


def _table(path: Path, named: list[str]) -> _Table:
    import pandas as pd

    readers = {".parquet": pd.read_parquet, ".csv": pd.read_csv}
    return _Table(path, readers[path.suffix](path), named)


def _arrays(path: Path) -> _ArrayFile:
    with np.load(path, allow_pickle=False) as file:
        return _ArrayFile(path, {name: file[name] for name in file.files})


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise CalibrationError(f"{path}: there is no such file of known cases") from error
    except Exception as error:
        kind = "arrays" if path.suffix == ".npz" else "a table"
        raise CalibrationError(f"{path} cannot be read as {kind}: {error}") from error


def _position(source: _Table | _ArrayFile, columns: tuple[str, ...]) -> NDArray[np.float64]:
    latitude, longitude = (_numbers(source.path, name, source.column(name), np.float64) for name in columns)
    for noun, column, degrees, most in (
        ("latitude", columns[0], latitude, 90),
        ("longitude", columns[1], longitude, 360),
    ):
        beyond = np.abs(degrees) > most
        if beyond.any():
            row = int(np.argmax(beyond))
            said = f"row {row}, column {column!r}: expected a {noun} within {most} degrees, got {degrees[row]:g}"
            raise CalibrationError(f"{source.path}: {said}")
    return np.stack([latitude, longitude], axis=1)


def _class(source: _Table | _ArrayFile, column: str) -> NDArray[Any]:
    """Labels of which none is a truth value: True would be the class 1 as well."""
    if source.column(column).dtype.kind == "b":
        said = "holds truth values, and True counts as 1: write words or whole numbers, as the members' classes are"
        raise CalibrationError(f"{source.path}: column {column!r} {said}")
    return _label(source, column)


def _label(source: _Table | _ArrayFile, column: str) -> NDArray[Any]:
    """Labels as INT64 or as text; whole numbers that a missing one made floats are refused for the missing one."""
    array = source.column(column)
    if array.dtype.kind in "biu":
        return array.astype(np.int64)
    if array.dtype.kind == "f":
        numbers = _numbers(source.path, column, array, np.float64)
        if (numbers % 1 == 0).all():
            return numbers.astype(np.int64)
        raise CalibrationError(f"{source.path}: column {column!r}: expected words or whole numbers, got fractions")
    words = [_decoded(word) for word in array.tolist()]
    for row, word in enumerate(words):
        if not isinstance(word, str):
            raise CalibrationError(f"{source.path}: row {row}, column {column!r} is no word: {word!r}")
    return np.array(words, dtype=object)


def _group(source: _Table | _ArrayFile, column: str) -> NDArray[Any]:
    """What each row belongs to, as text; what is missing would be one large group."""
    import pandas as pd

    array = source.column(column)
    missing = pd.isna(array)
    if missing.any():
        raise CalibrationError(f"{source.path}: row {int(np.argmax(missing))}, column {column!r} is missing")
    return np.array([str(word) for word in array.tolist()], dtype=object)


def _apart(source: _Table | _ArrayFile, column: str) -> NDArray[Any]:
    return np.array([composed(str(word)) for word in _label(source, column).tolist()], dtype=object)


def _decoded(word: Any) -> Any:
    """Text of bytes that are UTF-8; anything else as it came."""
    try:
        return word.decode() if isinstance(word, bytes) else word
    except UnicodeDecodeError:
        return word


def _numbers(path: Path, column: str, array: NDArray[Any], dtype: type) -> NDArray[Any]:
    if array.dtype.kind == "c":
        said = "is complex: store real and imaginary parts in a last axis of 2"
        raise CalibrationError(f"{path}: column {column!r} {said}")
    try:
        with np.errstate(over="ignore"):  # what is too large for the type is said to be infinite below
            numbers: NDArray[Any] = np.ascontiguousarray(array, dtype=dtype)
    except (TypeError, ValueError) as error:
        raise CalibrationError(f"{path}: expected numbers in every column, but {column!r}: {error}") from error
    if not np.isfinite(numbers).all():
        row = np.argwhere(~np.isfinite(numbers))[0][0]
        raise CalibrationError(f"{path}: row {row}, column {column!r} is not a finite number")
    return numbers
