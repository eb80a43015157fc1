from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import f as f_distribution

from sextant.ellipse import confidence_ellipse, mahalanobis_radius, probability_within, small_sample_radius
from sextant.errors import CovarianceError, ParametersError

K95 = 2.447746830680816


@pytest.mark.parametrize(
    ("level", "radius"),
    [(0.5, 1.1774100225154747), (0.9, 2.145966026289347), (0.95, K95), (0.999, 3.7169221888498383)],
)
def test_the_radius_is_that_of_two_dimensions(level, radius):
    assert mahalanobis_radius(level) == pytest.approx(radius, rel=1e-12)


@pytest.mark.parametrize(("radius", "level"), [(1, 0.39346934), (1.96, 0.85351028), (2, 0.86466472)])
def test_k_sigma_is_not_what_one_dimension_says(radius, level):
    assert probability_within(radius) == pytest.approx(level, abs=1e-8)


@pytest.mark.parametrize("level", [0.0, 1.0, -0.1, 95, float("nan")])
def test_certainty_and_percent_are_refused_as_levels(level):
    with pytest.raises(ParametersError, match="between 0 and 1"):
        mahalanobis_radius(level)


@pytest.mark.parametrize(
    ("covariance", "major", "minor", "bearing"),
    [
        ([[100, 0], [0, 100]], 24.477468306808163, 24.477468306808163, 0),
        ([[400, 0], [0, 100]], 48.954936613616326, 24.477468306808163, 90),
        ([[100, 0], [0, 400]], 48.954936613616326, 24.477468306808163, 0),
        ([[250, 150], [150, 250]], 48.954936613616326, 24.477468306808163, 45),
        ([[250, -150], [-150, 250]], 48.954936613616326, 24.477468306808163, 135),
        ([[30, 12], [12, 50]], 18.255088330622556, 12.085897310907725, 25.097214453867405),
        ([[1e4, 9999.5], [9999.5, 1e4]], 346.1593494474561, 1.7308183826022852, 45),
        ([[25, 0], [0, 0]], 12.238734153404081, 0, 90),
        ([[1e10, 0], [0, 1]], 244774.68306808162, 2.447746830680816, 90),
        ([[0, 0], [0, 0]], 0, 0, 0),
    ],
)
def test_axes_and_bearing_at_95_percent(covariance, major, minor, bearing):
    ellipse = confidence_ellipse(covariance, K95)

    assert ellipse.semi_major_m == pytest.approx(major, rel=1e-9)
    assert ellipse.semi_minor_m == pytest.approx(minor, rel=1e-9)
    assert ellipse.orientation_deg == pytest.approx(bearing, abs=1e-6)


@pytest.mark.parametrize(
    ("covariance", "degenerate"),
    [
        ([[25, 0], [0, 0]], True),
        ([[0, 0], [0, 0]], True),
        ([[1, 1], [1, 1]], True),
        ([[1, 1 + 4e-10], [1 + 4e-10, 1]], True),
        ([[1e10, 0], [0, 1]], False),
        ([[1e4, 9999.5], [9999.5, 1e4]], False),
    ],
)
def test_a_line_is_flagged_and_a_thin_ellipse_is_not(covariance, degenerate):
    ellipse = confidence_ellipse(covariance, 1.0)

    assert ellipse.degenerate.item() is degenerate
    assert np.isfinite(ellipse.semi_minor_m)


@pytest.mark.parametrize(
    ("covariance", "fault"),
    [
        ([[1, 2], [2, 1]], "negative variance"),
        ([[-1, 0], [0, -1]], "negative variance"),
        ([[1, 0], [0, -1e-6]], "negative variance"),
        ([[1, 0.5], [0.4, 1]], "not symmetric"),
        ([[np.nan, 0], [0, 1]], "not finite"),
        ([[np.inf, 0], [0, 1]], "not finite"),
        ([1, 2, 3], "shape"),
    ],
)
def test_a_matrix_no_point_could_have_is_refused(covariance, fault):
    with pytest.raises(CovarianceError, match=fault):
        confidence_ellipse(covariance, 1.0)


def test_the_refusal_names_the_first_bad_one_of_a_batch():
    batch = np.tile(np.eye(2), (5, 1, 1))
    batch[3, 0, 0] = np.nan

    with pytest.raises(CovarianceError, match=r"covariance \[3\]"):
        confidence_ellipse(batch, 1.0)


def test_rounding_in_fp32_is_forgiven_and_in_fp64_is_not():
    skewed = np.array([[4.0, 1.0], [1.0 + 2e-7, 1.0]])

    single = confidence_ellipse(skewed.astype(np.float32), 1.0)

    assert single.semi_major_m == pytest.approx(2.074, abs=1e-3)
    with pytest.raises(CovarianceError, match="symmetric"):
        confidence_ellipse(skewed, 1.0)


def test_a_bearing_is_never_180():
    """A bearing a hair west of north comes out of the modulus as 180, which is not in [0, 180)."""
    ellipse = confidence_ellipse([[1.0, -1e-16], [-1e-16, 4.0]], 1.0)

    assert ellipse.orientation_deg == 0.0


def test_a_batch_keeps_its_shape():
    ellipse = confidence_ellipse(np.tile(np.eye(2), (3, 4, 1, 1)), np.ones(4))

    assert {part.shape for part in ellipse} == {(3, 4)}


@given(
    st.floats(1e-3, 1e6),
    st.floats(1e-3, 1.0),
    st.floats(0.0, 179.999),
    st.sampled_from([0.5, 0.9, 0.95, 0.99]),
)
def test_the_ellipse_gives_back_the_covariance_it_came_from(deviation, ratio, bearing, level):
    major, across = (deviation, deviation * ratio), np.deg2rad(bearing)
    along = np.array([np.sin(across), np.cos(across)])
    aside = np.array([-np.cos(across), np.sin(across)])
    covariance = major[0] ** 2 * np.outer(along, along) + major[1] ** 2 * np.outer(aside, aside)

    ellipse = confidence_ellipse(covariance, mahalanobis_radius(level))

    assert ellipse.semi_major_m == pytest.approx(deviation * mahalanobis_radius(level), rel=1e-9)
    assert ellipse.semi_minor_m == pytest.approx(deviation * ratio * mahalanobis_radius(level), rel=1e-6)
    if ratio < 0.99:
        assert (ellipse.orientation_deg - bearing + 90) % 180 - 90 == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("level", [0.3935, 0.5, 0.9, 0.95, 0.99])
def test_the_stated_share_of_drawn_points_falls_inside(level):
    """A hundred thousand draws; three standard deviations of their share are 0.005 at most."""
    covariance = np.array([[30.0, 12.0], [12.0, 50.0]])
    east, north = np.random.default_rng(7).multivariate_normal([0, 0], covariance, 100_000).T

    ellipse = confidence_ellipse(covariance, mahalanobis_radius(level))

    bearing = np.deg2rad(ellipse.orientation_deg)
    along = (east * np.sin(bearing) + north * np.cos(bearing)) / ellipse.semi_major_m
    across = (east * np.cos(bearing) - north * np.sin(bearing)) / ellipse.semi_minor_m
    share = np.mean(along**2 + across**2 <= 1)
    assert share == pytest.approx(level, abs=3 * np.sqrt(level * (1 - level) / 100_000))


@pytest.mark.parametrize("radius", [-1.0, float("nan"), [1.0, -0.1]])
def test_a_radius_below_zero_is_refused(radius):
    with pytest.raises(ParametersError, match="Mahalanobis radius of 0 or more"):
        confidence_ellipse(np.eye(2), radius)


# Draws, the radius their spread needs for 95 %, and what the chi-square radius really holds.
SMALL_SAMPLES = [
    (3, 32.62, 0.445),
    (4, 8.441, 0.615),
    (5, 5.529, 0.703),
    (8, 3.674, 0.817),
    (10, 3.322, 0.849),
    (20, 2.807, 0.906),
    (50, 2.578, 0.934),
    (100, 2.511, 0.942),
]


@pytest.mark.parametrize(("draws", "needed", "_held"), SMALL_SAMPLES)
def test_the_radius_of_few_draws_is_that_of_the_table(draws, needed, _held):
    assert small_sample_radius(0.95, draws) == pytest.approx(needed, rel=2e-4)


@pytest.mark.parametrize("level", [1e-6, 0.5, 0.9, 0.95, 0.999])
def test_the_radius_of_few_draws_is_hotellings(level):
    draws = np.array([3, 4, 7, 30, 1000])
    quantile = f_distribution.ppf(level, 2, draws - 2)

    wanted = np.sqrt((draws + 1) / draws * 2 * (draws - 1) / (draws - 2) * quantile)

    assert small_sample_radius(level, draws) == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize(("draws", "_needed", "held"), SMALL_SAMPLES)
def test_the_ellipse_of_few_draws_holds_the_next_one_and_chi_square_does_not(draws, _needed, held):
    """Three standard deviations of 40,000 trials are 0.0033 at 0.95 and 0.0075 at one half."""
    trials = 40_000
    points = np.random.default_rng(draws).multivariate_normal([0, 0], [[30, 12], [12, 50]], (trials, draws + 1))
    seen, following = points[:, :-1], points[:, -1]
    offsets = seen - seen.mean(axis=1, keepdims=True)
    spread = np.einsum("tni,tnj->tij", offsets, offsets) / (draws - 1)
    away = following - seen.mean(axis=1)

    squared = np.einsum("ti,tij,tj->t", away, np.linalg.inv(spread), away)

    assert np.mean(squared <= small_sample_radius(0.95, draws) ** 2) == pytest.approx(0.95, abs=0.0033)
    assert np.mean(squared <= mahalanobis_radius(0.95) ** 2) == pytest.approx(held, abs=0.008)


def test_many_draws_know_their_spread():
    assert small_sample_radius(0.95, 10_000_000) == pytest.approx(K95, rel=1e-6)


@pytest.mark.parametrize("draws", [2, 1, 0, [5, 2], float("nan")])
def test_fewer_than_three_draws_have_no_ellipse(draws):
    with pytest.raises(ParametersError, match="needs at least 3 of them; got"):
        small_sample_radius(0.95, draws)
