"""What members of a label pipeline say, as nodes: a class is a column, and a vote for it a one there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from sextant.vote import TOLERANCE, UNEVEN
from sextant_export.fusing.graph import Value


class Ballots(NamedTuple):
    """
    *votes*, one ``(B, C)`` of ones and zeros a member, and whether each *voted* ``(B, 1)``.

    *probabilities* ``(B, C)`` are of those who give them, by their places, the columns in the order of the classes.
    """

    votes: list[Value]
    voted: list[Value]
    probabilities: Mapping[int, Value]


def ballots(parameters: Mapping[str, Any], inputs: Mapping[str, Value]) -> Ballots:
    """The ballots of all members; who says nothing that is a class has no column."""
    classes = parameters["classes"]
    votes, probabilities = [], {}
    for member in range(len(parameters["members"])):
        label, given = inputs.get(f"label_{member}"), inputs.get(f"probabilities_{member}")
        said = [] if label is None else [_named(label, classes)]
        if given is not None:
            probabilities[member] = _in_order(given, parameters, member)
            sound = _sound(probabilities[member])
            said = [one & sound for one in said or [first_of(probabilities[member], len(classes))]]
        votes += said
    return Ballots([vote.cast(np.float64) for vote in votes], [vote.any() for vote in votes], probabilities)


def first_of(values: Value, classes: int) -> Value:
    """The truth ``(B, C)`` that a column is the first of those with the largest of *values* ``(B, C)``."""
    return one_at(place_of(values), classes)


def place_of(values: Value) -> Value:
    """Where the first of the largest of *values* ``(B, C)`` stands, ``(B, 1)``."""
    return values.apply("ArgMax", axis=1, keepdims=1, dtype=np.int64)


def one_at(place: Value, classes: int) -> Value:
    """The truth ``(B, C)`` that a column is the one at *place* ``(B, 1)``."""
    return place.equals(np.arange(classes)[None])


def _named(label: Value, classes: Sequence[str] | Sequence[int]) -> Value:
    """The class that *label*, ``(B, 1)`` or ``(B,)``, is called; no column where it is none."""
    column = label.reshape(-1, 1)
    if isinstance(classes[0], int):
        return column.cast(np.int64).equals(np.array([classes]))
    place = column.apply(
        "LabelEncoder",
        dtype=np.int64,
        domain="ai.onnx.ml",
        keys_strings=list(classes),
        values_int64s=list(range(len(classes))),
        default_int64=-1,
    )
    return one_at(place, len(classes))


def _in_order(given: Value, parameters: Mapping[str, Any], member: int) -> Value:
    order = (parameters.get("orders") or {}).get(f"probabilities_{member}")
    wide = given.cast(np.float64)
    return wide if order is None else wide.apply("Gather", wide.graph.constant(np.argsort(order)), axis=1)


def _sound(probabilities: Value) -> Value:
    """Whether they are probabilities ``(B, 1)``: none negative, and in sum one."""
    return (abs(probabilities.total() - 1.0) <= UNEVEN) & (probabilities.least() >= -TOLERANCE)
