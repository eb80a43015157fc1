"""Two-by-two covariances in east-north metres: which are admitted, and the arithmetic they share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sextant.errors import CovarianceError
from sextant.tensors import Floats

# Relative rounding forgiven in a matrix that came as FP64, and how many units in the last place of
# a coarser type: an FP32 network that multiplies L by L' is not symmetric to the last bit.
_ROUNDING = 1e-9
_LAST_PLACES = 8


def checked_covariance(covariance: ArrayLike) -> Floats:
    """
    The covariances, shape ``(..., 2, 2)``, in FP64, exactly symmetric and without a negative variance.

    What rounding explains is mended; anything else is refused with a ``CovarianceError`` that names
    the first bad one: NaN or infinity, asymmetry, a negative eigenvalue.

    >>> checked_covariance([[2, 1], [1, 2]]).tolist()
    [[2.0, 1.0], [1.0, 2.0]]
    """
    came = np.asarray(covariance)
    matrix = came.astype(np.float64)
    if matrix.shape[-2:] != (2, 2):
        raise CovarianceError(f"expected covariances of shape (..., 2, 2), got {matrix.shape}")
    rounding = _rounding(came.dtype)
    trace = matrix[..., 0, 0] + matrix[..., 1, 1]
    skew = matrix[..., 0, 1] - matrix[..., 1, 0]
    _refuse(~np.isfinite(matrix).all(axis=(-2, -1)), matrix, "is not finite")
    _refuse(np.abs(skew) > rounding * np.abs(trace), matrix, "is not symmetric")
    matrix[..., 0, 1] = matrix[..., 1, 0] = (matrix[..., 0, 1] + matrix[..., 1, 0]) / 2
    largest, smallest = eigenvalues(matrix)
    _refuse(~(smallest >= -rounding * largest), matrix, "has a negative variance")
    # Raised onto the cone rather than clipped later, so that sums of them stay on it too.
    matrix[..., (0, 1), (0, 1)] += np.maximum(-smallest, 0.0)[..., None]
    return matrix


def eigenvalues(covariance: Floats) -> tuple[Floats, Floats]:
    """
    The larger and the smaller eigenvalue of symmetric ``(..., 2, 2)``, each ``(...)``.

    The smaller is the determinant over the larger: half of trace less difference would lose every
    digit of a nearly singular matrix.
    """
    east, cross, north = covariance[..., 0, 0], covariance[..., 0, 1], covariance[..., 1, 1]
    largest = (east + north + np.hypot(east - north, 2 * cross)) / 2
    determinant = east * north - cross * cross
    least = np.array(np.minimum(east, north))
    return largest, np.divide(determinant, largest, out=least, where=largest > 0)


def inverse(covariance: Floats) -> Floats:
    """The inverse of each of ``(..., 2, 2)``; ``CovarianceError`` where there is none."""
    east, cross, north = covariance[..., 0, 0], covariance[..., 0, 1], covariance[..., 1, 1]
    determinant = east * north - cross * cross
    _refuse(~(determinant > 0), covariance, "is singular: it has no inverse")
    rows: Floats = np.stack([north, -cross, -cross, east], axis=-1) / determinant[..., None]
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
    determinant = np.asarray(east * north - cross * cross)
    nowhere_else = np.where((east_m == 0) & (north_m == 0), 0.0, np.inf)
    flat = np.broadcast_to(nowhere_else, np.broadcast_shapes(numerator.shape, determinant.shape)).copy()
    return np.divide(numerator, determinant, out=flat, where=determinant > 0)


def _rounding(dtype: np.dtype[Any]) -> float:
    if not np.issubdtype(dtype, np.floating):
        return _ROUNDING
    return max(_ROUNDING, _LAST_PLACES * float(np.finfo(dtype).eps))


def _refuse(bad: Any, matrix: Floats, fault: str) -> None:
    if not bad.any():
        return
    first = np.argwhere(bad)[0]
    place = f" {first.tolist()}" if first.size else ""
    raise CovarianceError(f"covariance{place} {fault}: {matrix[tuple(first)].tolist()}")
