"""A TOML file as tables, and what keeps it from being read as a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from sextant_export.problem import Problem


def read_tables(file: Path, refusal: type[Exception]) -> Mapping[str, Any]:
    """
    The tables in the TOML file at *file*.

    *refusal*, which takes a tuple of problems, says why it cannot be read, or that it is no TOML.
    """
    toml = _reader(file, refusal)
    try:
        tables: Mapping[str, Any] = toml.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise refusal((Problem(str(file), f"cannot be read: {error.strerror}"),)) from error
    except UnicodeDecodeError as error:
        raise refusal((Problem(str(file), "is not UTF-8 text"),)) from error
    except toml.TOMLDecodeError as error:
        raise refusal((Problem(str(file), f"is no TOML: {error}"),)) from error
    return tables


def _reader(file: Path, refusal: type[Exception]) -> Any:
    """Python's own reader, or the package that it came from."""
    for name in ("tomllib", "tomli"):
        with suppress(ModuleNotFoundError):
            return import_module(name)
    said = "this Python is older than 3.11 and reads no TOML by itself: pip install tomli"
    raise refusal((Problem(str(file), said),))
