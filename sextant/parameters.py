"""Reading a block's parameters: what is missing, unknown or of the wrong kind is named, with a guess."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

import numpy as np

from sextant.errors import ParametersError
from sextant.tensors import Floats


def refuse_unknown(parameters: Mapping[str, Any], known: Iterable[str]) -> None:
    """
    ``ParametersError`` for a key that is not *known*, with the nearest that is.

    >>> refuse_unknown({"methd": "moment"}, ["gate", "method"])
    Traceback (most recent call last):
    sextant.errors.ParametersError: methd: unknown; did you mean 'method'?
    """
    names = list(known)
    for key in parameters:
        if key not in names:
            near = get_close_matches(key, names, n=1)
            guess = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(names)}"
            raise ParametersError(f"{key}: unknown; {guess}")


def one_of(parameters: Mapping[str, Any], key: str, choices: tuple[str, ...]) -> str:
    """The word at *key*, one of *choices*; the first of them if absent."""
    word = parameters.get(key, choices[0])
    if word not in choices:
        raise ParametersError(f"{key}: expected one of {', '.join(choices)}, got {word!r}")
    return str(word)


def whole(parameters: Mapping[str, Any], key: str) -> int:
    """The whole number at *key*, at least one; it must be given."""
    value = parameters.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ParametersError(f"{key}: expected a whole number from 1 on, got {value!r}")
    return value


def number(parameters: Mapping[str, Any], key: str, default: float | None) -> float | None:
    """The finite number at *key*, or *default*; ``None`` says there is none."""
    value = parameters.get(key, default)
    return None if value is None else float(numbers(parameters, key, (), value))


def numbers(parameters: Mapping[str, Any], key: str, shape: tuple[int, ...], default: Any = None) -> Floats:
    """The finite numbers at *key*, in an array of *shape*, where ``-1`` is any length but none."""
    value = parameters.get(key, default)
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.array(np.nan)
    fits = array.ndim == len(shape) and all(
        have == want or (want < 0 < have) for have, want in zip(array.shape, shape, strict=True)
    )
    if isinstance(value, (str, bool)) or not fits or not np.isfinite(array).all():
        raise ParametersError(f"{key}: expected {_described(shape)}, got {value!r}")
    return array


def _described(shape: tuple[int, ...]) -> str:
    if not shape:
        return "a finite number"
    return " × ".join("any" if length < 0 else str(length) for length in shape) + " finite numbers"
