"""A file of rows that a model was trained on, or sees: what it says of the ranges that a proof draws from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from sextant.errors import InputRefused
from sextant.tensors import Tensor
from sextant_export.problem import guess
from sextant_export.signature import Feed, Signature


def read_rows(path: Path, signature: Signature, inputs: Sequence[Tensor]) -> Feed:
    """
    The rows of the file at *path* (``.csv``, ``.parquet`` or ``.npy``) as the tensors *inputs*.

    A table may have more columns than *signature* names. ``InputRefused`` says what is wrong with it.
    """
    loaded = _loaded(path)
    if hasattr(loaded, "columns"):
        loaded = _of_table(path, signature, loaded)
    elif signature.form == "columns":
        loaded = _as_table(path, signature, loaded)
    try:
        return signature.feed(loaded, inputs)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        said = ", ".join(f"{tensor.name} {tensor.dtype} {list(tensor.dims)}" for tensor in inputs)
        raise InputRefused(str(path), f"rows of {said}", str(error)) from error


def require_rows(path: Path) -> None:
    """``InputRefused`` where there is no file at *path*, or none of a kind that is read: said before anything long."""
    if path.suffix not in _READERS:
        raise InputRefused(str(path), "a .csv, .parquet or .npy file", repr(path.suffix or path.name))
    if not path.is_file():
        raise InputRefused(str(path), "a file of rows", "a folder" if path.is_dir() else "no such file")


def _loaded(path: Path) -> Any:
    require_rows(path)
    try:
        return _READERS[path.suffix](path)
    except Exception as error:
        raise InputRefused(str(path), f"a {path.suffix} file that can be read", str(error)) from error


def _csv(path: Path) -> Any:
    import pandas as pd

    return pd.read_csv(path)


def _parquet(path: Path) -> Any:
    import pandas as pd

    return pd.read_parquet(path)


def _npy(path: Path) -> Any:
    return np.load(path, allow_pickle=False)


_READERS: Mapping[str, Callable[[Path], Any]] = MappingProxyType({".csv": _csv, ".parquet": _parquet, ".npy": _npy})


def _of_table(path: Path, signature: Signature, table: Any) -> Any:
    """The table itself, where it has all columns; all its numbers, for a model that takes one array."""
    if signature.form == "array":
        return table.to_numpy()
    there = [str(name) for name in table.columns]
    for column in signature.inputs:
        if column.required and column.name not in there:
            raise InputRefused(str(path), f"a column {column.name!r}", f"none{guess(column.name, there)}")
    if signature.form == "tensors":
        return {column.name: table[column.name].to_numpy() for column in signature.inputs if column.name in there}
    return table


def _as_table(path: Path, signature: Signature, array: Any) -> Any:
    import pandas as pd

    names = [column.name for column in signature.inputs]
    if array.ndim != 2 or array.shape[1] != len(names):
        raise InputRefused(str(path), f"rows of {len(names)} columns: {', '.join(names)}", f"an array {array.shape}")
    return pd.DataFrame(array, columns=names)
