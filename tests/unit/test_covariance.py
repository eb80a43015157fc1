"""Two-by-two covariances: what is refused is named where it stands."""

from __future__ import annotations

import numpy as np
import pytest

from sextant.covariance import (
    checked_covariance,
    determinant,
    eigenvalues,
    from_log_variances,
    from_sigmas,
    inverse,
    regular,
)
from sextant.ellipse import confidence_ellipse
from sextant.errors import CovarianceError


@pytest.mark.parametrize(
    ("sigmas", "place"),
    [([1, -2], "on axis 1"), ([[1, 1], [-2, 1]], "in row 1, axis 0"), ([[[1, -2], [3, 4]]], "in row 0, axis 1")],
)
def test_an_error_that_is_none_is_named_by_row_and_axis(sigmas, place):
    """With several members a row, the axis is the last index and not the member's."""
    with pytest.raises(CovarianceError, match=f"a standard deviation is negative: -2 {place}$"):
        from_sigmas(sigmas)


def test_a_logarithm_that_is_none_is_named_by_its_axis():
    with pytest.raises(CovarianceError, match="inf in row 0, axis 0$"):
        from_log_variances([[[0, 0], [np.inf, 0]]])


def test_a_determinant_is_the_product_of_the_eigenvalues():
    root = np.random.default_rng(0).normal(size=(100, 2, 2))
    covariance = root @ root.swapaxes(-1, -2)

    assert determinant(covariance) == pytest.approx(np.prod(eigenvalues(covariance), axis=0))
    assert determinant(covariance) == pytest.approx(np.linalg.det(covariance))


@pytest.mark.parametrize(
    ("covariance", "said"),
    [
        (1e200 * np.eye(2), r"is beyond 1e\+150, too large to be squared"),
        (1e308 * np.eye(2), r"is beyond 1e\+150, too large to be squared"),
        ([[1.0, 1e200], [1e200, 1.0]], r"is beyond 1e\+150, too large to be squared"),
        ([[1, 0], [0]], "expected covariances of numbers, got lists of unequal length"),
        ([["1", "0"], ["0", "1"]], "expected covariances of numbers, got text"),
        ([[1 + 0j, 0], [0, 1]], "expected covariances of numbers, got complex128"),
        ([[None, 0], [0, 1]], "expected covariances of numbers, got object"),
    ],
)
def test_what_no_determinant_can_be_of_is_refused(covariance, said):
    """A semi-minor axis came out infinite, or a variance of 1e308 was said to be negative."""
    with pytest.raises(CovarianceError, match=said):
        checked_covariance(covariance)


def test_the_largest_covariance_has_an_ellipse():
    assert confidence_ellipse(1e150 * np.eye(2), 1.0)[:2] == pytest.approx((1e75, 1e75))
    assert from_sigmas([1e65, 1e65]).max() < from_log_variances([300.0, 300.0]).max() < 1e150


@pytest.mark.parametrize("said", [["1", "2"], [[1], [1, 2]], [1j, 2]])
def test_errors_that_are_no_numbers_are_refused(said):
    with pytest.raises(CovarianceError, match="expected standard deviations, got"):
        from_sigmas(said)
    with pytest.raises(CovarianceError, match="expected logarithms of variances, got"):
        from_log_variances(said)


def test_a_rank_of_one_has_no_inverse_however_it_was_rounded():
    """The determinant of an outer product is what rounding leaves; a thin ellipse along an axis is no such thing."""
    directions = np.random.default_rng(3).normal(0, 10, (1000, 2))
    thin = np.array([[1e39, 0.0], [0.0, 1.0]])

    assert not regular(directions[:, :, None] * directions[:, None, :]).any()
    assert regular(thin)
    assert inverse(thin) @ thin == pytest.approx(np.eye(2))
