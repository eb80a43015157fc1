"""Datetimes and bytes inside JSON: an Array, Object or Map of MLflow's as it was before it travelled."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from sextant.columns import moment
from sextant.errors import InputRefused


def revived(value: Any, kind: Any, column: str) -> Any:
    """
    A JSON *value* of MLflow's type *kind*, its ISO 8601 texts datetimes and its base64 texts bytes again.

    ``InputRefused`` names *column* where a text is neither.
    """
    if isinstance(value, list) and hasattr(kind, "dtype"):
        return [revived(item, kind.dtype, column) for item in value]
    if isinstance(value, dict) and hasattr(kind, "value_type"):
        return {key: revived(item, kind.value_type, column) for key, item in value.items()}
    if isinstance(value, dict) and hasattr(kind, "properties"):
        kinds = {entry.name: entry.dtype for entry in kind.properties}
        return {key: revived(item, kinds.get(key), column) for key, item in value.items()}
    return _scalar(value, getattr(kind, "name", None), column)


def _scalar(value: Any, kind: str | None, column: str) -> Any:
    try:
        if kind == "datetime" and isinstance(value, str):
            return moment(value)
        if kind == "binary" and isinstance(value, str):
            return base64.b64decode(value, validate=True)
    except (ValueError, binascii.Error):
        expected = "datetimes as ISO 8601" if kind == "datetime" else "bytes in base64"
        raise InputRefused(column, f"{expected} inside", f"{value!r:.60}") from None
    return value
