"""Plain Python values out of an answer's tensors, a column at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_NUMBERS = (int, float, np.floating)


def scalars(tensors: Mapping[str, NDArray[Any]], name: str, default: Any = None) -> list[Any]:
    """One plain value a row: tensors of one value may come as ``(B,)`` or ``(B, 1)``."""
    if name in tensors:
        values: list[Any] = tensors[name].reshape(-1).tolist()
        return values
    return [default] * len(next(iter(tensors.values())))


def level_text(level: Any) -> str:
    """
    A confidence level as it was written, whatever it is.

    >>> level_text(0.95), level_text(0.9999999), level_text("0.95")
    ('0.95', '0.9999999', "'0.95'")
    """
    return f"{level:.15g}" if isinstance(level, _NUMBERS) else repr(level)


def is_level(asked: Any, level: float) -> bool:
    """Whether the confidence level that is *asked* for is this one, but for rounding."""
    return isinstance(asked, _NUMBERS) and abs(level - float(asked)) < 1e-9


def text(value: Any) -> Any:
    """Text as text: Triton's ``BYTES`` may come as either."""
    return value.decode("utf-8") if isinstance(value, bytes) else value
