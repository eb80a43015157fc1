"""Whether confidences are kept: of what was said with 80, eighty in a hundred are right."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sextant.errors import CalibrationError
from sextant.tensors import Floats

BINS = 15
_DRAWS = 500


class Miscalibration(NamedTuple):
    """
    The expected calibration error of some rows, and what to make of it.

    *low* and *high* hold nine of ten resamplings of the rows; a resampling scatters more than the rows do, so near the
    floor both lie above the true error, and sometimes above *value*.  *floor* is what rows as many and with the same
    confidences would show if every one of them were true: below it nothing can be told.
    """

    value: float
    low: float
    high: float
    floor: float


def expected_calibration_error(probability: ArrayLike, right: ArrayLike, bins: int = BINS) -> float:
    """
    How far the share that is right lies from the probability that was said, averaged over bins of equal width.

    *probability* ``(N,)`` of being right as it was said, 0 to 1; *right* ``(N,)`` whether it was.

    >>> round(expected_calibration_error([0.9] * 10, [True] * 8 + [False] * 2), 6)
    0.1
    """
    said, was = _checked(probability, right)
    return _error(_place(said, bins), said - was)


def estimated_calibration_error(
    probability: ArrayLike, right: ArrayLike, bins: int = BINS, seed: int = 0
) -> Miscalibration:
    """
    The expected calibration error, the bounds of nine in ten resamplings of the rows, and the floor.

    A few hundred rows of a perfect forecaster show 0.02 to 0.03, so a bare number says little.
    """
    said, was = _checked(probability, right)
    rng = np.random.default_rng(seed)
    place, surplus = _place(said, bins), said - was
    resampled = []
    for _ in range(_DRAWS):  # one at a time: all at once are gigabytes for a hundred thousand rows
        rows = rng.integers(0, said.size, said.size)
        resampled.append(_error(place[rows], surplus[rows]))
    perfect = [_error(place, said - (rng.uniform(size=said.size) < said)) for _ in range(_DRAWS)]
    low, high = np.quantile(resampled, [0.05, 0.95])
    return Miscalibration(_error(place, surplus), float(low), float(high), float(np.mean(perfect)))


def brier_score(probability: ArrayLike, right: ArrayLike) -> float:
    """
    The mean squared difference between the *probability* of being right and what came; less is better.

    >>> round(brier_score([0.9, 0.6], [True, False]), 4)
    0.185
    """
    said, was = _checked(probability, right)
    return float(np.mean((said - was) ** 2))


def _place(said: Floats, bins: int) -> NDArray[np.intp]:
    return np.minimum((said * bins).astype(np.intp), bins - 1)


def _error(place: NDArray[np.intp], surplus: Floats) -> float:
    """The error of rows that said *surplus* too much, each in its bin."""
    return float(np.abs(np.bincount(place, surplus)).sum() / place.size)


def _checked(probability: ArrayLike, right: ArrayLike) -> tuple[Floats, Floats]:
    said, was = np.asarray(probability, dtype=np.float64), np.asarray(right, dtype=np.float64)
    if said.ndim != 1 or said.shape != was.shape or not said.size:
        raise CalibrationError(f"expected as many probabilities as outcomes, got {said.shape} and {was.shape}")
    if not np.all((said >= 0) & (said <= 1)):
        raise CalibrationError("a probability of being right lies between 0 and 1")
    if not np.all((was == 0) | (was == 1)):
        raise CalibrationError("an outcome is right or wrong, 1 or 0")
    return said, was
