"""Tensors as a command line gives them: ``features=@rows.npy``, ``features=[1, 2, 3]``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from sextant.errors import MissingExtra, RequestRefused

from .client import Client
from .dtypes import Array


def ask(
    client: Client,
    pipeline: str,
    arguments: Iterable[str],
    *,
    timeout_s: float | None = None,
    route_key: str | None = None,
) -> Any:
    """
    What the pipeline answers to tensors given as text: one answer for a row, a list for a batch.

    Each argument is ``name=[1, 2]`` (JSON), ``name=word`` for a text, or ``name=@file`` with a .npy, .npz (one array,
    or one of that name), .json or .csv file (numbers, no header). A pipeline that takes a table is asked with ``@file``
    alone, a .csv with a header or a .parquet file. A file or literal that cannot be read is RequestRefused. *timeout_s*
    and *route_key* are those of :class:`~sextant_client.client.Pipeline`.

    >>> from sextant_client.testing import InMemoryTransport
    >>> def double(x):
    ...     return {"doubled": 2 * x}
    >>> ask(Client(transport=InMemoryTransport(double)), "double", ["x=[1, 2.5]"])["doubled"].tolist()
    [2.0, 5.0]
    """
    given, asked = list(arguments), client.pipeline(pipeline)
    if len(given) == 1 and given[0].startswith("@"):
        return asked(table(Path(given[0][1:])), timeout_s=timeout_s, route_key=route_key)
    tensors: dict[str, Any] = dict(map(tensor, given))
    return asked(timeout_s=timeout_s, route_key=route_key, **tensors)


def table(path: Path) -> Any:
    """The table in the file at *path*: .csv with a header, or .parquet."""
    try:
        import pandas as pd
    except ImportError as error:
        raise MissingExtra("export", "a table from a file") from error
    readers = {".csv": pd.read_csv, ".parquet": pd.read_parquet}
    if path.suffix not in readers:
        raise RequestRefused(f"expected a table in a file of {', '.join(readers)}, got {path}")
    try:
        return readers[path.suffix](path)
    except (OSError, ValueError) as error:
        raise RequestRefused(f"{path} cannot be read: {_reason(error)}") from error


def tensor(argument: str) -> tuple[str, Array]:
    """The name and the array of one ``name=value``."""
    name, equals, value = argument.partition("=")
    if not (name and equals and value):
        raise RequestRefused(f"expected name=@file or name=[1, 2], got {argument!r}")
    if not value.startswith("@"):
        return name, _literal(name, value)
    return name, _read(name, Path(value[1:]))


def _literal(name: str, text: str) -> Array:
    try:
        return np.asarray(json.loads(text))
    except ValueError as error:
        if text[0].isalpha():
            return np.asarray([text])
        raise RequestRefused(f"{name}: expected a number or a list like [1, 2], got {text!r}: {error}") from error


def _read(name: str, path: Path) -> Array:
    reader = READERS.get(path.suffix)
    if reader is None:
        raise RequestRefused(f"{name}: expected a file of {', '.join(READERS)}, got {path}")
    try:
        return reader(name, path)
    except (OSError, ValueError, EOFError) as error:
        raise RequestRefused(f"{name}: {path} cannot be read: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _npy(_: str, path: Path) -> Array:
    return np.asarray(np.load(path, allow_pickle=False))


def _npz(name: str, path: Path) -> Array:
    with np.load(path, allow_pickle=False) as arrays:
        key = arrays.files[0] if len(arrays.files) == 1 else name
        if key not in arrays.files:
            raise ValueError(f"it holds {', '.join(arrays.files)}, not {name}")
        return np.asarray(arrays[key])


def _json(_: str, path: Path) -> Array:
    return np.asarray(json.loads(path.read_text(encoding="utf-8")))


def _csv(_: str, path: Path) -> Array:
    return np.loadtxt(path, delimiter=",", ndmin=2)


READERS: dict[str, Callable[[str, Path], Array]] = {".npy": _npy, ".npz": _npz, ".json": _json, ".csv": _csv}
