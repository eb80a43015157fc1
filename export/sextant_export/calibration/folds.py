"""Known cases in folds: what is learned of the others is judged on each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sextant.conform import conformal_radius, fewest_rows
from sextant.errors import CalibrationError
from sextant.tensors import Floats, Mask
from sextant_export.calibration.facts import Facts, belonging, counted

FOLDS = 5
_HALVES = 2
_MOST_WHOLE = 10
_SEED = 15


def random_folds(rows: int, group: NDArray[Any] | None = None) -> NDArray[np.intp]:
    """
    Which of five folds each of *rows* is in, as even and as random as can be, the same every time.

    Rows of one *group* (N,), such as a walk, stay in one fold, for they are all but copies of one another;
    ``CalibrationError`` for fewer groups than folds.
    """
    places = belonging(rows, group)
    groups = int(places.max(initial=-1)) + 1
    if group is not None and groups < FOLDS:
        said = f"the known cases belong to {groups} groups, and a confidence is judged on {FOLDS} folds"
        raise CalibrationError(said)
    dealt: NDArray[np.intp] = np.random.default_rng(_SEED).permutation(np.arange(groups) % FOLDS)
    return np.asarray(dealt[places])


def ordered_folds(place: NDArray[np.intp], group: NDArray[Any] | None = None) -> NDArray[np.intp]:
    """
    Which fold each row is in, as they follow one another: the first half of the file or the second.

    Rows at each *place* (N,), which are calibrated apart, are halved by themselves.  Where a *group* (N,) is known, up
    to ten folds of whole groups instead.  Halves, because nine tenths of a file are too much like the whole of it: of
    errors that double on the way, 95 % radii hold .949 in ten stretches, .924 in halves, and .883 of what comes next.

    >>> ordered_folds(np.array([0, 0, 0, 1, 1])).tolist(), ordered_folds(np.zeros(5), np.array(list("bbaac"))).tolist()
    ([0, 0, 1, 0, 1], [0, 0, 1, 1, 2])
    """
    if group is not None:
        _, first, named = np.unique(group, return_index=True, return_inverse=True)
        return np.asarray(_stretches(np.argsort(np.argsort(first)), _MOST_WHOLE)[named.ravel()])
    fold = np.empty(place.size, dtype=np.intp)
    for one in np.unique(place):
        here = np.flatnonzero(place == one)
        fold[here] = _stretches(np.arange(here.size), _HALVES)
    return fold


def _stretches(order: NDArray[np.intp], most: int) -> NDArray[np.intp]:
    """Which of *most* stretches, or fewer, each is in of what stands in this *order*, 0 to N - 1."""
    return np.asarray(order * min(most, order.size) // order.size)


class Judged(NamedTuple):
    """
    Whether what other folds teach holds each known case.

    *held* (N, L) is 1 or 0 at each level, and nan where the others are too few for it; *fold* (N,) is each case's own,
    and so is the group *own* (N,).
    """

    held: Floats
    fold: NDArray[np.intp]
    own: NDArray[np.intp]

    def of(self, rows: Mask) -> Judged:
        """Those of *rows*."""
        return Judged(self.held[rows], self.fold[rows], self.own[rows])

    @property
    def alone(self) -> bool:
        """Whether each case is a group by itself."""
        return len(np.unique(self.own)) == len(self.own)

    def coverage(self, level: int) -> Facts:
        """The share that is held at the *level* of this place, with its 95 % interval; nothing where it is unknown."""
        held = self.held[:, level]
        if np.isnan(held).any():
            return {}
        by_fold = [round(float(held[self.fold == each].mean()), 6) for each in np.unique(self.fold)]
        return {**counted(held > 0, "coverage", self.own), "coverage_by_fold": by_fold}


def judged(
    crossed: Floats,
    levels: Sequence[float],
    fold: NDArray[np.intp],
    place: NDArray[np.intp],
    own: NDArray[np.intp],
) -> Judged:
    """
    Each case by the radius of *levels* that the cases of other folds set, of those at the same *place* (N,).

    *crossed* (F, N) are the scores of all cases by what those teach that are not in each *fold* (N,); *own* (N,) is the
    group of each.

    >>> scores, half = np.array([[1.0, 2.0, 3.0, 4.0]] * 2), np.array([0, 0, 1, 1])
    >>> judged(scores, [0.6], half, np.zeros(4, int), np.arange(4)).coverage(0)["coverage_by_fold"]
    [1.0, 0.0]
    """
    held = np.full((fold.size, len(levels)), np.nan)
    for each, scores in enumerate(crossed):
        for one in np.unique(place[fold == each]):
            here = place == one
            out, others = here & (fold == each), scores[here & (fold != each)]
            for i, level in enumerate(levels):
                held[out, i] = _held(scores[out], others, level)
    return Judged(held, fold, own)


def _held(scores: Floats, others: Floats, level: float) -> Floats:
    if others.size < fewest_rows(level) or np.isnan(others).any():
        return np.full(scores.size, np.nan)
    return (scores <= conformal_radius(others, level)).astype(np.float64)
