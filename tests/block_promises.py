"""What each block promises, each written once and asked through every door."""

from __future__ import annotations

import numpy as np
import pytest

from block_doors import FUSE, RefusedError, fused, members


def scale_shifts_and_keeps_missing_at_nothing(door):
    answer = door(
        "scale",
        {"width": 3, "offset": 104, "missing": 100},
        {"features": np.array([[-104, -50, 100]], np.float32)},
    )

    assert answer["scaled"].tolist() == [[0.0, 54.0, 0.0]]
    assert answer["scaled"].dtype == np.float32


def scale_divides_clips_and_raises(door):
    parameters = {"width": 3, "offset": 1, "divisor": 2, "power": 2}

    answer = door("scale", parameters, {"features": np.array([[3, -9, 7]], np.float32)})

    assert answer["scaled"].tolist() == [[4.0, 0.0, 16.0]]


def scale_names_row_and_column_of_what_is_no_number(door):
    features = np.zeros((2, 3), np.float32)
    features[1, 2] = np.nan

    with pytest.raises(RefusedError, match="features: expected finite numbers, got nan in row 1, column 2"):
        door("scale", {"width": 3}, {"features": features})


def scale_refuses_another_width(door):
    with pytest.raises(RefusedError, match=r"features: expected rows of 3 numbers, got shape \[1, 4\]"):
        door("scale", {"width": 3}, {"features": np.zeros((1, 4), np.float32)})


def scale_refuses_what_is_out_of_range_but_not_what_is_missing(door):
    parameters = {"width": 2, "missing": 100, "at_least": -110, "at_most": 0}

    assert door("scale", parameters, {"features": np.array([[-110, 100]], np.float32)})["scaled"].tolist() == [[0, 0]]
    with pytest.raises(RefusedError, match="numbers up to 0, got 5 in row 0, column 1"):
        door("scale", parameters, {"features": np.array([[-1, 5]], np.float32)})
    with pytest.raises(RefusedError, match="numbers from -110 on, got -200 in row 0, column 0"):
        door("scale", parameters, {"features": np.array([[-200, -1]], np.float32)})


def fuse_matches_moments_about_its_origin(door):
    answer = door("fuse", FUSE, members([0, 0], [30, 10], [-10, 20]))

    assert answer["fused_position"] == pytest.approx(np.array([[48.137089932, 11.575089581]]), abs=1e-8)
    assert answer["fused_covariance"].ravel() == pytest.approx([530.555556, -50, -50, 308.333333], abs=1e-3)
    assert answer["fused_between_share"].ravel() == pytest.approx([355.555556 / 838.888889])
    assert answer["fused_members_used"].tolist() == [[3]]
    assert answer["fused_multimodal"].tolist() == [[False]]


def fuse_takes_the_covariances_members_bring(door):
    parameters = {**FUSE, "member_covariances": [None, None, None]}
    spread = {f"covariance_{slot}": 4 * np.eye(2, dtype=np.float32)[None] for slot in range(3)}

    answer = door("fuse", parameters, {**members([0, 0], [0, 0], [0, 0]), **spread})

    assert answer["fused_covariance"].ravel() == pytest.approx([4, 0, 0, 4])


def fuse_says_which_member_is_missing(door):
    with pytest.raises(RefusedError, match="member_2: expected the positions of member 'ash', got none"):
        door("fuse", FUSE, members([0, 0], [0, 0]))


def fuse_says_which_covariance_is_missing(door):
    with pytest.raises(RefusedError, match="covariance_0: expected covariances of member 'oak', which has none from"):
        door("fuse", {**FUSE, "member_covariances": None}, members([0, 0], [0, 0], [0, 0]))


def fuse_refuses_a_member_too_many(door):
    with pytest.raises(RefusedError, match="member_3: expected the tensors of 3 members, got one more"):
        door("fuse", FUSE, members([0, 0], [0, 0], [0, 0], [0, 0]))


def fuse_refuses_a_position_that_is_no_number(door):
    with pytest.raises(RefusedError, match="member_1: expected finite numbers, got inf in row 0, column 1"):
        door("fuse", FUSE, members([0, 0], [0, np.inf], [0, 0]))


def fuse_refuses_a_covariance_no_point_could_have(door):
    spread = {"covariance_1": np.array([[[1, 2], [2, 1]]], np.float32)}

    with pytest.raises(RefusedError, match=r"covariance_1: expected covariances, got .*negative variance"):
        door("fuse", FUSE, {**members([0, 0], [0, 0], [0, 0]), **spread})


def fuse_refuses_a_latitude_beyond_the_pole(door):
    parameters = {key: value for key, value in FUSE.items() if key not in ("frame", "origin")}

    with pytest.raises(RefusedError, match="member_1: expected latitudes within 90 degrees, got 91 in row 0"):
        door("fuse", parameters, members([48, 11], [91, 11], [48, 11]))


def ellipse_answers_a_position_with_its_ellipses(door):
    answer = door("ellipse", {"confidence_levels": [0.5, 0.95], "release": 7}, fused(rows=2))

    assert answer["position"].tolist() == [[48.0, 11.0]] * 2
    assert answer["confidence_level"].tolist() == [[0.5, 0.95]] * 2
    wanted = [[8.781024121, 5.813532857, 25.097214454], [18.255088331, 12.085897311, 25.097214454]]
    assert answer["ellipse"] == pytest.approx(np.array([wanted] * 2), rel=1e-9)
    assert (answer["calibrated"].tolist(), answer["release"].tolist()) == ([[False]] * 2, [[7]] * 2)
    assert answer["release"].dtype == np.int32


def ellipse_takes_the_radii_of_calibration(door):
    answer = door("ellipse", {"confidence_levels": [0.9], "radii": [3.0], "release": 1}, fused())

    assert answer["ellipse"][0, 0, 0] == pytest.approx(3 * 7.457915214844783)
    assert answer["calibrated"].tolist() == [[True]]


def ellipse_flags_a_line(door):
    line = np.array([[[25.0, 0.0], [0.0, 0.0]]])

    answer = door("ellipse", {"confidence_levels": [0.95], "release": 1}, fused(fused_covariance=line))

    assert answer["degenerate"].tolist() == [[True]]
    assert answer["ellipse"][0, 0, 1] == 0.0


def ellipse_refuses_what_is_no_covariance(door):
    wrong = np.array([[[1.0, 2.0], [2.0, 1.0]]])

    with pytest.raises(RefusedError, match=r"fused_covariance: expected covariances, got .*negative variance"):
        door("ellipse", {"confidence_levels": [0.95], "release": 1}, fused(fused_covariance=wrong))


PROMISES = [
    promise for name, promise in sorted(globals().items()) if name.split("_")[0] in ("scale", "fuse", "ellipse")
]
