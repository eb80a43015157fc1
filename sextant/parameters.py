"""Reading a block's parameters: what is missing, unknown or of the wrong kind is named, with a guess."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np

from sextant.errors import ParametersError
from sextant.tensors import Floats

SLOTS = 8
"""How many members a block has room for."""


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


def whole(parameters: Mapping[str, Any], key: str, *, least: int = 1, most: int | None = None) -> int:
    """The whole number at *key*, at *least* one and no larger than *most*; it must be given."""
    value = parameters.get(key)
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < least:
        raise ParametersError(f"{key}: expected a whole number from {least} on, got {value!r}")
    if most is not None and value > most:
        raise ParametersError(f"{key}: expected a whole number up to {most}, got {value}")
    return int(value)


def number(parameters: Mapping[str, Any], key: str, default: float | None) -> float | None:
    """The finite number at *key*, or *default*; ``None`` says there is none."""
    value = parameters.get(key, default)
    return None if value is None else float(numbers(parameters, key, (), value))


def flag(parameters: Mapping[str, Any], key: str, *, default: bool) -> bool:
    """The truth value at *key*, or *default*."""
    value = parameters.get(key, default)
    if not isinstance(value, bool):
        raise ParametersError(f"{key}: expected true or false, got {value!r}")
    return value


def numbers(parameters: Mapping[str, Any], key: str, shape: tuple[int, ...], default: Any = None) -> Floats:
    """The finite numbers at *key*, in an array of *shape*, where ``-1`` is any length but none."""
    value = parameters.get(key, default)
    try:
        array = np.asarray(value if _is_numbers(value) else np.nan, dtype=np.float64)
    except (ValueError, OverflowError):
        array = np.array(np.nan)
    fits = array.ndim == len(shape) and all(
        have == want or (want < 0 < have) for have, want in zip(array.shape, shape, strict=True)
    )
    if not fits or not np.isfinite(array).all():
        raise ParametersError(f"{key}: expected {_described(shape)}, got {value!r}")
    return array


def read_levels(parameters: Mapping[str, Any]) -> Floats:
    """The ``confidence_levels`` ``(L,)``, each once; they must be given."""
    given = numbers(parameters, "confidence_levels", (-1,))
    if not (np.all((given > 0) & (given < 1)) and len(np.unique(given)) == len(given)):
        said = "expected levels between 0 and 1, bounds excluded, each once"
        raise ParametersError(f"confidence_levels: {said}, got {given.tolist()}")
    return given


def read_place(parameters: Mapping[str, Any], key: str) -> tuple[float, float]:
    """The latitude and longitude at *key*, in degrees."""
    latitude, longitude = numbers(parameters, key, (2,)).tolist()
    if abs(latitude) > 90:
        raise ParametersError(f"{key}: expected a latitude within 90 degrees, got {latitude:g}")
    if abs(longitude) > 360:
        raise ParametersError(f"{key}: expected a longitude within 360 degrees, got {longitude:g}")
    return latitude, longitude


def read_weights(parameters: Mapping[str, Any], members: Sequence[str]) -> Floats:
    """
    The ``weights`` of *members* ``(M,)``, given in their order or by name.

    >>> read_weights({"weights": {"elm": 1, "oak": 2}}, ["oak", "elm"]).tolist()
    [2.0, 1.0]
    """
    given = parameters.get("weights")
    listed = list(of_each(members, "weights", given)) if isinstance(given, Mapping) else given
    return numbers({"weights": listed}, "weights", (len(members),))


def of_each(members: Sequence[str], key: str, given: Mapping[str, Any]) -> tuple[Any, ...]:
    """What is *given* at *key* of each of *members*, by name; ``ParametersError`` for one too many or too few."""
    for name in given:
        if name not in members:
            raise ParametersError(f"{key}: {name!r} is none of the members {', '.join(members)} that have one")
    for member in members:
        if member not in given:
            raise ParametersError(f"{key}: none for member {member!r}")
    return tuple(given[member] for member in members)


def read_members(parameters: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the ``members``, as many as a block has room for at most; they must be given."""
    names = parameters.get("members")
    if not isinstance(names, (list, tuple)) or not 1 <= len(names) <= SLOTS:
        raise ParametersError(f"members: expected the names of 1 to {SLOTS} members, got {names!r}")
    return tuple(str(name) for name in names)


def mapping(parameters: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The mapping at *key*, an empty one if there is none."""
    value = parameters.get(key)
    if value is not None and not isinstance(value, Mapping):
        raise ParametersError(f"{key}: expected a mapping, got {value!r}")
    return value or {}


def _is_numbers(value: Any) -> bool:
    """Whether it is a number or lists of them: NumPy would read a text as the number it spells, and true as one."""
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "fiu"
    if isinstance(value, (list, tuple)):
        return all(map(_is_numbers, value))
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def _described(shape: tuple[int, ...]) -> str:
    if not shape:
        return "a finite number"
    if shape == (-1,):
        return "a list of finite numbers"
    return " × ".join("any" if length < 0 else str(length) for length in shape) + " finite numbers"
