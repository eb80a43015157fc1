"""Rows on the edges of what is known: the ends of every column, zeros, denormals, thresholds, gaps, strange words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sextant_export.difference import comparable, real
from sextant_export.signature import Arrays, Feed
from sextant_export.value_space import ValueSpace

Thresholds: TypeAlias = Mapping[tuple[str, int], NDArray[np.float64]]
"""By input and column: where a tree of the copy splits."""
Spaces: TypeAlias = Sequence[ValueSpace]
_Flat: TypeAlias = dict[str, NDArray[Any]]

GROUPS = 64
"""Wider tables share these rows among their columns, so that every column has its turn."""
MOST_THRESHOLDS = 100
MOST_WORDS = 32
UNSEEN = "sextant-unseen"
EXTREMES, ZEROS, DENORMALS, PLACED, GAPS, WORDS = (
    "column ends",
    "zeros",
    "denormals",
    "tree thresholds",
    "missing values",
    "words",
)
_DENORMALS = {2: (6e-8, 3e-5), 4: (1e-45, 1e-39), 8: (1e-45, 1e-39)}


def edge_rows(
    spaces: Spaces,
    random: np.random.Generator,
    thresholds: Thresholds,
    original: Callable[[Feed], Arrays] | None,
) -> Iterator[tuple[str, Feed]]:
    """
    Each kind of edge with its rows; the other columns of a row hold what is known.

    Missing values and words that nobody saw are asked only where *original* answers them.
    """
    yield EXTREMES, _shaped(spaces, _extremes(spaces, random))
    yield ZEROS, _shaped(spaces, _zeros(spaces, random))
    yield DENORMALS, _shaped(spaces, _denormals(spaces, random))
    yield PLACED, _shaped(spaces, _on_thresholds(spaces, random, thresholds))
    if original is not None:
        yield GAPS, accepted(original, _shaped(spaces, _gaps(spaces, random)))
    yield WORDS, _shaped(spaces, _seen_words(spaces, random))
    if original is not None:
        yield WORDS, accepted(original, _shaped(spaces, _strange_words(spaces, random)))


def accepted(original: Callable[[Feed], Arrays], feed: Feed) -> Feed:
    """Those rows of *feed* that *original* answers, and with finite numbers."""
    count = len(next(iter(feed.values()), ()))
    try:
        finite = _finite(original(feed)) if count else np.zeros(0, dtype=bool)
    except Exception:  # noqa: BLE001  whatever a model raises, it is a refusal
        if count == 1:
            return {name: array[:0] for name, array in feed.items()}
        each = [accepted(original, {name: array[[i]] for name, array in feed.items()}) for i in range(count)]
        return {name: np.concatenate([part[name] for part in each]) for name in feed}
    return {name: array[finite] for name, array in feed.items()}


def _finite(answers: Arrays) -> NDArray[np.bool_]:
    """Which rows are answered without a gap; words have none."""
    columns = (comparable(array) for array in answers.values())
    whole = [np.isfinite(a).all(axis=1) if real(a) else np.ones(len(a), bool) for a in columns]
    return np.asarray(np.all(whole, axis=0))


def _extremes(spaces: Spaces, random: np.random.Generator) -> _Flat:
    """Each column at its lowest and at its highest, then all at their lowest, all at their highest."""
    groups = _groups([space for space in spaces if not space.words])
    count = max((int(group.max()) for group in groups.values()), default=-1) + 1
    rows = _base(spaces, 2 * count + 2, random)
    for space in spaces:
        if not space.words:
            group, columns, flat = groups[space.tensor.name], np.arange(space.width), rows[space.tensor.name]
            flat[2 * group, columns], flat[2 * group + 1, columns] = space.low, space.high
            flat[-2], flat[-1] = space.low, space.high
    return rows if count else _base(spaces, 0, random)


def _zeros(spaces: Spaces, random: np.random.Generator) -> _Flat:
    """Every column that may be zero is, and is negative zero."""
    return _everywhere(spaces, random, lambda space: space.rows.dtype.kind != "b", (0.0, -0.0))


def _denormals(spaces: Spaces, random: np.random.Generator) -> _Flat:
    """Every real column that may be zero is almost."""
    sizes = [_DENORMALS[space.rows.dtype.itemsize] for space in spaces if space.rows.dtype.kind == "f"]
    return _everywhere(spaces, random, lambda space: space.real, max(sizes, default=()))


def _everywhere(
    spaces: Spaces, random: np.random.Generator, where: Callable[[ValueSpace], Any], values: Sequence[float]
) -> _Flat:
    """For each of *values* a row that holds it wherever a column's range does; none where no column's does."""
    within = {s.tensor.name: where(s) & (s.low <= 0) & (s.high >= 0) & (s.low < s.high) for s in spaces if not s.words}
    rows = _base(spaces, len(values) if any(mask.any() for mask in within.values()) else 0, random)
    for space in spaces:
        for row, value in zip(rows[space.tensor.name], values, strict=False):
            if not space.words:
                signed = np.where(space.high > 0, value, -value).astype(row.dtype)
                row[:] = np.where(within[space.tensor.name], signed, row)
    return rows


def _on_thresholds(spaces: Spaces, random: np.random.Generator, thresholds: Thresholds) -> _Flat:
    """A column at a threshold and one float32 unit in the last place to both sides of it."""
    by_name = {space.tensor.name: space for space in spaces if space.rows.dtype.kind in "fiu"}
    known = [(key, value) for key, values in sorted(thresholds.items()) if key[0] in by_name for value in values]
    chosen = [known[i] for i in _spread(len(known), MOST_THRESHOLDS)]
    rows = _base(spaces, 3 * len(chosen), random)
    for i, ((name, column), value) in enumerate(chosen):
        rows[name][3 * i : 3 * i + 3, column] = _sides(value, bool(by_name[name].whole[column]))
    return rows


def _sides(value: float, whole: bool) -> NDArray[Any]:
    if whole:
        return np.array([np.floor(value), np.rint(value), np.ceil(value)])
    near = np.float32(value)
    return np.array([near, np.nextafter(near, np.float32(-np.inf)), np.nextafter(near, np.float32(np.inf))])


def _gaps(spaces: Spaces, random: np.random.Generator) -> _Flat:
    """NaN in each real column, then in all."""
    groups = _groups([space for space in spaces if space.real.any()])
    count = max((int(group.max()) for group in groups.values()), default=-1) + 1
    rows = _base(spaces, count + 1 if count else 0, random)
    for space in spaces:
        if space.tensor.name in groups:
            flat, columns = rows[space.tensor.name], np.flatnonzero(space.real)
            flat[groups[space.tensor.name][columns], columns] = np.nan
            flat[-1, columns] = np.nan
    return rows


def _seen_words(spaces: Spaces, random: np.random.Generator) -> _Flat:
    """Every word that was seen, or as many as thirty-two of each column."""
    seen = {s.tensor.name: [_distinct(s.rows[:, i]) for i in range(s.width)] for s in spaces if s.words}
    rows = _base(spaces, max((len(words) for each in seen.values() for words in each), default=0), random)
    for name, each in seen.items():
        for column, words in enumerate(each):
            rows[name][:, column] = [words[i % len(words)] for i in range(len(rows[name]))]
    return rows


def _strange_words(spaces: Spaces, random: np.random.Generator) -> _Flat:
    """A word that was never seen, and none at all, in each column of words."""
    cells = [(space, column) for space in spaces if space.words for column in range(space.width)][:GROUPS]
    rows = _base(spaces, 2 * len(cells), random)
    for i, (space, column) in enumerate(cells):
        text = isinstance(space.rows[0, column], str)
        rows[space.tensor.name][2 * i, column] = UNSEEN if text else UNSEEN.encode()
        rows[space.tensor.name][2 * i + 1, column] = "" if text else b""
    return rows


def _base(spaces: Spaces, count: int, random: np.random.Generator) -> _Flat:
    """*count* rows that are known, to write into."""
    index = random.integers(max(len(space.rows) for space in spaces), size=count)
    return {space.tensor.name: space.known(index).copy() for space in spaces}


def _shaped(spaces: Spaces, rows: _Flat) -> Feed:
    return {space.tensor.name: space.shaped(rows[space.tensor.name]) for space in spaces}


def _groups(spaces: Spaces) -> dict[str, NDArray[np.int64]]:
    """Which of at most sixty-four rows each column has its turn in."""
    starts = np.cumsum([0, *(space.width for space in spaces)])
    return {s.tensor.name: (start + np.arange(s.width)) % GROUPS for s, start in zip(spaces, starts[:-1], strict=True)}


def _spread(count: int, most: int) -> NDArray[np.int64]:
    """At most *most* places, evenly over *count*."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64)) if count else np.arange(0)


def _distinct(words: NDArray[Any]) -> list[Any]:
    return sorted(set(words.tolist()))[:MOST_WORDS]
