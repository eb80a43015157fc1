"""
Why a copy answers a row differently: three causes, and none of them is a tolerance.

``tie``
    Only the label differs, and the original's own two best labels are as probable as makes no difference.
``float32``
    The original itself, asked the same row a few float32 units in the last place aside, gives the copy's answer: a
    tree splits or two neighbours tie there, and no copy that computes in float32 can know which side is meant.
``unexplained``
    Neither. The copy is another model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sextant_export.difference import Tolerance, comparable, excess, real
from sextant_export.signature import Arrays, Feed

FLOAT32, TIE, UNEXPLAINED = "float32", "tie", "unexplained"
EXPLAINED = FLOAT32, TIE
ULPS = 4
NUDGES = 16
# Where sixteen did not find the copy's answer, as many again, this often: a forest is many thresholds at once.
ROUNDS = 4
SEED = 0
BATCH = 16

Rows = NDArray[np.int64]
Marks = NDArray[np.bool_]
Tolerances = Mapping[str, Tolerance]


def tied(expected: Arrays, given: Arrays, rows: Rows, tolerances: Tolerances) -> Marks:
    """Which of *rows* differ in nothing real, while the original finds its two best labels equally probable."""
    near, close = np.ones(len(rows), dtype=bool), np.zeros(len(rows), dtype=bool)
    for name, tolerance in tolerances.items():
        answers = comparable(expected[name])[rows]
        if real(answers):
            near &= tolerance.ratio(answers, comparable(given[name])[rows]) <= 1
            close |= _lead(answers) <= tolerance.value
    return np.asarray(near & close)


def beside_an_edge(
    given: Arrays, original: Callable[[Feed], Arrays], feed: Feed, rows: Rows, tolerances: Tolerances
) -> Marks:
    """
    Which of *rows* the original answers as the copy does once they are moved by a few units in the last place.

    That its own answer merely jumps there is no excuse: a row of zeros that is brought to length one jumps for every
    original, and a copy that divides by zero there is wrong.
    """
    reached = np.zeros(len(rows), dtype=bool)
    if not any(array.dtype.kind in "fiu" for array in feed.values()):
        return reached
    sizes = {name: largest(array) for name, array in feed.items()}
    for turn in range(ROUNDS):
        for left in _batches(np.flatnonzero(~reached)):
            moved = {name: nudged(array[rows[left]], sizes[name], turn) for name, array in feed.items()}
            copied = {name: np.repeat(array[rows[left]], NUDGES, axis=0) for name, array in given.items()}
            ratios = excess(tolerances, original(moved), copied).reshape(len(left), NUDGES)
            reached[left] = (ratios <= 1).any(axis=1)
    return reached


def nudged(array: NDArray[Any], sizes: NDArray[np.float64], turn: int) -> NDArray[Any]:
    """
    Each row of *array* sixteen times, moved by up to four float32 units in the last place of its values.

    The first *turn* rounds to float32 and steps together, the later ones at random; every other one by units of
    *sizes*, the largest values of each column, which is what a sum with them loses. Whole numbers are only rounded.
    """
    again = np.repeat(array, NUDGES, axis=0)
    if array.dtype.kind in "iu":
        return _rounded(again)
    if array.dtype.kind != "f":
        return again
    with np.errstate(over="ignore", invalid="ignore"):
        steps = _steps(array.shape, turn).reshape(again.shape)
        unit = _unit(array.dtype)
        size = np.abs(again) if turn % 2 == 0 else np.broadcast_to(sizes, again.shape)
        moved = again.astype(unit).astype(np.float64) + steps * np.spacing(size.astype(unit)).astype(np.float64)
        return np.asarray(moved.astype(array.dtype))


def _steps(shape: tuple[int, ...], turn: int) -> NDArray[np.float64]:
    """(rows, nudges, ...) units to move by; in later turns about half the values stay where they are."""
    random = np.random.default_rng((SEED, turn))
    size = (shape[0], NUDGES, *shape[1:])
    steps = random.integers(-ULPS, ULPS, size=size, endpoint=True).astype(np.float64)
    if turn:
        return np.where(random.random(size) < 0.5, steps, 0.0)
    together = np.array([0, 1, -1, ULPS, -ULPS])
    steps[:, : len(together)] = together.reshape(1, -1, *[1] * (len(shape) - 1))
    return steps


def _unit(dtype: np.dtype[Any]) -> Any:
    return np.float16 if dtype == np.float16 else np.float32


def _rounded(whole: NDArray[Any]) -> NDArray[Any]:
    """Whole numbers as float32 holds them, which beyond 2^24 is not as they are."""
    near = whole.astype(np.float32).astype(np.float64)
    fits = np.abs(near) < 2.0**62
    return np.where(fits, np.where(fits, near, 0).astype(whole.dtype), whole)


def largest(array: NDArray[Any]) -> NDArray[np.float64]:
    """The largest finite size in each column."""
    if array.dtype.kind != "f":
        return np.zeros(array.shape[1:])
    return np.asarray(np.where(np.isfinite(array), np.abs(array), 0).max(axis=0, initial=0), dtype=np.float64)


def _lead(answers: NDArray[Any]) -> NDArray[np.float64]:
    """By how much the largest of a row leads the next; infinite where there is nothing to lead."""
    if answers.shape[1] < 2:
        return np.full(len(answers), np.inf)
    best = np.sort(answers.astype(np.float64), axis=1)
    return np.asarray(np.nan_to_num(best[:, -1] - best[:, -2], nan=np.inf))


def _batches(rows: Rows) -> list[Rows]:
    return [rows[i : i + BATCH] for i in range(0, len(rows), BATCH)]
