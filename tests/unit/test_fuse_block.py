"""The block ``fuse``: what members may say, in which slots, and the sentences where they may not."""

from __future__ import annotations

import numpy as np
import pytest

from block_doors import FUSE, members
from sextant.blocks import Fuse
from sextant.errors import InputRefused, ParametersError
from sextant.fuse import fuse, fuse_about
from sextant.geodesy import to_east_north, to_latitude_longitude
from sextant_export.projection import projections

PLAIN = {key: value for key, value in FUSE.items() if key != "member_covariances"}
ORIGIN = tuple(FUSE["origin"])
FIVE = {**PLAIN, "members": ["a", "b", "c", "d", "e"]}


def rows(count=4, seed=1, each=3):
    """What *each* members answer, some metres around the origin."""
    return np.random.default_rng(seed).normal(0, 10, (count, each, 2))


def tensors(offsets, dtype=np.float32, **more):
    answers = {f"member_{i}": offsets[:, i].astype(dtype) for i in range(offsets.shape[1])}
    return answers | {name: np.asarray(array) for name, array in more.items()}


SAID = {
    "covariance": np.array([[[9.0, 2.0], [2.0, 4.0]], [[100.0, 0], [0, 1]], [[1, 0], [0, 1]], [[25, -5], [-5, 4]]]),
    "sigmas": np.array([[3.0, 2.0], [10.0, 1.0], [1.0, 1.0], [5.0, 2.0]]),
    "log_variances": np.log([[9.0, 4.0], [100.0, 1.0], [1.0, 1.0], [25.0, 4.0]]),
}
MEANT = {
    "covariance": SAID["covariance"],
    "sigmas": np.eye(2) * SAID["sigmas"][:, None] ** 2,
    "log_variances": np.eye(2) * np.exp(SAID["log_variances"])[:, None],
}


@pytest.mark.parametrize("word", sorted(SAID))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_member_says_its_errors_in_its_own_way(word, dtype):
    offsets, said = rows(), {f"{word}_{i}": SAID[word].astype(dtype) for i in range(3)}

    answer = Fuse(PLAIN)(**tensors(offsets, np.float64), **said)

    by_hand = fuse_about(ORIGIN, offsets, np.repeat(MEANT[word][:, None], 3, axis=1))
    assert answer["fused_position"] == pytest.approx(by_hand.position, abs=1e-9)
    assert answer["fused_covariance"] == pytest.approx(by_hand.covariance, rel=1e-5, abs=1e-5)


def test_members_may_say_their_errors_each_in_another_way():
    offsets = rows()
    said = {"covariance_0": SAID["covariance"], "sigmas_1": SAID["sigmas"]}

    block = Fuse({**PLAIN, "member_covariances": [None, None, [[7, 1], [1, 5]]]})
    answer = block(**tensors(offsets, np.float64, **said))

    measured = np.tile([[7.0, 1.0], [1.0, 5.0]], (4, 1, 1))
    by_hand = fuse_about(ORIGIN, offsets, np.stack([MEANT["covariance"], MEANT["sigmas"], measured], axis=1))
    assert answer["fused_covariance"] == pytest.approx(by_hand.covariance, rel=1e-9)


@pytest.mark.parametrize(
    ("name", "bad", "said"),
    [
        ("sigmas_1", np.nan, "deviations of member 'elm', got a standard deviation is not finite: nan in row 2"),
        ("sigmas_1", -1.0, "a standard deviation is negative: -1 in row 2, axis 1"),
        ("sigmas_1", np.inf, "a standard deviation is not finite: inf in row 2, axis 1"),
        ("log_variances_1", np.inf, "logarithms of variances of member 'elm', got a logarithm of a variance is not"),
        ("log_variances_1", 301.0, "a logarithm of a variance is farther than 300 from 0: 301 in row 2, axis 1"),
        ("log_variances_1", -np.inf, "is not finite: -inf in row 2"),
    ],
)
def test_an_error_that_is_none_is_refused_with_member_and_row(name, bad, said):
    values = np.ones((4, 2), np.float32)
    values[2, 1] = bad

    with pytest.raises(InputRefused, match=said) as refused:
        Fuse(FUSE)(**tensors(rows(), **{name: values}))
    assert refused.value.tensor == name


def test_a_float32_log_variance_that_would_overflow_is_a_large_variance():
    """exp(89) is infinite in float32, where the network computed; here it is 4.5e38, and the others still count."""
    logs = np.full((1, 2), 89.0, np.float32)
    with np.errstate(over="ignore"):
        assert np.isinf(np.exp(logs)).all()

    answer = Fuse({**FUSE, "method": "inverse_variance", "members_are_independent": True})(
        **members([0, 0], [30, 10], [-10, 20]), log_variances_2=logs
    )

    first_two = np.linalg.inv(FUSE["member_covariances"][:2]).sum(axis=0)
    assert answer["fused_covariance"][0] == pytest.approx(np.linalg.inv(first_two), rel=1e-6)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"sigmas_0": np.ones((1, 3))}, r"sigmas_0: expected 1 rows of 2 numbers, got shape \[1, 3\]"),
        ({"sigmas_0": np.ones((2, 2))}, r"sigmas_0: expected 1 rows of 2 numbers, got shape \[2, 2\]"),
        ({"covariance_0": np.ones((1, 4))}, r"covariance_0: expected 1 rows of 2 × 2 numbers, got shape \[1, 4\]"),
        (
            {"covariance_0": np.eye(2)[None], "sigmas_0": np.ones((1, 2))},
            "covariance_0: expected member 'oak' to say its errors once, got covariance_0 and sigmas_0",
        ),
        ({"sigmas_5": np.ones((1, 2))}, "sigmas_5: expected the tensors of 3 members, got one more"),
        ({"foo": np.ones((1, 2))}, "foo: expected the tensors of 3 members, got one more"),
        ({"member_01": np.ones((1, 2))}, "member_01: expected the tensors of 3 members, got one more"),
    ],
)
def test_what_does_not_fit_its_slot_is_refused(given, said):
    with pytest.raises(InputRefused, match=said):
        Fuse(FUSE)(**members([0, 0], [30, 10], [-10, 20]), **given)


def test_a_slot_is_of_the_type_its_member_gives():
    """Degrees need FP64: float32 rounds a longitude to a metre."""
    degrees = {"members": ["a", "b"], "member_covariances": [[[1, 0], [0, 1]]] * 2, "slots": {"member_0": "FP64"}}
    place = to_latitude_longitude((48.0, 151.0), [[0.123, 0.456]])

    block = Fuse(degrees)

    types = {tensor.name: tensor.dtype for tensor in block.inputs}
    assert (types["member_0"], types["member_1"], types["sigmas_7"]) == ("FP64", "FP32", "FP32")
    assert [tensor.name for tensor in block.inputs] == [tensor.name for tensor in Fuse.inputs]
    exact = block(member_0=place, member_1=place)["fused_position"]
    rounded = block(member_0=place.astype(np.float32), member_1=place.astype(np.float32))["fused_position"]
    assert np.abs(to_east_north(place, exact)).max() < 1e-6
    assert np.abs(to_east_north(place, rounded)).max() > 0.1


def test_every_release_of_a_pipeline_has_the_same_slots():
    assert len(Fuse.inputs) == 32
    assert all(tensor.optional for tensor in Fuse.inputs)


@pytest.mark.parametrize("slots", [{"member_9": "FP32"}, {"member_0": "INT64"}, {"sigma_0": "FP32"}])
def test_a_slot_that_is_none_is_refused(slots):
    with pytest.raises(ParametersError, match="slots: expected a slot such as member_0 and FP32 or FP64"):
        Fuse({**FUSE, "slots": slots})


def test_members_that_were_left_out_are_named():
    offsets = np.zeros((3, 5, 2))
    offsets[1, 1] = offsets[2, 3] = offsets[2, 0] = 500.0

    answer = Fuse({**FIVE, "member_covariances": [[[25, 0], [0, 25]]] * 5})(**tensors(offsets))

    assert answer["fused_members_rejected"].tolist() == [[b""], [b"b"], [b"a,d"]]
    assert answer["fused_members_used"].tolist() == [[5], [4], [3]]


METHODS = [
    {"method": "moment"},
    {"method": "moment", "weights": [1, 2, 3], "gate": None},
    {"method": "covariance_intersection"},
    {"method": "covariance_intersection", "minimise": "trace"},
    {"method": "covariance_intersection", "weights": [1, 1, 1]},
    {"method": "inverse_variance", "members_are_independent": True},
    {"method": "spread"},
]


@pytest.mark.parametrize("chosen", METHODS, ids=str)
def test_the_block_is_the_library(chosen):
    options = {"gate": 0.99, **{key: value for key, value in chosen.items() if key != "members_are_independent"}}
    offsets = rows()
    spreads = None if chosen["method"] == "spread" else np.array(FUSE["member_covariances"], float)

    answer = Fuse({**FUSE, **chosen})(**tensors(offsets, np.float64))

    by_hand = fuse_about(ORIGIN, offsets, spreads, **options)
    assert np.array_equal(answer["fused_position"], by_hand.position)
    assert np.array_equal(answer["fused_covariance"], by_hand.covariance)
    assert np.array_equal(answer["fused_between_share"][:, 0], by_hand.between_share)


def test_members_of_different_frames_are_fused_where_they_meet():
    """One on a grid, one in metres about an origin, one in degrees: all of them the same three places."""
    frame = {"oak": "EPSG:25832", "elm": "east_north_m", "ash": "latitude_longitude"}
    parameters = {**FUSE, "frame": frame, "projections": projections(frame.values())}
    offsets = rows(20) * 30
    places = to_latitude_longitude(ORIGIN, offsets)
    import pyproj

    east_north = pyproj.Transformer.from_crs(4326, 25832, always_xy=True).transform(places[:, 0, 1], places[:, 0, 0])
    answers = {"member_0": np.stack(east_north, -1), "member_1": offsets[:, 1], "member_2": places[:, 2]}
    sigmas = {f"sigmas_{i}": np.tile([20.0, 5.0], (20, 1)) for i in range(3)}

    answer = Fuse({**parameters, "member_covariances": None})(**answers, **sigmas)

    together = fuse(places, np.tile(np.diag([400.0, 25.0]), (3, 1, 1)))
    assert np.abs(to_east_north(together.position, answer["fused_position"])).max() < 0.02
    # Grid north differs from true north by 1.9 degrees here, so that one of three covariances is turned by as much.
    assert answer["fused_covariance"] == pytest.approx(together.covariance, rel=0.01, abs=6)


def test_one_grid_for_all_and_covariances_measured_on_the_ground():
    codes = {"frame": "EPSG:3857", "projections": projections(["EPSG:3857"])}
    import pyproj

    places = to_latitude_longitude((39.993, -0.067), rows(6))
    points = np.stack(
        pyproj.Transformer.from_crs(4326, 3857, always_xy=True).transform(places[..., 1], places[..., 0]), axis=-1
    )
    block = Fuse({"members": ["a", "b", "c"], "member_covariances": FUSE["member_covariances"], **codes})

    answer = block(**tensors(points, np.float64))

    together = fuse(places, np.array(FUSE["member_covariances"], float))
    assert np.abs(to_east_north(together.position, answer["fused_position"])).max() < 1e-3
    assert answer["fused_covariance"] == pytest.approx(together.covariance, rel=1e-4)


def test_float32_northings_are_half_a_metre_coarse():
    """Why a network that answers on a grid in float32 should rather answer metres about an origin."""
    assert np.spacing(np.float32(5_300_000.0)) == 0.5
    codes = {"frame": "EPSG:25832", "projections": projections(["EPSG:25832"])}
    block = Fuse({"members": ["a"], "member_covariances": [[[1, 0], [0, 1]]], **codes})
    points = np.array([[691_000.3, 5_334_000.3]])

    exact, rounded = (block(member_0=points.astype(kind))["fused_position"] for kind in (np.float64, np.float32))

    assert 0.05 < np.hypot(*to_east_north(exact, rounded)[0]) < 0.26


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"method": "inverse_variance"}, "method: inverse_variance is only for members whose errors are independent"),
        ({"method": "inverse_variance", "members_are_independent": False}, "method: inverse_variance is only for"),
        ({"members_are_independent": "yes"}, "members_are_independent: expected true or false, got 'yes'"),
        ({"minimise": "trace"}, "minimise: only covariance_intersection does; the method is moment"),
        (
            {"method": "covariance_intersection", "minimise": "area"},
            "minimise: expected one of determinant, trace, got 'area'",
        ),
        (
            {"method": "covariance_intersection", "minimise": "trace", "weights": [1, 1, 1]},
            "minimise: weights are given already; leave out either",
        ),
        (
            {"method": "inverse_variance", "members_are_independent": True, "weights": [1, 1, 1]},
            "weights: inverse_variance has its own; leave them out",
        ),
        ({"method": "spread", "weights": [1, 1, 1]}, "weights: spread has its own"),
        ({"method": "spread", "gate": 0.99}, "gate: spread has no covariances to gate by; leave it out"),
        ({"method": "spread", "members": ["a", "b"]}, "method: spread needs 3 members or more, got 2"),
        (
            {"method": "covariance_intersection", "member_covariances": [[[1, 0], [0, 0]]] * 3},
            "member_covariances: member 'oak' has .*, an error of nothing in some direction",
        ),
    ],
)
def test_a_method_that_does_not_go_with_the_rest_is_refused(changed, said):
    with pytest.raises(ParametersError, match=said):
        Fuse({**FUSE, **changed})


@pytest.mark.parametrize("method", ["covariance_intersection", "inverse_variance"])
def test_a_member_that_claims_no_error_at_all_cannot_be_weighed(method):
    sigmas = np.ones((2, 2), np.float32)
    sigmas[1] = 0, 3
    block = Fuse({**FUSE, "method": method, "members_are_independent": True})

    with pytest.raises(InputRefused, match=r"sigmas_1: .* 'elm' in which no .* got \[0.0, 3.0\] in row 1"):
        block(**tensors(rows(2), sigmas_1=sigmas))


def test_the_spread_wants_positions_alone():
    with pytest.raises(InputRefused, match="sigmas_1: expected positions alone, for spread is how they scatter"):
        Fuse({**FUSE, "method": "spread"})(**tensors(rows(2), sigmas_1=np.ones((2, 2))))


def test_an_answer_outside_its_grid_is_refused_by_name():
    codes = {"frame": "EPSG:25832", "projections": projections(["EPSG:25832"]), "member_covariances": [np.eye(2)] * 2}
    answers = np.array([[691_000.0, 5_334_000.0], [48.1, 11.6]])

    with pytest.raises(InputRefused, match=r"member_1: expected eastings .* from member 'b', got 48.1, 11.6"):
        Fuse({"members": ["a", "b"], **codes})(member_0=answers[[0, 0]], member_1=answers)


@pytest.mark.parametrize(
    "frame", ["east_north_m", {"oak": "latitude_longitude", "elm": "east_north_m", "ash": "east_north_m"}]
)
@pytest.mark.parametrize("far", [1e9, 1e200])
def test_a_member_beyond_the_earth_is_refused_by_name_with_its_row(frame, far):
    """In one plane, where all members share an origin, and on the ellipsoid, where they do not."""
    answers = tensors(np.array([[[48.0, 11.0]] * 3] * 2), np.float64)
    answers["member_1"][1] = [far, 0.0]

    with pytest.raises(
        InputRefused, match=r"member_1: expected distances within 20003931 m, .* 'elm', got .* in row 1"
    ):
        Fuse({**FUSE, "frame": frame})(**answers)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"member_1": np.zeros((3, 2))}, "member_1: expected as many rows as member_0 has, 2, got 3"),
        ({"member_2": np.zeros((1, 2))}, "member_2: expected as many rows as member_0 has, 2, got 1"),
        ({"member_0": np.full((2, 2), "1")}, "member_0: expected numbers of member 'oak', got text"),
        ({"member_0": np.full((2, 2), b"1", object)}, "member_0: expected numbers of member 'oak', got object"),
        ({"member_0": np.zeros((2, 2), complex)}, "member_0: expected numbers of member 'oak', got complex128"),
        ({"sigmas_1": np.full((2, 2), "1")}, "sigmas_1: expected standard deviations of member 'elm', got text"),
    ],
)
def test_what_is_no_tensor_of_as_many_numbers_is_refused(given, said):
    with pytest.raises(InputRefused, match=said):
        Fuse(FUSE)(**{**tensors(rows(2)), **given})


def test_weights_may_be_given_by_name():
    by_name = Fuse({**FUSE, "weights": {"ash": 1, "oak": 2, "elm": 5}})(**tensors(rows()))
    in_order = Fuse({**FUSE, "weights": [2, 5, 1]})(**tensors(rows()))

    assert by_name["fused_position"].tolist() == in_order["fused_position"].tolist()


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ({"oak": 1, "elm": 1}, "weights: none for member 'ash'"),
        ({"oak": 1, "elm": 1, "fir": 1}, "weights: 'fir' is none of the members oak, elm, ash"),
        ({"oak": 1, "elm": 1, "ash": "1"}, r"weights: expected 3 finite numbers, got \[1, 1, '1'\]"),
        ([True, 1, 1], r"weights: expected 3 finite numbers, got \[True, 1, 1\]"),
    ],
)
def test_weights_are_of_every_member(weights, said):
    with pytest.raises(ParametersError, match=said):
        Fuse({**FUSE, "weights": weights})
