"""Each method, on the plane and on the earth, and what each is too sure of: the traps that others fall into."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sextant.ellipse import mahalanobis_radius, small_sample_radius
from sextant.errors import CovarianceError, FusionError
from sextant.fuse import fuse, fuse_about
from sextant.geodesy import karcher_mean, to_east_north, to_latitude_longitude, transport
from sextant.intersection import intersection_weights

VECTORS = Path(__file__).parents[3] / "shared" / "reference" / "science_vectors.json"
MEANS = np.array([[0.0, 0.0], [30.0, 10.0], [-10.0, 20.0]])
COVARIANCES = np.array([[[100.0, 0], [0, 400]], [[225, 50], [50, 100]], [[400, -100], [-100, 225]]])
MUNICH = (48.137, 11.575)
EVERYWHERE = [(48.137, 11.575), (0.0, 179.9999), (-89.9995, 20.0), (71.0, -179.9995)]
METHODS = {
    "moment": {},
    "covariance_intersection": {"method": "covariance_intersection"},
    "inverse_variance": {"method": "inverse_variance"},
}


def about_origin(method, means=MEANS, covariances=COVARIANCES, **options):
    fix = fuse_about(MUNICH, means[None], covariances, gate=None, **METHODS[method], **options)
    return to_east_north(MUNICH, fix.position)[0], transport(fix.covariance[0], fix.position[0], MUNICH)


@pytest.mark.parametrize(
    ("method", "vector"),
    [("moment", "moment"), ("covariance_intersection", "ci_det"), ("inverse_variance", "inverse_variance")],
)
def test_a_method_reaches_its_science_vector(method, vector):
    if not VECTORS.exists():
        pytest.skip("needs shared/reference/science_vectors.json beside the checkout")
    told = json.loads(VECTORS.read_text())["fusion"][vector]

    mean, covariance = about_origin(method)

    assert mean == pytest.approx(told["mean"], rel=1e-9, abs=1e-6)
    assert covariance == pytest.approx(np.array(told.get("total") or told["cov"]), rel=1e-9)


def test_intersection_of_given_weights():
    equal = np.full(3, 1 / 3)

    mean, covariance = about_origin("covariance_intersection", weights=equal)

    assert mean == pytest.approx([7.344300822561692, 7.156286721504113], abs=1e-6)
    assert covariance.ravel() == pytest.approx([169.2126909518, 11.2808460635, 11.2808460635, 160.7520564042], rel=1e-9)


@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize("place", EVERYWHERE, ids=str)
def test_on_the_earth_a_method_says_what_it_says_in_the_plane(method, place):
    """Across the antimeridian and around a pole: what is a plane for members some metres apart."""
    positions = to_latitude_longitude(place, np.tile(MEANS, (4, 1, 1)))
    local = np.array([transport(c, place, p) for c, p in zip(COVARIANCES, positions[0], strict=True)])

    fix = fuse(positions, np.tile(local, (4, 1, 1, 1)), gate=None, **METHODS[method])

    mean, covariance = about_origin(method)
    assert to_east_north(place, fix.position) == pytest.approx(np.tile(mean, (4, 1)), abs=1e-5)
    # As it reads at the fix, where north may be elsewhere.
    back = transport(fix.covariance[0], fix.position[0], place)
    assert back == pytest.approx(covariance, rel=1e-5, abs=1e-3)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_members_a_hundred_kilometres_apart_are_weighed_where_the_fix_is(method):
    """The mean of offsets seen from elsewhere would be metres off; from the fix it is nothing."""
    places = to_latitude_longitude((60.0, 10.0), MEANS * 5000)[None]
    spreads = COVARIANCES * 1e6

    fix = fuse(places, spreads, gate=None, **METHODS[method])

    offsets = to_east_north(fix.position[:, None], places)[0]
    local = np.array([transport(c, p, fix.position[0]) for c, p in zip(spreads, places[0], strict=True)])
    if method == "covariance_intersection":
        mean = karcher_mean(places[0], np.full(3, 1 / 3))
        seen = [transport(c, p, mean) for c, p in zip(spreads, places[0], strict=True)]
        weights = intersection_weights(np.linalg.inv(seen))[:, None, None] * np.linalg.inv(local)
    else:
        weights = np.linalg.inv(local) if method == "inverse_variance" else np.tile(np.eye(2), (3, 1, 1))
    left = np.einsum("mij,mj->i", weights, offsets)
    assert np.abs(np.linalg.solve(weights.sum(axis=0), left)).max() < 1e-5


@pytest.mark.parametrize("method", [*METHODS, "spread"])
def test_a_row_answers_alone_as_in_company(method):
    rng = np.random.default_rng(1)
    places = np.stack([rng.uniform(-89, 89, 12), rng.uniform(-180, 180, 12)], axis=-1)
    positions = to_latitude_longitude(places[:, None], rng.normal(0, 50, (12, 5, 2)))
    roots = rng.normal(0, 10, (12, 5, 2, 2))
    spreads = None if method == "spread" else roots @ np.swapaxes(roots, -1, -2)

    together = fuse(positions, spreads, method=method)

    for i in range(12):
        alone = fuse(positions[i : i + 1], None if spreads is None else spreads[i : i + 1], method=method)
        for part, single in zip(together, alone, strict=True):
            assert part[i : i + 1] == pytest.approx(single, rel=1e-6, abs=1e-6)


def test_the_spread_is_the_sample_covariance_about_the_mean():
    fix = fuse_about(MUNICH, MEANS[None], None, method="spread")

    assert to_east_north(MUNICH, fix.position)[0] == pytest.approx(MEANS.mean(axis=0), abs=1e-6)
    assert transport(fix.covariance[0], fix.position[0], MUNICH) == pytest.approx(np.cov(MEANS.T), rel=1e-9)
    assert (fix.members_used.tolist(), fix.multimodal.tolist(), fix.between_share.tolist()) == ([3], [False], [1.0])


def test_the_spread_on_the_earth_is_that_in_the_plane():
    places = to_latitude_longitude((71.0, 179.9999), MEANS)

    fix = fuse(places[None], None, method="spread")

    assert transport(fix.covariance[0], fix.position[0], (71.0, 179.9999)) == pytest.approx(np.cov(MEANS.T), rel=1e-5)


# --- Traps -----------------------------------------------------------------------------------------------------------


def within(offsets, covariance, radius):
    squared = np.einsum("...i,...ij,...j->...", offsets, np.linalg.inv(covariance), offsets)
    return float(np.mean(squared <= radius**2))


def drawn(correlation, members=5, rows=40_000, seed=4):
    """Members' errors in metres, each of deviation 10, each pair with this correlation."""
    rng = np.random.default_rng(seed)
    shared, own = rng.normal(0, 10, (rows, 1, 2)), rng.normal(0, 10, (rows, members, 2))
    return np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own


def coverage(method, correlation, gate=0.99):
    offsets = drawn(correlation)
    covariances = np.tile(100 * np.eye(2), (5, 1, 1))
    fix = fuse_about((0.0, 0.0), offsets, covariances, gate=gate, **METHODS[method])
    return within(to_east_north((0.0, 0.0), fix.position), fix.covariance, mahalanobis_radius(0.95))


@pytest.mark.parametrize("correlation", [0.0, 0.25, 0.5, 0.75, 0.9, 1.0])
def test_moment_and_intersection_promise_too_little_rather_than_too_much(correlation):
    """With the gate open as by default; three standard errors of 40,000 draws are 0.0033."""
    assert coverage("moment", correlation) >= 0.95 - 0.0033
    assert coverage("covariance_intersection", correlation) >= 0.95 - 0.0033


@pytest.mark.parametrize(("correlation", "holds"), [(0, 0.95), (0.25, 0.776), (0.5, 0.632), (0.9, 0.480), (1, 0.450)])
def test_trap_inverse_variance_of_correlated_members_is_too_sure(correlation, holds):
    """Why it is never the default, and refused unless the spec says that members are independent."""
    assert coverage("inverse_variance", correlation, gate=None) == pytest.approx(holds, abs=0.01)


def test_trap_longitudes_are_not_averaged():
    """The mean of 179.999 and -179.999 is half way round the earth, 17,792 km off at this latitude."""
    for method in METHODS.values():
        fix = fuse([[[10.0, 179.999], [10.0, -179.999]]], np.tile(np.diag([400.0, 100.0]), (2, 1, 1)), **method)

        assert np.abs(fix.position[0]) == pytest.approx([10.000000002, 180], abs=1e-8)


def test_trap_member_covariances_are_turned():
    """At latitude 60 north turns by 1.559 degrees over 1.8 degrees of longitude; across a pole by half a circle."""
    long = np.diag([1.0, 10_000.0])

    fix = fuse([[[60.0, 0.0], [60.0, 1.8]]], np.tile(long, (2, 1, 1)), gate=None)

    turned = transport(long, (60.0, 0.0), (60.0, 1.8))
    angle = np.arctan2(2 * turned[0, 1], turned[1, 1] - turned[0, 0]) / 2
    assert np.rad2deg(angle) == pytest.approx(1.559, abs=1e-3)
    # Half of it to each side of the fix: of what was all north, some is east.
    assert fix.covariance[0, 1, 1] == pytest.approx(10_000 * np.cos(angle / 2) ** 2 + np.sin(angle / 2) ** 2, abs=1e-4)


def test_trap_across_the_pole_a_skewed_covariance_keeps_its_side():
    """Half a turn leaves a covariance as it is: what points north-east on one side points south-west on the other."""
    skewed = np.array([[4.0, 1.0], [1.0, 2.0]])

    fix = fuse([[[89.9999, 0.0], [89.9999, 90.0]]], np.tile(skewed, (2, 1, 1)), gate=None, method="inverse_variance")

    # A quarter turn between them: along each other's axes, the cross terms cancel where the bearing is half way.
    total = np.linalg.inv(fix.covariance[0])
    assert np.trace(total) == pytest.approx(2 * np.trace(np.linalg.inv(skewed)), rel=1e-6)
    assert np.linalg.det(total) > np.linalg.det(2 * np.linalg.inv(skewed)) * 1.1


@pytest.mark.parametrize(("members", "chi2"), [(3, 0.445), (5, 0.703), (10, 0.849)])
def test_trap_chi_square_with_the_spread_of_few_members_is_too_sure(members, chi2):
    """The truth here is one more draw; with the F scale the ellipse holds it 95 % of the time."""
    rng = np.random.default_rng(6)
    draws = rng.normal(0, 10, (40_000, members + 1, 2)) @ np.array([[1.0, 0.4], [0.0, 2.0]])
    offsets = draws[:, :members] - draws[:, members:]

    fix = fuse_about((0.0, 0.0), offsets, None, method="spread")

    error = to_east_north((0.0, 0.0), fix.position)
    assert within(error, fix.covariance, mahalanobis_radius(0.95)) == pytest.approx(chi2, abs=0.01)
    assert within(error, fix.covariance, small_sample_radius(0.95, members)) == pytest.approx(0.95, abs=0.0033)


@pytest.mark.parametrize(("correlation", "holds"), [(0, True), (0.25, True), (0.5, True), (0.75, False), (0.9, False)])
def test_trap_no_spread_shows_an_error_that_all_share(correlation, holds):
    """Of members that are truth and error, the F-scaled ellipse keeps its word up to a correlation of one half."""
    fix = fuse_about((0.0, 0.0), drawn(correlation), None, method="spread")

    held = within(to_east_north((0.0, 0.0), fix.position), fix.covariance, small_sample_radius(0.95, 5))
    assert (held >= 0.95 - 0.0033) == holds
    if correlation == 0.5:
        assert held == pytest.approx(0.95, abs=0.0033)


def test_trap_two_peaks_are_not_one_wide_one():
    """Two members at plus and minus two deviations: half of the time the 50 % ellipse would hold only 44 %."""
    rng = np.random.default_rng(7)
    fix = fuse_about((0.0, 0.0), [[[20.0, 0.0], [-20.0, 0.0]]], np.tile(100 * np.eye(2), (2, 1, 1)))
    truth = rng.normal(0, 10, (40_000, 2)) + rng.choice([-20.0, 20.0], 40_000)[:, None] * (1, 0)

    assert within(truth, fix.covariance[0], mahalanobis_radius(0.5)) == pytest.approx(0.436, abs=0.02)
    assert within(truth, fix.covariance[0], mahalanobis_radius(0.95)) >= 0.95
    assert fix.between_share[0] == pytest.approx(2 / 3)


def test_trap_one_outlier_does_not_move_the_fix():
    """One in five, ten deviations away: root mean square error within 1.05 of what it would be without it."""
    offsets = drawn(0.5, rows=20_000)
    covariances = np.tile(100 * np.eye(2), (5, 1, 1))
    astray = offsets + np.array([0, 0, 0, 0, 100.0])[:, None] * (1, 0)

    def error(places, spreads, gate):
        fix = fuse_about((0.0, 0.0), places, spreads, gate=gate)
        return np.sqrt(np.mean(to_east_north((0.0, 0.0), fix.position) ** 2)), np.median(
            np.sqrt(np.linalg.det(fix.covariance))
        )

    clean, area = error(offsets[:, :4], covariances[:4], 0.99)
    gated, gated_area = error(astray, covariances, 0.99)
    plain, plain_area = error(astray, covariances, None)
    assert gated <= 1.05 * clean
    assert gated_area <= 1.1 * area
    assert plain >= 1.8 * clean
    assert plain_area >= 2 * area


@pytest.mark.parametrize("method", sorted(METHODS))
def test_whom_the_gate_left_out_does_not_count_in_any_method(method):
    offsets = np.array([[[0.0, 0.0], [5.0, 5.0], [-5.0, 3.0], [2.0, -4.0], [900.0, 0.0]]])
    covariances = np.tile(np.diag([100.0, 60.0]), (5, 1, 1)) * np.array([1, 2, 1, 3, 0.5])[:, None, None]

    for fused, alone in (
        (
            fuse_about(MUNICH, offsets, covariances, **METHODS[method]),
            fuse_about(MUNICH, offsets[:, :4], covariances[:4], **METHODS[method]),
        ),
        (
            fuse(to_latitude_longitude(MUNICH, offsets), covariances, **METHODS[method]),
            fuse(to_latitude_longitude(MUNICH, offsets[:, :4]), covariances[:4], **METHODS[method]),
        ),
    ):
        assert fused.kept.tolist() == [[True] * 4 + [False]]
        assert to_east_north(alone.position, fused.position) == pytest.approx(np.zeros((1, 2)), abs=1e-3)
        assert fused.covariance == pytest.approx(alone.covariance, rel=1e-5, abs=1e-3)


# --- What cannot be combined -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "average"}, "expected a method of moment, covariance_intersection, inverse_variance, spread"),
        ({"method": "covariance_intersection", "minimise": "area"}, "expected to minimise one of determinant, trace"),
        ({"method": "inverse_variance", "weights": [1, 1, 1]}, "has weights of its own"),
        ({"method": "spread"}, "leave covariances out"),
    ],
)
def test_a_method_that_does_not_go_with_what_is_given_is_refused(options, said):
    with pytest.raises(FusionError, match=said):
        fuse_about(MUNICH, MEANS[None], COVARIANCES, **options)


def test_without_covariances_there_is_the_spread_alone():
    with pytest.raises(FusionError, match="moment needs covariances"):
        fuse_about(MUNICH, MEANS[None], None)
    with pytest.raises(FusionError, match="spread needs 3 members or more, got 2"):
        fuse_about(MUNICH, MEANS[None, :2], None, method="spread")


@pytest.mark.parametrize("method", ["covariance_intersection", "inverse_variance"])
def test_a_member_without_error_in_some_direction_cannot_be_weighed(method):
    flat = COVARIANCES.copy()
    flat[1] = np.diag([9.0, 0.0])

    with pytest.raises(CovarianceError, match=r"covariance \[1\] is singular"):
        fuse_about(MUNICH, MEANS[None], flat, method=method)


def test_no_rows_in_no_rows_out():
    for method in (*METHODS, "spread"):
        spreads = None if method == "spread" else COVARIANCES
        assert {len(part) for part in fuse(np.empty((0, 3, 2)), spreads, method=method)} == {0}
        assert {len(part) for part in fuse_about(MUNICH, np.empty((0, 3, 2)), spreads, method=method)} == {0}
