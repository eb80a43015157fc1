"""Two-by-two covariances in east-north metres: which are admitted, and the arithmetic they share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sextant.arrays import real
from sextant.errors import CovarianceError
from sextant.tensors import Floats, Mask

# Relative rounding forgiven in a matrix that came as FP64, and how many units in the last place of
# a coarser type: an FP32 network that multiplies L by L' is not symmetric to the last bit.
ROUNDING = 1e-9
_LAST_PLACES = 8
# The least that a determinant may be of the product of the variances: below, it is what rounding left of them.
REGULAR = 1e-12
# A determinant is a product of two variances and must be a number, as must its inverse.
LARGEST_VARIANCE = 1e150
LARGEST_LOGARITHM = 300.0
LARGEST_SIGMA = 1e65


def checked_covariance(covariance: ArrayLike) -> Floats:
    """
    The covariances, shape ``(..., 2, 2)``, in FP64, exactly symmetric and without a negative variance.

    What rounding explains is mended; anything else is refused with a ``CovarianceError`` that names
    the first bad one: NaN or infinity, a variance too large to be squared, asymmetry, a negative eigenvalue.

    >>> checked_covariance([[2, 1], [1, 2]]).tolist()
    [[2.0, 1.0], [1.0, 2.0]]
    """
    came = real(covariance, lambda came: CovarianceError(f"expected covariances of numbers, got {came}"))
    matrix = came.astype(np.float64)
    if matrix.shape[-2:] != (2, 2):
        raise CovarianceError(f"expected covariances of shape (..., 2, 2), got {matrix.shape}")
    _refuse_beyond(matrix)
    rounding = forgiven_rounding(came.dtype)
    trace = matrix[..., 0, 0] + matrix[..., 1, 1]
    skew = matrix[..., 0, 1] - matrix[..., 1, 0]
    _refuse(np.abs(skew) > rounding * np.abs(trace), matrix, "is not symmetric")
    matrix[..., 0, 1] = matrix[..., 1, 0] = (matrix[..., 0, 1] + matrix[..., 1, 0]) / 2
    largest, smallest = eigenvalues(matrix)
    _refuse(~(smallest >= -rounding * largest), matrix, "has a negative variance")
    # Raised onto the cone rather than clipped later, so that sums of them stay on it too.
    matrix[..., (0, 1), (0, 1)] += np.maximum(-smallest, 0.0)[..., None]
    return matrix


def from_sigmas(sigmas: ArrayLike) -> Floats:
    """
    The covariances ``(..., 2, 2)`` of standard deviations ``(..., 2)`` along two axes, in their units.

    ``CovarianceError`` names the first that is not finite, negative, or too large to be squared twice.

    >>> from_sigmas([3.0, 0.5]).tolist()
    [[9.0, 0.0], [0.0, 0.25]]
    """
    deviations = _pairs(sigmas, "standard deviations")
    _refuse_each(~np.isfinite(deviations), deviations, "standard deviation", "is not finite")
    _refuse_each(deviations < 0, deviations, "standard deviation", "is negative")
    _refuse_each(deviations > LARGEST_SIGMA, deviations, "standard deviation", f"is above {LARGEST_SIGMA:g}")
    return _diagonal(deviations**2)


def from_log_variances(log_variances: ArrayLike) -> Floats:
    """
    The covariances ``(..., 2, 2)`` of natural logarithms of variances ``(..., 2)`` along two axes.

    The exponential is taken in FP64: a variance that FP32 has no number for, from a logarithm of 89 on, is kept.
    ``CovarianceError`` names the first that is not finite, or beyond what a determinant can hold.

    >>> from_log_variances(np.float32([0.0, 90.0])).diagonal().tolist()
    [1.0, 1.2204032943178408e+39]
    """
    logarithms = _pairs(log_variances, "logarithms of variances")
    _refuse_each(~np.isfinite(logarithms), logarithms, "logarithm of a variance", "is not finite")
    beyond = np.abs(logarithms) > LARGEST_LOGARITHM
    _refuse_each(beyond, logarithms, "logarithm of a variance", f"is farther than {LARGEST_LOGARITHM:g} from 0")
    return _diagonal(np.exp(logarithms))


def eigenvalues(covariance: Floats) -> tuple[Floats, Floats]:
    """
    The larger and the smaller eigenvalue of symmetric ``(..., 2, 2)``, each ``(...)``.

    The smaller is the determinant over the larger: half of trace less difference would lose every
    digit of a nearly singular matrix.
    """
    east, cross, north = covariance[..., 0, 0], covariance[..., 0, 1], covariance[..., 1, 1]
    largest = (east + north + np.hypot(east - north, 2 * cross)) / 2
    least = np.array(np.minimum(east, north))
    return largest, np.divide(determinant(covariance), largest, out=least, where=largest > 0)


def determinant(covariance: Floats) -> Floats:
    """
    The determinant ``(...)`` of symmetric ``(..., 2, 2)``: the product of its variances less its covariance squared.

    >>> float(determinant(np.array([[30.0, 12.0], [12.0, 50.0]])))
    1356.0
    """
    east, cross, north = covariance[..., 0, 0], covariance[..., 0, 1], covariance[..., 1, 1]
    return np.asarray(east * north - cross * cross)


def regular(covariance: Floats) -> Mask:
    """
    Which of ``(..., 2, 2)`` have an inverse that is no rounding: those in which no direction is without error.

    >>> regular(np.array([[[1.0, 0.0], [0.0, 1e40]], [[0.1, 0.3], [0.3, 0.9]]])).tolist()
    [True, False]
    """
    product = covariance[..., 0, 0] * covariance[..., 1, 1]
    return np.asarray((product > 0) & (determinant(covariance) > REGULAR * product))


def inverse(covariance: Floats) -> Floats:
    """The inverse of each of ``(..., 2, 2)`` that are checked already; ``CovarianceError`` where there is none."""
    east, cross, north = covariance[..., 0, 0], covariance[..., 0, 1], covariance[..., 1, 1]
    divisor = determinant(covariance)
    _refuse(~regular(covariance), covariance, "is singular: it has no inverse")
    rows: Floats = np.stack([north, -cross, -cross, east], axis=-1) / divisor[..., None]
    return rows.reshape(covariance.shape)


def turned(covariance: Floats, angle: Floats) -> Floats:
    """
    The covariances ``(..., 2, 2)`` after every bearing has grown by *angle* ``(...)``, in radians.

    >>> turned(np.diag([4.0, 1.0]), np.float64(np.pi / 4)).round(12).tolist()
    [[2.5, -1.5], [-1.5, 2.5]]
    """
    cos, sin = np.cos(angle), np.sin(angle)
    east, cross, north = covariance[..., 0, 0], covariance[..., 0, 1], covariance[..., 1, 1]
    mixed = 2 * cos * sin * cross
    turned_cross = cos * sin * (north - east) + (cos * cos - sin * sin) * cross
    rows = [
        cos * cos * east + mixed + sin * sin * north,
        turned_cross,
        turned_cross,
        sin * sin * east - mixed + cos * cos * north,
    ]
    together: Floats = np.stack(rows, axis=-1)
    return together.reshape(*together.shape[:-1], 2, 2)


def mahalanobis_squared(residual: Floats, covariance: Floats) -> Floats:
    """
    How far each of ``(..., 2)`` lies out, squared, in the metric of ``(..., 2, 2)``; infinite where
    singular.
    """
    east, cross, north = covariance[..., 0, 0], covariance[..., 0, 1], covariance[..., 1, 1]
    east_m, north_m = residual[..., 0], residual[..., 1]
    numerator = north * east_m**2 - 2 * cross * east_m * north_m + east * north_m**2
    divisor = determinant(covariance)
    regular = divisor > 0
    flat = np.where((east_m == 0) & (north_m == 0) | regular, 0.0, np.inf)
    return np.divide(numerator, divisor, out=flat, where=regular)


def forgiven_rounding(dtype: np.dtype[Any]) -> float:
    """
    The relative rounding forgiven in a matrix that came as *dtype*.

    >>> forgiven_rounding(np.dtype(np.float64)), round(forgiven_rounding(np.dtype(np.float32)), 9)
    (1e-09, 9.54e-07)
    """
    if not np.issubdtype(dtype, np.floating):
        return ROUNDING
    return max(ROUNDING, _LAST_PLACES * float(np.finfo(dtype).eps))


def _pairs(values: ArrayLike, noun: str) -> Floats:
    came = real(values, lambda came: CovarianceError(f"expected {noun}, got {came}"))
    pairs = came.astype(np.float64)
    if pairs.ndim == 0 or pairs.shape[-1] != 2:
        raise CovarianceError(f"expected {noun} of shape (..., 2), got {pairs.shape}")
    return pairs


def _diagonal(variances: Floats) -> Floats:
    covariance = np.zeros((*variances.shape, 2))
    covariance[..., (0, 1), (0, 1)] = variances
    return covariance


def _refuse_beyond(matrix: Floats) -> None:
    unfit = ~(np.abs(matrix) <= LARGEST_VARIANCE)
    if unfit.any():
        _refuse(~np.isfinite(matrix).all(axis=(-2, -1)), matrix, "is not finite")
        _refuse(unfit.any(axis=(-2, -1)), matrix, f"is beyond {LARGEST_VARIANCE:g}, too large to be squared")


def _refuse_each(bad: Any, values: Floats, noun: str, fault: str) -> None:
    if bad.any():
        first = np.argwhere(bad)[0].tolist()
        place = f"in row {first[0]}, axis {first[-1]}" if len(first) > 1 else f"on axis {first[0]}"
        raise CovarianceError(f"a {noun} {fault}: {values[tuple(first)]:g} {place}")


def _refuse(bad: Any, matrix: Floats, fault: str) -> None:
    if not bad.any():
        return
    first = np.argwhere(bad)[0]
    place = f" {first.tolist()}" if first.size else ""
    raise CovarianceError(f"covariance{place} {fault}: {matrix[tuple(first)].tolist()}")
