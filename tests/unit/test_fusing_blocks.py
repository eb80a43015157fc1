"""Each block as nodes of a graph: the same answers, the same rows refused, and a reason where it cannot be."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from graph_door import GraphDoor, asked, text
from sextant_export.fusing.steps import EXPRESSIONS, obstacle

RANDOM = np.random.default_rng(20260)
ROWS = 400

PLANE = {"frame": "east_north_m", "origin": [48.0, 11.0]}
COVARIANCES = [[[9, 1], [1, 4]], [[9, 0], [0, 4]], [[30, -2], [-2, 20]]]
FUSE = {"members": list("abc"), "member_covariances": COVARIANCES, **PLANE}
ELLIPSE = {"confidence_levels": [0.5, 0.9, 0.95], "release": 7}


def drawn(shape, scale=1.0, dtype=np.float32):
    return RANDOM.normal(0, scale, (ROWS, *shape)).astype(dtype)


def covariances(scale=10.0, dtype=np.float32):
    roots = drawn((2, 2), scale, np.float64)
    return (roots @ np.swapaxes(roots, 1, 2)).astype(dtype)


def members(count=3, scale=3000.0, dtype=np.float32):
    return {f"member_{i}": drawn((2,), scale, dtype) for i in range(count)}


def fused(covariance):
    rows = len(covariance)
    return {
        "fused_position": np.stack([RANDOM.uniform(-90, 90, rows), RANDOM.uniform(-180, 180, rows)], axis=-1),
        "fused_covariance": covariance,
        "fused_between_share": RANDOM.uniform(size=(rows, 1)),
        "fused_members_used": RANDOM.integers(3, 9, (rows, 1)).astype(np.int32),
        "fused_multimodal": RANDOM.integers(0, 2, (rows, 1)).astype(bool),
        "fused_members_rejected": text(["forest,mlp"] * rows),
    }


SCALES = [
    {},
    {"offset": 104.0, "missing": 100.0},
    {"offset": 104.0, "divisor": 104.0, "at_least": -104.0, "at_most": 0.0, "missing": 100.0},
    {"at_least": -1.0},
    {"at_most": 1.0, "divisor": 0.25, "power": 2.0},
]


@pytest.mark.parametrize("parameters", SCALES, ids=str)
def test_scale_gives_the_same_numbers_and_refuses_the_same_rows(parameters):
    """Bounds and the missing value themselves, a step beyond each, NaN and infinities among them."""
    features = RANDOM.uniform(-104, 0, (ROWS, 5)).astype(np.float32)
    edges = [np.nan, np.inf, -np.inf, 100, -104, 0, -1, 1, 3e38, -0.0]
    edges += [
        np.nextafter(np.float32(edge), np.float32(side)) for edge in (-104, 0, -1, 1) for side in (-np.inf, np.inf)
    ]
    features[: len(edges), 3] = edges

    differences = asked("scale", {"width": 5, **parameters}, {"features": features})

    assert differences == {"scaled": 0.0}


def test_a_row_that_scale_refuses_becomes_zeros_so_that_members_see_nothing_of_it():
    """A whole number made of NaN may be any place in a table, and end the whole batch."""
    features = np.array([[1, 2], [np.nan, 2]], np.float32)

    given, refused = GraphDoor("scale", {"width": 2}, {"features": features}).ask({"features": features})

    assert (given["scaled"].tolist(), refused.tolist()) == ([[1, 2], [0, 0]], [False, True])


def test_a_power_that_is_no_square_is_no_exact_copy():
    """ONNX Runtime's power and NumPy's differ in the last place."""
    features = np.abs(drawn((4,)))

    assert asked("scale", {"width": 4, "power": 0.7}, {"features": features})["scaled"] < 1e-6


@pytest.mark.parametrize("origin", [(48.0, 11.0), (0.0, 179.99), (-33.9, -179.9), (89.7, 20.0), (-90.0, 0.0)], ids=str)
def test_the_plane_reaches_the_earth_within_a_micrometre(origin):
    """At any latitude, across the antimeridian and over a pole, out to the plane's corners."""
    parameters = {"members": ["a"], "member_covariances": [[[9, 1], [1, 4]]], "frame": "east_north_m", "origin": origin}
    places = RANDOM.uniform(-1e5, 1e5, (ROWS, 2))
    places[:3] = [[0, 0], [1e5, 1e5], [-1e5, 0]]
    door = GraphDoor("fuse", parameters, {"member_0": places})

    given, _ = door.ask({"member_0": places})
    expected = door.block(member_0=places)

    assert in_space(given["fused_position"]) == pytest.approx(in_space(expected["fused_position"]), abs=1e-6)
    assert given["fused_covariance"] == pytest.approx(expected["fused_covariance"], abs=1e-9)


def in_space(position):
    latitude, longitude = np.deg2rad(position.T)
    level = np.cos(latitude)
    return 6.371e6 * np.stack([level * np.cos(longitude), level * np.sin(longitude), np.sin(latitude)])


METHODS = [
    {},
    {"weights": [1, 2, 3]},
    {"weights": {"c": 3, "a": 1, "b": 2}},
    {"gate": None},
    {"method": "covariance_intersection", "weights": [1, 2, 2]},
    {"method": "inverse_variance", "members_are_independent": True},
]


@pytest.mark.parametrize("method", METHODS, ids=str)
@pytest.mark.parametrize("brought", [(), (1,), (0, 1, 2)], ids=str)
def test_fuse_gives_the_same_fix(method, brought):
    """Members whose covariance was measured, and members that bring their own, which 32 bits made a little askew."""
    tensors = members() | {f"covariance_{i}": covariances() for i in brought}
    for i in brought:
        tensors[f"covariance_{i}"][0] = [[4, 4], [4, 4]] if method.get("method") is None else [[4, 1], [1, 4]]

    differences = asked("fuse", {**FUSE, **method}, tensors)

    assert differences.pop("fused_position") < 1e-11
    assert differences.pop("fused_covariance") < 1e-5
    assert differences.pop("fused_between_share") < 1e-12
    assert set(differences.values()) == {0}


@pytest.mark.parametrize(
    "rule", [{"gate": None}, {}, {"weights": [20, 20, 1]}, {"weights": [20, 20, 1], "gate": None}], ids=str
)
def test_fuse_of_members_far_apart_says_two_peaks_as_the_block_does(rule):
    """The flag turns at two thirds of the variance, or where two contradict each other beyond the gate."""
    near = drawn((2,), 5.0)
    tensors = {"member_0": near, "member_1": near + drawn((2,), 8.0), "member_2": near + drawn((2,), 8.0)}
    door = GraphDoor("fuse", {**FUSE, **rule}, tensors)

    given, _ = door.ask(tensors)

    assert 0.1 < given["fused_multimodal"].mean() < 0.9
    assert door.differences(tensors)["fused_multimodal"] == 0


def test_the_spread_of_members_is_their_sample_covariance():
    """Where they say nothing of themselves."""
    parameters = {"members": list("abcd"), "method": "spread", **PLANE}

    differences = asked("fuse", parameters, members(4))

    assert (differences["fused_position"] < 1e-11, differences["fused_between_share"]) == (True, 0)
    assert differences["fused_covariance"] < 1e-5


@pytest.mark.parametrize("word", ["sigmas", "log_variances"])
def test_members_may_say_deviations_or_logarithms(word):
    """And a row in which they are none is refused."""
    said = np.abs(drawn((2,), 10.0)) if word == "sigmas" else drawn((2,), 3.0)
    said[:4, 0] = [np.nan, np.inf, -1.0 if word == "sigmas" else 301.0, 1.0]
    tensors = members() | {f"{word}_1": said}

    differences = asked("fuse", {**FUSE, "slots": {f"{word}_1": "FP32"}}, tensors)

    assert (differences["fused_position"] < 1e-11, differences["fused_covariance"] < 1e-5) == (True, True)


def test_a_covariance_that_is_none_is_refused_with_its_row_alone():
    """NaN, infinity, asymmetry and a negative variance; what FP32 rounds is mended."""
    brought = covariances()
    brought[0], brought[1] = [[np.nan, 0], [0, 1]], [[np.inf, 0], [0, 1]]
    brought[2], brought[3], brought[4] = [[4, 2], [1, 4]], [[1, 2], [2, 1]], [[1, 1 + 1e-7], [1, 1]]
    tensors = members() | {"covariance_2": brought}

    _, refused = GraphDoor("fuse", FUSE, tensors).ask(tensors)

    assert asked("fuse", FUSE, tensors)["fused_covariance"] < 1e-5
    assert refused[:5].tolist() == [True, True, True, True, False]


def test_a_member_beyond_the_plane_leaves_its_row_without_an_answer():
    """There the block works on the ellipsoid, by iteration; a member that is no number has no answer from either."""
    tensors = members()
    tensors["member_1"][0], tensors["member_2"][1] = [100_001.0, 0.0], [np.nan, 0.0]
    tensors["member_0"][2] = [-100_000.0, 100_000.0]

    _, refused = GraphDoor("fuse", FUSE, tensors).ask(tensors)

    assert np.flatnonzero(refused).tolist() == [0, 1]


def test_what_is_beyond_the_earth_or_any_determinant_is_refused_by_both():
    tensors = members(dtype=np.float64) | {"covariance_2": covariances(dtype=np.float64)}
    tensors["member_1"][:2] = [[1e9, 0.0], [0.0, 1e200]]
    tensors["covariance_2"][2:4] = np.array([1e151, 1e308])[:, None, None] * np.eye(2)
    tensors["covariance_2"][4] = 1e149 * np.eye(2)

    door = GraphDoor("fuse", FUSE, tensors)

    _, refused = door.ask(tensors)

    assert refused.tolist() == door.refused_by_block(tensors) == [True] * 4 + [False] * (ROWS - 4)


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"members": list("abcd")}, "may leave out one of 4 members"),
        ({"frame": "latitude_longitude", "origin": None}, "do not all answer in the frame east_north_m"),
        ({"origin": {"a": [48, 11], "b": [48, 11], "c": [49, 11]}}, "about one origin"),
        ({"frame": {"a": "east_north_m", "b": "east_north_m", "c": "EPSG:25832"}}, "do not all answer"),
        ({"method": "covariance_intersection"}, "state them in `weights`"),
        ({"wieghts": [1, 2, 3]}, "does not know its parameter wieghts"),
    ],
)
def test_a_fuse_that_needs_iteration_is_left_with_the_reason(parameters, reason):
    """The compiler never guesses."""
    assert reason in obstacle("fuse", {**FUSE, **parameters})


@pytest.mark.parametrize("parameters", [{"gate": None}, {"method": "spread"}], ids=str)
def test_where_no_member_can_be_left_out_there_may_be_many(parameters):
    """Only the gate iterates."""
    assert obstacle("fuse", {**FUSE, "members": list("abcdefg"), **parameters}) is None


def test_origins_said_member_by_member_may_be_one():
    """What is said for each is the same as said for all."""
    each = {"frame": dict.fromkeys("abc", "east_north_m"), "origin": {member: [48.0, 11.0] for member in "abc"}}

    assert asked("fuse", {**FUSE, **each}, members())["fused_position"] < 1e-11


SIZES = [
    {},
    {"radii": [1.3, 2.2, 2.6]},
    {"scale_method": "f"},
    {"groups": {"by": "sd_major_m", "edges": [9.0, 15.0], "radii": [[1, 2, 3], [2, 3, 4], [3, 4, 5]]}},
]


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_ellipse_gives_the_same_ellipses(sizes):
    """Circles, lines, a point, axes along east and north, and a hair beside them."""
    matrices = covariances(dtype=np.float64)
    special = [
        [[0, 0], [0, 0]],
        [[4, 0], [0, 4]],
        [[4, 4], [4, 4]],
        [[4, 0], [0, 9]],
        [[9, 0], [0, 4]],
        [[4, -4], [-4, 4]],
    ]
    matrices[:6] = special
    matrices[6:9] = [[[4, 1e-14], [1e-14, 9]], [[4, -1e-14], [-1e-14, 9]], [[9e8, 1e-9], [1e-9, 1e-9]]]

    differences = asked("ellipse", {**ELLIPSE, **sizes}, fused(matrices))

    assert differences.pop("ellipse") < 1e-6
    assert set(differences.values()) == {0}


def test_the_radii_of_a_group_are_those_of_the_word_the_caller_sends():
    """And a word that no known case had is refused."""
    groups = {"by": "column", "column": "floor", "values": ["0", "caf\u00e9"], "radii": [[1, 2, 3], [4, 5, 6]]}
    words = ["0", "caf\u00e9", "attic", "cafe\u0301"]
    tensors = fused(covariances(dtype=np.float64)) | {"group": text(words * (ROWS // 4))}

    _, refused = GraphDoor("ellipse", {**ELLIPSE, "groups": groups}, tensors).ask(tensors)

    assert asked("ellipse", {**ELLIPSE, "groups": groups}, tensors)["ellipse"] < 1e-9
    assert refused[:4].tolist() == [False, False, True, False]


def test_fewer_than_three_members_have_no_ellipse_from_their_spread():
    """As the block refuses them."""
    tensors = fused(covariances(dtype=np.float64))
    tensors["fused_members_used"][:3] = [[1], [2], [3]]

    _, refused = GraphDoor("ellipse", {**ELLIPSE, "scale_method": "f"}, tensors).ask(tensors)

    assert refused[:4].tolist() == [True, True, False, False]
    assert asked("ellipse", {**ELLIPSE, "scale_method": "f"}, tensors)["ellipse"] < 1e-9


def test_bands_of_distance_are_left_with_the_reason():
    """The distance of a fix from a point is a geodesic."""
    groups = {"by": "distance_m", "from": [48, 11], "edges": [1000.0], "radii": [[1, 2, 3], [2, 3, 4]]}

    assert "geodesic" in obstacle("ellipse", {**ELLIPSE, "groups": groups})


def test_a_block_that_the_compiler_does_not_know_is_left():
    """Never compiled by its name alone."""
    assert obstacle("tally", {}) == "the compiler does not know this block"


@pytest.mark.parametrize("block", sorted(EXPRESSIONS))
def test_the_compiler_knows_no_parameter_that_the_block_does_not(block):
    """A parameter that a block drops must go here too; a new one is a reason to leave the block until it is known."""
    from sextant.blocks import BLOCKS

    assert EXPRESSIONS[block].known <= set(BLOCKS[block].parameters)


def test_a_parameter_that_a_block_gets_is_a_reason_to_leave_it():
    """No list of the compiler's grows with the block's."""
    program = (
        "from sextant.blocks import BLOCKS\n"
        "for block in BLOCKS.values(): block.parameters = (*block.parameters, 'novelty')\n"
        "from sextant_export.fusing.steps import EXPRESSIONS, obstacle\n"
        "print(*(name for name in EXPRESSIONS if 'novelty' not in str(obstacle(name, {'novelty': 1}))))"
    )

    trusting = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert trusting.stdout.split() == []
