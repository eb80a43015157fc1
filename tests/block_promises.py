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
    with pytest.raises(RefusedError, match="member_1: expected finite numbers of .*, got inf in row 0, column 1"):
        door("fuse", FUSE, members([0, 0], [0, np.inf], [0, 0]))


def fuse_refuses_a_covariance_no_point_could_have(door):
    spread = {"covariance_1": np.array([[[1, 2], [2, 1]]], np.float32)}

    with pytest.raises(RefusedError, match=r"covariance_1: expected covariances of member 'elm', got .*negative var"):
        door("fuse", FUSE, {**members([0, 0], [0, 0], [0, 0]), **spread})


def fuse_refuses_a_latitude_beyond_the_pole(door):
    parameters = {key: value for key, value in FUSE.items() if key not in ("frame", "origin")}

    with pytest.raises(RefusedError, match="member_1: expected latitudes within 90 degrees, got 91 in row 0"):
        door("fuse", parameters, members([48, 11], [91, 11], [48, 11]))


def fuse_takes_standard_deviations_and_log_variances(door):
    said = {"sigmas_0": np.array([[2, 3]], np.float32), "log_variances_1": np.log(np.array([[4, 9]], np.float32))}

    answer = door("fuse", {**FUSE, "member_covariances": [None, None, [[4, 0], [0, 9]]]}, members(*[[0, 0]] * 3) | said)

    assert answer["fused_covariance"].ravel() == pytest.approx([4, 0, 0, 9], abs=1e-5)


def fuse_names_the_members_it_left_out(door):
    five = {**FUSE, "members": ["oak", "elm", "ash", "fir", "yew"], "member_covariances": [[[25, 0], [0, 25]]] * 5}

    answer = door("fuse", five, members([0, 0], [3, 0], [0, 3], [900, 0], [1, 1]))

    assert answer["fused_members_rejected"].tolist() == [[b"fir"]]
    assert answer["fused_members_used"].tolist() == [[4]]


def fuse_refuses_a_deviation_below_nothing(door):
    said = {"sigmas_1": np.array([[1, -2]], np.float32)}

    with pytest.raises(RefusedError, match="sigmas_1: .* of member 'elm', got .* negative: -2 in row 0, axis 1"):
        door("fuse", FUSE, members([0, 0], [0, 0], [0, 0]) | said)


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


def ellipse_passes_on_the_members_that_were_overruled(door):
    given = {"confidence_levels": [0.95], "release": 1}
    rejected = {"fused_members_rejected": np.array([[b"mlp,forest"], [b""]], object)}

    told, untold = door("ellipse", given, fused(rows=2, **rejected)), door("ellipse", given, fused(rows=2))

    assert told["members_rejected"].tolist() == [[b"mlp,forest"], [b""]]
    assert untold["members_rejected"].tolist() == [[b""], [b""]]
    assert untold["scale_method"].tolist() == [[b"chi2"], [b"chi2"]]


def ellipse_of_the_spread_of_few_members_is_larger(door):
    used = {"fused_members_used": np.array([[3], [5], [100]], np.int32)}

    answer = door("ellipse", {"confidence_levels": [0.95], "release": 1, "scale_method": "f"}, fused(rows=3, **used))

    assert answer["ellipse"][:, 0, 0] / 7.457915214844783 == pytest.approx([32.61901, 5.528716, 2.51075], rel=1e-6)
    assert (answer["scale_method"].tolist(), answer["calibrated"].tolist()) == ([[b"f"]] * 3, [[False]] * 3)


def ellipse_of_the_spread_of_two_members_is_refused(door):
    few = fused(rows=2, fused_members_used=np.array([[3], [2]], np.int32))

    with pytest.raises(RefusedError, match="fused_members_used: expected 3 members or more, .* got 2 in row 1"):
        door("ellipse", {"confidence_levels": [0.95], "release": 1, "scale_method": "f"}, few)


FLOORS = {"by": "column", "column": "floor", "values": ["0", "1"], "radii": [[1.0, 2.0], [3.0, 4.0]]}


def ellipse_takes_the_radii_of_the_group_the_caller_names(door):
    parameters = {"confidence_levels": [0.5, 0.95], "release": 1, "groups": FLOORS}

    answer = door("ellipse", parameters, fused(rows=3, group=np.array([[b"1"], [b"0"], [b"1"]], object)))

    assert answer["ellipse"][..., 0] / 7.457915214844783 == pytest.approx(np.array([[3, 4], [1, 2], [3, 4]]))
    assert (answer["scale_method"].tolist(), answer["calibrated"].tolist()) == ([[b"conformal"]] * 3, [[True]] * 3)


def ellipse_refuses_a_group_that_no_known_case_was_in(door):
    parameters = {"confidence_levels": [0.5, 0.95], "release": 1, "groups": FLOORS}

    with pytest.raises(RefusedError, match="group: expected a floor of the known cases: 0, 1, got '2'"):
        door("ellipse", parameters, fused(group=np.array([[b"2"]], object)))


def ellipse_takes_the_radii_of_the_band_a_fix_falls_into(door):
    bands = {"by": "sd_major_m", "edges": [5, 10], "radii": [[1.0], [2.0], [3.0]]}
    rings = {"by": "distance_m", "from": [48.0, 11.0], "edges": [1000], "radii": [[1.0], [2.0]]}
    places = np.array([[48.0, 11.0], [48.0, 11.1]])

    by_spread = door("ellipse", {"confidence_levels": [0.9], "release": 1, "groups": bands}, fused())
    by_place = door(
        "ellipse", {"confidence_levels": [0.9], "release": 1, "groups": rings}, fused(rows=2, fused_position=places)
    )

    assert by_spread["ellipse"][0, 0, 0] == pytest.approx(2 * 7.457915214844783)
    assert by_place["ellipse"][:, 0, 0] == pytest.approx([7.457915214844783, 2 * 7.457915214844783])


PROMISES = [
    promise for name, promise in sorted(globals().items()) if name.split("_")[0] in ("scale", "fuse", "ellipse")
]
