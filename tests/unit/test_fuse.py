from __future__ import annotations

import numpy as np
import pytest

from sextant.ellipse import confidence_ellipse, mahalanobis_radius
from sextant.errors import CalibrationError, CovarianceError, FusionError, ParametersError
from sextant.fuse import fuse, fuse_about, residual_covariance
from sextant.geodesy import karcher_mean, to_east_north, to_latitude_longitude
from sextant.plane import covariance_intersection, geometric_median, inverse_variance, moment_match

MEANS = np.array([[0.0, 0.0], [30.0, 10.0], [-10.0, 20.0]])
COVARIANCES = np.array([[[100.0, 0], [0, 400]], [[225, 50], [50, 100]], [[400, -100], [-100, 225]]])
EQUAL = np.full(3, 1 / 3)
MUNICH = (48.137, 11.575)


def fuse_by_hand(means, covariances, weights):
    """The definition, written slowly."""
    mean = sum(w * m for w, m in zip(weights, means, strict=True))
    return mean, sum(
        w * (c + np.outer(m - mean, m - mean)) for w, m, c in zip(weights, means, covariances, strict=True)
    )


def test_moment_matching_adds_what_lies_between_to_what_lies_within():
    moments = moment_match(MEANS, COVARIANCES, EQUAL)

    assert moments.mean == pytest.approx([6.666666666666667, 10.0])
    assert moments.within.ravel() == pytest.approx([241.666667, -16.666667, -16.666667, 241.666667])
    assert moments.between.ravel() == pytest.approx([288.888889, -33.333333, -33.333333, 66.666667])


def test_weights_count():
    moments = moment_match(MEANS, COVARIANCES, np.array([0.5, 0.3, 0.2]))

    assert moments.mean == pytest.approx([7.0, 7.0])
    assert (moments.within + moments.between).ravel() == pytest.approx([438.5, -4, -4, 336])


def test_inverse_variance_is_for_independent_errors():
    estimate = inverse_variance(MEANS, COVARIANCES)

    assert estimate.mean == pytest.approx([7.344300822561693, 7.156286721504113])
    assert estimate.covariance.ravel() == pytest.approx([56.40423033, 3.76028202, 3.76028202, 53.58401880])


def test_covariance_intersection_finds_the_least_determinant():
    estimate = covariance_intersection(MEANS, COVARIANCES)

    assert estimate.mean == pytest.approx([16.985294117647058, 6.617647058823529])
    assert estimate.covariance.ravel() == pytest.approx([170.58823529, 35.29411765, 35.29411765, 117.64705882])


def test_covariance_intersection_with_given_weights():
    estimate = covariance_intersection(MEANS, COVARIANCES, EQUAL)

    assert estimate.covariance.ravel() == pytest.approx([169.21269082, 11.28084606, 11.28084606, 160.75205640])


def test_half_of_the_points_do_not_carry_off_the_geometric_median():
    points = np.array([[0.0, 0], [1, 0], [0, 1], [1, 1], [100, 100]])

    assert geometric_median(points, np.full(5, 0.2)) == pytest.approx([0.78867513, 0.78867513], abs=1e-8)


def test_who_is_left_out_does_not_depend_on_who_was_asked_together():
    """Triton joins strangers' requests in one batch: a row that takes long must not go on moving its neighbours."""
    rng = np.random.default_rng(2)
    points = rng.normal(size=(600, 5, 2))
    points[:, :2] += rng.normal(size=(600, 2, 2)) * 10 ** rng.uniform(0.3, 4, (600, 1, 1))
    spreads = np.tile(np.eye(2), (600, 5, 1, 1))

    together = fuse_about((48.0, 11.0), points, spreads)

    alone = [fuse_about((48.0, 11.0), points[i : i + 1], spreads[i : i + 1]).kept[0] for i in range(600)]
    assert together.kept.tolist() == np.array(alone).tolist()
    assert not together.kept.all()


@pytest.mark.parametrize(
    ("points", "median"),
    [
        ([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]], [0, 0]),
        ([[0, 0], [0, 0], [0, 0], [9, 9], [5, 0]], [0, 0]),
        ([[2, 3], [2, 3], [2, 3], [2, 3]], [2, 3]),
        ([[0, 0], [10, 0], [0, 0.1]], [0, 0.1]),
    ],
    ids=["a cross", "a crowd", "one place", "an obtuse corner"],
)
def test_the_geometric_median_may_be_a_member_itself(points, median):
    """Weiszfeld alone stops, or divides by nothing, on a data point."""
    points = np.array(points, dtype=float)
    if len(points) == 3:
        median = min(points, key=lambda at: np.hypot(*(points - at).T).sum())

    found = geometric_median(points, np.full(len(points), 1 / len(points)))

    lengths = [np.hypot(*(points - at).T).sum() for at in (found, median)]
    assert lengths[0] <= lengths[1] + 1e-6


def test_rows_of_a_batch_do_not_disturb_each_other():
    """A median converges to its own row's scale, whatever its neighbours."""
    small = np.random.default_rng(0).normal(0, 1, (1, 5, 2))
    large = small * 1e6 + 1e7
    weights = np.full(5, 0.2)

    together = geometric_median(np.concatenate([small, large]), weights, rounds=50, precision=1e-3)

    assert together[0] == pytest.approx(geometric_median(small[0], weights), abs=0.05)


def test_near_its_origin_the_plane_and_the_earth_agree_to_a_micrometre():
    rng = np.random.default_rng(1)
    offsets = rng.uniform(-3000, 3000, (50, 1, 2)) + rng.normal(0, 20, (50, 3, 2))

    plane = fuse_about(MUNICH, offsets, COVARIANCES, gate=None)
    local = [[as_read_there(MUNICH, offset, c) for offset, c in zip(row, COVARIANCES, strict=True)] for row in offsets]
    earth = fuse(to_latitude_longitude(MUNICH, offsets), np.array(local), gate=None)

    assert np.abs(to_east_north(plane.position, earth.position)).max() < 1e-6
    assert np.abs(plane.covariance - earth.covariance).max() < 1e-3


def as_read_there(origin, offset, covariance):
    """A covariance in the plane of the origin as it reads at the end of the offset, by moving two points."""
    step = 0.5 * np.eye(2)
    place = to_latitude_longitude(origin, offset)
    local = to_east_north(place, to_latitude_longitude(origin, offset + step)) / 0.5
    return local.T @ covariance @ local


@pytest.mark.parametrize("distance_m", [99_000, 101_000], ids=["inside", "beyond"])
def test_nobody_sees_where_the_plane_ends(distance_m):
    """At 100 km the mean of members some hundred metres apart is right to a millimetre."""
    offsets = np.array([distance_m / np.sqrt(2)] * 2) + np.array([[[0.0, 0], [300, 100], [-100, 200]]])

    fix = fuse_about(MUNICH, offsets, COVARIANCES, gate=None)

    earth = fuse(to_latitude_longitude(MUNICH, offsets), COVARIANCES, gate=None)
    assert np.abs(to_east_north(earth.position, fix.position)).max() < 1e-3


def test_a_row_beyond_the_plane_leaves_its_neighbours_alone():
    offsets = np.zeros((3, 3, 2)) + MEANS
    offsets[1] += 500_000

    fix = fuse_about(MUNICH, offsets, COVARIANCES)
    alone = [fuse_about(MUNICH, offsets[i : i + 1], COVARIANCES) for i in range(3)]

    for part, parts in zip(fix, zip(*alone, strict=True), strict=True):
        assert part == pytest.approx(np.concatenate(parts), rel=1e-9)


def test_across_the_antimeridian_the_middle_is_in_the_middle():
    """The mean of the longitudes is 0, half way round the earth."""
    fix = fuse([[[10.0, 179.999], [10.0, -179.999]]], np.tile(np.diag([400.0, 100.0]), (2, 1, 1)))

    ellipse = confidence_ellipse(fix.covariance, mahalanobis_radius(0.95))
    assert np.abs(fix.position) == pytest.approx(np.array([[10.000000002, 180]]), abs=1e-8)
    assert fix.covariance[0, 0, 0] - 400 == pytest.approx(12020.7902, abs=1e-3)
    assert [float(part[0]) for part in ellipse[:3]] == pytest.approx([272.7980, 24.4775, 90], abs=1e-3)


def test_across_the_pole_covariances_are_turned():
    fix = fuse([[[89.999, 0.0], [89.999, 180.0]]], np.tile(np.diag([400.0, 100.0]), (2, 1, 1)))

    ellipse = confidence_ellipse(fix.covariance, mahalanobis_radius(0.95))
    assert fix.position[0, 0] == pytest.approx(90, abs=1e-8)
    assert [float(part[0]) for part in ellipse[:2]] == pytest.approx([274.4921, 48.9549], abs=1e-3)


def test_two_who_disagree_are_multimodal_from_two_deviations_on():
    """Members at plus and minus d deviations have a share of d^2 / (2 + d^2) between them."""
    apart = np.array([1.9, 2.1])[:, None, None] * np.array([[[1.0, 0.0], [-1.0, 0.0]]]) * 10

    fix = fuse_about(MUNICH, apart, np.tile(100 * np.eye(2), (2, 1, 1)))

    assert fix.between_share == pytest.approx([1.9**2 / (2 + 1.9**2), 2.1**2 / (2 + 2.1**2)])
    assert fix.multimodal.tolist() == [False, True]
    assert fix.members_used.tolist() == [2, 2]


def test_one_gross_failure_of_five_is_left_out():
    """Root mean square error stays within 1.15 of what the four others reach, and the area with it."""
    rng = np.random.default_rng(2)
    shared, own = rng.normal(0, 10, (2000, 1, 2)), rng.normal(0, 10, (2000, 5, 2))
    offsets = np.sqrt(0.5) * (shared + own)
    astray = offsets.copy()
    astray[:, 4, 0] += 100

    covariances = np.tile(100 * np.eye(2), (5, 1, 1))
    clean = fuse_about(MUNICH, offsets[:, :4], covariances[:4])
    gated = fuse_about(MUNICH, astray, covariances)
    plain = fuse_about(MUNICH, astray, covariances, gate=None)

    rms = [np.sqrt(np.mean(to_east_north(MUNICH, fix.position) ** 2)) for fix in (clean, gated, plain)]
    assert rms[1] < 1.05 * rms[0]
    assert rms[2] > 1.5 * rms[0]
    assert np.mean(gated.members_used == 4) > 0.99


def test_members_in_good_order_are_hardly_ever_left_out():
    rng = np.random.default_rng(3)
    offsets = np.sqrt(0.5) * (rng.normal(0, 10, (5000, 1, 2)) + rng.normal(0, 10, (5000, 5, 2)))

    fix = fuse_about(MUNICH, offsets, np.tile(100 * np.eye(2), (5, 1, 1)))

    assert np.mean(fix.members_used < 5) < 0.005


@pytest.mark.parametrize("members", [2, 3, 4])
def test_without_a_quorum_all_are_kept_and_flagged(members):
    """Of four, two against two: nobody can say who is wrong."""
    offsets = np.zeros((1, members, 2))
    offsets[0, : members // 2, 0] = 1000.0

    fix = fuse_about(MUNICH, offsets, np.tile(np.eye(2), (members, 1, 1)))

    assert fix.members_used.tolist() == [members]
    assert fix.multimodal.tolist() == [True]


@pytest.mark.parametrize("method", ["moment", "covariance_intersection"])
def test_a_contradiction_that_no_quorum_decides_is_flagged_however_little_the_member_weighs(method):
    """Six deviations off, and hardly a share of the variance: of three, nobody can say who is wrong."""
    offsets = np.array([[[0.0, 0.0], [0.0, 1.0], [60.0, 0.0]], [[0.0, 0.0], [0.0, 1.0], [30.0, 0.0]]])
    three = {"covariances": np.tile(100 * np.eye(2), (3, 1, 1)), "weights": [0.45, 0.45, 0.1], "method": method}

    fix = fuse_about(MUNICH, offsets, **three)

    assert fix.between_share.max() < 2 / 3
    assert fix.multimodal.tolist() == [True, False]
    assert not fuse_about(MUNICH, offsets, **three, gate=None).multimodal.any()


def test_of_four_two_against_two_are_flagged_whatever_they_weigh():
    offsets = np.array([[[0.0, 0.0], [0.0, 1.0], [60.0, 0.0], [60.0, 1.0]]])
    four = np.tile(100 * np.eye(2), (4, 1, 1))

    fix = fuse_about(MUNICH, offsets, four, [0.48, 0.48, 0.02, 0.02])

    assert fix.between_share[0] < 2 / 3
    assert (fix.members_used.tolist(), fix.multimodal.tolist()) == ([4], [True])


def test_a_line_contradicts_whatever_is_not_on_it():
    line = np.tile(np.diag([100.0, 0.0]), (2, 1, 1))

    fix = fuse_about(MUNICH, [[[0.0, 0.0], [0.0, 0.001]], [[0.0, 0.0], [0.0, 0.0]]], line)

    assert fix.multimodal.tolist() == [True, False]


@pytest.mark.parametrize("members", [2, 3, 4, 6])
def test_members_on_one_line_agree_along_it(members):
    """A covariance without an inverse says nothing against what lies half a deviation along its own line."""
    line, along = np.tile(np.diag([100.0, 0.0]), (members, 1, 1)), np.zeros((1, members, 2))
    along[0, :, 0] = 5.0 * (np.arange(members) % 2)
    slanted = np.random.default_rng(4).normal(0, 10, (200, 2))
    askew = slanted[:, None, :] * 0.5 * (np.arange(members) % 2)[:, None]

    fix = fuse_about(MUNICH, along, line)
    any_way = [
        fuse_about(MUNICH, one[None], np.tile(np.outer(v, v), (members, 1, 1)))
        for one, v in zip(askew, slanted, strict=True)
    ]

    assert (fix.members_used.tolist(), fix.multimodal.tolist()) == ([members], [False])
    assert not any(one.multimodal[0] or one.members_used[0] < members for one in any_way)


def test_a_gate_may_be_a_numpy_number():
    near = np.zeros((1, 2, 2))

    assert fuse_about(MUNICH, near, np.tile(np.eye(2), (2, 1, 1)), gate=np.array(0.99)).members_used.tolist() == [2]


def test_one_unsure_member_does_not_open_the_gate_for_all():
    offsets = np.zeros((1, 5, 2))
    offsets[0, 4] = 200.0
    covariances = np.tile(100 * np.eye(2), (5, 1, 1))
    covariances[3] *= 1e6

    assert fuse_about(MUNICH, offsets, covariances).members_used.tolist() == [4]


def test_on_the_earth_a_dropped_member_does_not_move_the_centre():
    offsets = np.array([[[0.0, 0.0], [5.0, 5.0], [-5.0, 3.0], [2.0, -4.0], [400_000.0, 0.0]]])
    places = to_latitude_longitude(MUNICH, offsets)

    fix = fuse(places, np.tile(100 * np.eye(2), (5, 1, 1)))

    assert fix.members_used.tolist() == [4]
    assert to_east_north(MUNICH, fix.position)[0] == pytest.approx([0.5, 1.0], abs=1e-4)


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9, 1.0])
def test_the_default_never_promises_too_much(correlation):
    """However much their errors are shared, 95 % hold at least 95 %; inverse variance falls to 45 %."""
    rng = np.random.default_rng(4)
    shared, own = rng.normal(0, 10, (20_000, 1, 2)), rng.normal(0, 10, (20_000, 5, 2))
    offsets = np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own
    weights, covariances = np.full(5, 0.2), np.tile(100 * np.eye(2), (5, 1, 1))

    moments = moment_match(offsets, covariances, weights)

    distance = np.einsum("bi,bij,bj->b", moments.mean, np.linalg.inv(moments.within + moments.between), moments.mean)
    assert np.mean(distance <= mahalanobis_radius(0.95) ** 2) >= 0.95 - 0.005


def test_what_is_fused_equals_the_definition_row_by_row():
    rng = np.random.default_rng(6)
    offsets = rng.normal(0, 30, (20, 3, 2))
    roots = rng.normal(0, 10, (20, 3, 2, 2))
    covariances = roots @ np.swapaxes(roots, -1, -2)
    weights = np.array([0.5, 0.3, 0.2])

    moments = moment_match(offsets, covariances, weights)

    for i in range(20):
        mean, covariance = fuse_by_hand(offsets[i], covariances[i], weights)
        assert moments.mean[i] == pytest.approx(mean)
        assert (moments.within + moments.between)[i] == pytest.approx(covariance)


def test_no_rows_in_no_rows_out():
    fix = fuse_about(MUNICH, np.empty((0, 3, 2)), COVARIANCES)

    assert [len(part) for part in fix] == [0, 0, 0, 0, 0, 0]
    assert len(fuse(np.empty((0, 3, 2)), COVARIANCES).position) == 0


@pytest.mark.parametrize(
    ("positions", "weights", "said"),
    [
        (np.zeros((3, 2)), None, "shape"),
        (np.zeros((1, 0, 2)), None, "shape"),
        (np.full((1, 3, 2), np.nan), None, "row 0: the position of member 0 is not finite"),
        (np.zeros((1, 3, 2)), [1, 2], "3 positive weights"),
        (np.zeros((1, 3, 2)), [1, 0, 2], "3 positive weights"),
    ],
)
def test_what_cannot_be_combined_is_refused(positions, weights, said):
    with pytest.raises(FusionError, match=said):
        fuse(positions, COVARIANCES, weights)


def test_a_covariance_that_is_none_is_refused():
    with pytest.raises(CovarianceError, match="negative"):
        fuse(np.zeros((1, 3, 2)), -COVARIANCES)


RULES = {
    "moment_match": lambda means, covariances: moment_match(means, covariances, EQUAL),
    "inverse_variance": inverse_variance,
    "covariance_intersection": covariance_intersection,
    "covariance_intersection by weights": lambda means, covariances: covariance_intersection(means, covariances, EQUAL),
}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize(
    ("covariances", "said"),
    [
        (-COVARIANCES, r"covariance \[0\] has a negative variance"),
        (np.array([np.eye(2), np.eye(2), -2 * np.eye(2)]), r"covariance \[2\] has a negative variance"),
        (np.array([[[1, 2], [2, 1]]] * 3), "has a negative variance"),
        (np.array([[[4, 1], [0, 4]]] * 3), "is not symmetric"),
        (COVARIANCES * np.nan, "is not finite"),
        ([[["1", "0"], ["0", "1"]]] * 3, "expected covariances of numbers, got text"),
        ([[[1, 0], [0]]] * 3, "expected covariances of numbers, got lists of unequal length"),
    ],
)
def test_no_rule_takes_what_is_no_covariance(rule, covariances, said):
    with pytest.raises(CovarianceError, match=said):
        rule(MEANS, covariances)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_every_rule_wants_as_many_covariances_as_means(rule):
    with pytest.raises(FusionError, match=r"expected covariances of shape \(3, 2, 2\) .*, got \(2, 2, 2\)"):
        rule(MEANS, COVARIANCES[:2])
    with pytest.raises(FusionError, match="a point is not finite"):
        rule(MEANS * np.nan, COVARIANCES)
    with pytest.raises(FusionError, match=r"expected points of shape \(..., M, 2\), got \(3, 3\)"):
        rule(np.zeros((3, 3)), COVARIANCES)


WEIGHED = {
    "moment_match": lambda weights: moment_match(MEANS, COVARIANCES, weights),
    "covariance_intersection": lambda weights: covariance_intersection(MEANS, COVARIANCES, weights),
    "geometric_median": lambda weights: (geometric_median(MEANS, weights),),
    "karcher_mean": lambda weights: (karcher_mean(MEANS, weights),),
}


@pytest.mark.parametrize("rule", WEIGHED.values(), ids=WEIGHED)
def test_weights_are_shares_whatever_their_sum(rule):
    """A mixture of two that were given 1 each had twice the variance of either."""
    for one, other in zip(rule([1.0, 2.0, 5.0]), rule([0.125, 0.25, 0.625]), strict=True):
        assert one == pytest.approx(other, rel=1e-12)


@pytest.mark.parametrize("rule", WEIGHED.values(), ids=WEIGHED)
@pytest.mark.parametrize(
    "weights", [[1, 1], [1, -1, 1], [0, 0, 0], [np.nan, 1, 1], [np.inf, 1, 1], ["1", "1", "1"], [[1, 1, 1], [1]]]
)
def test_weights_that_are_none_are_refused(rule, weights):
    with pytest.raises(FusionError, match="expected 3 weights"):
        rule(weights)


def test_to_minimise_something_else_is_refused():
    with pytest.raises(FusionError, match="expected to minimise one of determinant, trace, got 'det'"):
        covariance_intersection(MEANS, COVARIANCES, minimise="det")


@pytest.mark.parametrize("place", [[95.0, 11.0], [48.0, 500.0]])
def test_a_member_on_no_map_is_refused(place):
    """A latitude of 95 was said to be spread over the whole earth."""
    with pytest.raises(FusionError, match="row 1: expected member 2 at a latitude within 90 degrees .*, got "):
        fuse([[MUNICH] * 3, [MUNICH, MUNICH, place]], COVARIANCES)


@pytest.mark.parametrize("origin", [(np.nan, 11.0), (95.0, 11.0), (48.0, 500.0), (48.0,), ("48", "11")])
def test_an_origin_that_is_no_place_is_refused(origin):
    with pytest.raises(ParametersError, match="origin: expected latitudes"):
        fuse_about(origin, MEANS[None], COVARIANCES)


@pytest.mark.parametrize("far", [1e9, 1e200])
def test_a_member_beyond_the_earth_is_refused(far):
    beyond = np.array([MEANS, [[0, 0], [0, far], [0, 0]]])

    with pytest.raises(FusionError, match="row 1: expected member 1 within 20003931 m of the origin, .*, got 0, 1"):
        fuse_about(MUNICH, beyond, COVARIANCES)


def test_a_members_bias_is_part_of_its_error():
    covariance = residual_covariance([[5.0, 0.0], [5.0, 0.0], [5.0, 0.0]])

    assert covariance.tolist() == [[25.0, 0.0], [0.0, 0.0]]


@pytest.mark.parametrize(("residuals", "said"), [(np.zeros((2, 2)), "got 2"), (np.full((5, 2), np.nan), "finite")])
def test_residuals_that_teach_nothing_are_refused(residuals, said):
    with pytest.raises(CalibrationError, match=said):
        residual_covariance(residuals)
