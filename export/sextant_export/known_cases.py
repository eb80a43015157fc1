"""Known cases: a table whose rows carry the features and the true position."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sextant.errors import CalibrationError
from sextant_export.pipeline import Calibration
from sextant_export.problem import guess


@dataclass(frozen=True, kw_only=True)
class KnownCases:
    """*features* FP32 (N, width); *truth* (N, 2) latitude, longitude in degrees; *sha256* of the file they are from."""

    features: NDArray[np.float32]
    truth: NDArray[np.float64]
    sha256: str

    def __len__(self) -> int:
        return len(self.features)


def read_known_cases(spec: Calibration) -> KnownCases:
    """
    The table at ``spec.data`` (``.parquet`` or ``.csv``), every column but truth and group being a feature, in order.

    :class:`~sextant.errors.CalibrationError` where the file, a column, or a finite number is missing.
    """
    table = _table(spec.data)
    named = [*spec.truth, *([spec.group] if spec.group else [])]
    for column in named:
        if column not in table.columns:
            raise CalibrationError(f"{spec.data}: no column {column!r}{guess(column, map(str, table.columns))}")
    truth = _numbers(table[list(spec.truth)], spec.data, np.float64)
    features = _numbers(table.drop(columns=named), spec.data, np.float32)
    return KnownCases(features=features, truth=truth, sha256=file_sha256(spec.data))


def file_sha256(path: Path) -> str:
    """What ``sha256sum`` prints for the file at *path*."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _table(path: Path) -> Any:
    import pandas as pd

    readers = {".parquet": pd.read_parquet, ".csv": pd.read_csv}
    if path.suffix not in readers:
        raise CalibrationError(f"{path}: expected a .parquet or .csv table of known cases")
    try:
        return readers[path.suffix](path)
    except FileNotFoundError as error:
        raise CalibrationError(f"{path}: there is no such table of known cases") from error
    except Exception as error:
        raise CalibrationError(f"{path} cannot be read as a table: {error}") from error


def _numbers(table: Any, path: Path, dtype: type) -> NDArray[Any]:
    try:
        numbers = np.ascontiguousarray(table.to_numpy(dtype=dtype))
    except ValueError as error:
        raise CalibrationError(f"{path}: expected numbers in every column, but {error}") from error
    if not np.isfinite(numbers).all():
        row, column = np.argwhere(~np.isfinite(numbers))[0]
        raise CalibrationError(f"{path}: row {row}, column {table.columns[column]!r} is not a finite number")
    return numbers
