"""The solver of ``examples/aircraft`` on simulated skies, where the truth is known to the last digit."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

from aircraft_example import delays, lateness, network, ring, sky, tdoa
from sextant.blocks import BLOCKS
from sextant.geodesy import to_east_north


def errors_m(position, truth):
    return np.hypot(*to_east_north(truth, position).T)


@pytest.mark.parametrize("module", [tdoa, network, lateness, delays], ids=lambda module: module.__name__)
def test_its_examples_are_true(module):
    """The doctests of a script's modules, which nobody else collects."""
    assert doctest.testmod(module).failed == 0


def test_earth_centred_metres_are_those_of_the_ellipsoid():
    """Against pyproj, from the sea to the stratosphere and pole to pole."""
    pyproj = pytest.importorskip("pyproj")
    latitude, longitude = np.random.default_rng(0).uniform([-89, -180], [89, 180], (200, 2)).T
    height = np.random.default_rng(1).uniform(0, 12e3, 200)
    turned = pyproj.Transformer.from_crs(4979, 4978, always_xy=True).transform(longitude, latitude, height)

    assert tdoa.earth_centred(np.stack([latitude, longitude], 1), height) == pytest.approx(
        np.stack(turned, 1), abs=1e-6
    )


def test_exact_times_give_exact_places():
    """Less than a millimetre off; of 6,000 rows two may end in another minimum, which their cost gives away."""
    seen = sky(6000)

    found = tdoa.solve(seen.heard)
    exact = errors_m(found.position, seen.truth) < 1e-3

    assert np.count_nonzero(~exact) <= 2
    assert np.all(found.cost[~exact] > 100)


def test_rows_in_fp32_lose_nothing_that_matters():
    """The features as they travel: millimetres, and decimetres where the geometry is poor."""
    seen = sky(2000)

    errors = errors_m(tdoa.solve(ring().heard(seen.features)).position, seen.truth)

    assert np.median(errors) < 0.01
    assert np.quantile(errors, 0.99) < 0.2


def test_a_row_is_answered_alike_in_any_company():
    """
    To a millimetre: Triton may join requests as it likes.

    Not to the last bit, which the linear algebra library may round otherwise from one machine and run to the next;
    a bit in the last place of the ranges moves the least certain of these rows by a tenth of a millimetre.
    """
    seen = sky(40, sigma_m=20)
    whole = tdoa.solve_robustly(seen.heard, 10.0).position
    alone = [tdoa.solve_robustly(tdoa.Heard(*(part[[i]] for part in seen.heard[:5])), 10.0).position for i in range(40)]

    assert np.all(errors_m(np.concatenate(alone), whole) < 1e-3)


def test_the_covariance_of_its_jacobian_is_calibrated():
    """Normal errors of 15 m: the squared distances are those of a chi-square of two degrees, and so is the coverage."""
    seen = sky(6000, sigma_m=15)

    found = tdoa.solve(seen.heard)
    fair = found.normal[:, 0, 0] * found.normal[:, 1, 1] > 0.01  # where the errors are small enough to be linear
    offset = to_east_north(found.position, seen.truth)
    squared = np.einsum("ni,nij,nj->n", offset, np.linalg.inv(found.covariance(15.0)), offset)[fair]

    assert fair.mean() > 0.8
    assert squared.mean() / 2 == pytest.approx(1, abs=0.05)
    for level in (0.5, 0.9, 0.95):
        assert np.mean(squared <= -2 * np.log(1 - level)) == pytest.approx(level, abs=0.02)


def test_twice_the_timing_error_is_twice_the_deviation():
    seen = sky(5, sigma_m=10)

    found = tdoa.solve(seen.heard)

    assert found.covariance(20.0) == pytest.approx(4 * found.covariance(10.0))


def test_one_bad_arrival_pulls_less_with_the_robust_loss():
    """One of eight receivers is a kilometre off."""
    receivers, draw = ring(), np.random.default_rng(2)
    truth = tdoa.moved(np.full((300, 2), [47.8, 9.5]), draw.uniform(-60e3, 60e3, (300, 2)))
    altitude = np.full(300, 9e3)
    place = tdoa.earth_centred(receivers.position, receivers.height_m)
    path = tdoa.lengths(tdoa.earth_centred(truth, altitude), altitude, place, receivers.height_m)
    path = path + draw.normal(0, 5, path.shape)
    path[:, 3] += 1000
    heard = tdoa.Heard(
        np.broadcast_to(place, (300, 9, 3)), np.tile(receivers.height_m, (300, 1)), path, np.ones((300, 9)), altitude
    )

    plain, robust = tdoa.solve(heard), tdoa.solve_robustly(heard, 10.0)

    assert np.median(errors_m(robust.position, truth)) < 0.1 * np.median(errors_m(plain.position, truth))


def test_delays_are_found_without_knowing_where_reports_are_right():
    """Receivers late by up to 40 m and reports late by 150 m: the delays come out within 4 m, up to one they share."""
    late = np.array([0, 30, -20, 10, 40, -35, 5, 15, -10], float)
    receivers = ring(late)
    seen = sky(800, sigma_m=5, receivers=receivers)
    reports = tdoa.moved(seen.truth, np.random.default_rng(3).normal(0, 150, seen.truth.shape))
    unknown = network.Network(receivers.serial, receivers.position, receivers.height_m, np.zeros(9))

    found = delays.surveyed(unknown, seen.features, reports)

    assert found.delay_m - found.delay_m.mean() == pytest.approx(late - late.mean(), abs=4)


def test_the_way_of_cruise_tells_where_a_report_trails():
    """Eastbound fixes 40 m east of their reports, westbound ones 40 m west; between levels nobody knows."""
    draw = np.random.default_rng(5)
    position = draw.uniform([47, 9], [48, 10], (900, 2))
    levels = np.repeat([350, 360, 347], 300) * lateness.FLIGHT_LEVEL_M
    error_m = np.repeat([[30.0, 0.0], [-30.0, 0.0], [0.0, 0.0]], 300, axis=0) + draw.normal(0, 5, (900, 2))
    past = lateness.Lateness.learned(position, levels, error_m)

    shift, spread = past.expected(np.full((3, 2), [47.5, 9.5]), np.array([350, 360, 347]) * lateness.FLIGHT_LEVEL_M)

    assert shift[:, 0] == pytest.approx([25, -25, 0], abs=6)
    assert np.all(np.linalg.eigvalsh(spread) > 0)


def test_what_cannot_be_placed_is_known_beforehand():
    """An unknown receiver, three receptions, a number that is none; receiver 0 stands for none."""
    rows = np.repeat(sky(1).features, 5, axis=0)
    rows[1, 0] = 4711
    rows[2, :2] = 0
    rows[3, 15] = np.nan
    rows[4, 0] = 0

    assert ring().can_place(rows).tolist() == [True, False, False, False, True]


def test_four_receptions_are_enough():
    """The fifth is left out by its weight, whatever stands in its column."""
    seen = sky(300)
    rows = seen.features.copy()
    rows[:, 0] = 0
    rows[:, 5] = 123

    errors = errors_m(tdoa.solve(ring().heard(rows)).position, seen.truth)

    assert np.median(errors) < 0.05


def test_both_frames_of_fuse_give_the_same_fix():
    """Members in degrees, and the same in metres about an origin, within 100 km of it and far beyond."""
    seen = sky(400, sigma_m=15)
    origin = (47.0, 7.5)  # 10 to 350 km away
    found = [tdoa.solve(seen.heard), tdoa.solve_robustly(seen.heard, 10.0)]
    degrees = {f"member_{i}": one.position for i, one in enumerate(found)}
    metres = {f"member_{i}": to_east_north(origin, one.position) for i, one in enumerate(found)}
    parameters = {
        "members": ["solver", "robust"],
        "member_covariances": [[[400.0, 50.0], [50.0, 300.0]]] * 2,
        "slots": {"member_0": "FP64", "member_1": "FP64"},
        "gate": None,
    }

    on_earth = BLOCKS["fuse"]({**parameters, "frame": "latitude_longitude"})(**degrees)
    in_plane = BLOCKS["fuse"]({**parameters, "frame": "east_north_m", "origin": list(origin)})(**metres)

    apart = np.hypot(*to_east_north(on_earth["fused_position"], in_plane["fused_position"]).T)
    far = np.hypot(*metres["member_0"].T) > 100e3
    assert far.mean() > 0.5
    assert apart.max() < 1e-5
