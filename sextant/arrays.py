"""Arrays as they are given: whether they are numbers, and as long as one another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sextant.errors import InputRefused


def real(values: ArrayLike, refusal: Callable[[str], Exception]) -> NDArray[Any]:
    """
    *values* as an array of real numbers, of whatever type they come in.

    Where they are something else, the *refusal* of what they are, in words, is raised: NumPy would take the real part
    of a complex number, and read a text as the number it spells.  Objects are taken where each is a real number, as in
    a row of a table.

    >>> real(["0.5"], lambda came: ValueError(f"expected numbers, got {came}"))
    Traceback (most recent call last):
    ValueError: expected numbers, got text
    """
    try:
        array = np.asarray(values)
    except ValueError:
        raise refusal("lists of unequal length") from None
    if array.dtype.kind == "O" and all(map(_is_real, array.flat)):
        return array.astype(np.float64)
    if array.dtype.kind not in "fiu":
        raise refusal("text" if array.dtype.kind in "SU" else array.dtype.name)
    return array


def _is_real(value: Any) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def refuse_uneven(arrays: Mapping[str, NDArray[Any]]) -> None:
    """
    ``InputRefused`` for the first of *arrays*, each ``(B, ...)``, that has more rows or fewer than the one before all.

    >>> refuse_uneven({"label_0": np.zeros((2, 1)), "label_1": np.zeros((3, 1))})
    Traceback (most recent call last):
    sextant.errors.InputRefused: label_1: expected as many rows as label_0 has, 2, got 3
    """
    first = next(iter(arrays), "")
    for name, array in arrays.items():
        if array.shape[:1] != arrays[first].shape[:1]:
            rows, came = (len(one) if one.ndim else "no rows" for one in (arrays[first], array))
            raise InputRefused(name, f"as many rows as {first} has, {rows}", f"{came}")
