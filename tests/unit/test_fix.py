from __future__ import annotations

import json

import numpy as np
import pytest

from sextant.answers import from_tensors
from sextant.blocks import BLOCKS
from sextant.errors import CovarianceError, ParametersError
from sextant.fix import ErrorEllipse, Fix


def answer(parameters, **changed):
    """What the ellipse block answers to two fixes."""
    tensors = {
        "fused_position": np.array([[48.0, 11.0], [-17.0, 179.99999]]),
        "fused_covariance": np.array([[[30.0, 12.0], [12.0, 50.0]], [[2.5e11, 0.0], [0.0, 0.0]]]),
        "fused_between_share": np.array([[0.25], [0.75]]),
        "fused_members_used": np.array([[3], [4]], np.int32),
        "fused_multimodal": np.array([[False], [True]]),
        "fused_members_rejected": np.array([[b"mlp,boost"], [b""]], object),
    }
    block = BLOCKS["ellipse"]({"confidence_levels": [0.5, 0.95], "release": 7, **parameters})
    return block(**{name: array for name, array in {**tensors, **changed}.items() if array is not None})


def fix_with(covariance):
    return Fix(48.0, 11.0, covariance, (), ())


@pytest.mark.parametrize(
    ("parameters", "method"),
    [({}, "chi2"), ({"scale_method": "f"}, "f"), ({"radii": [1.5, 3.0]}, "conformal")],
)
def test_a_fix_says_what_its_levels_rest_on(parameters, method):
    fixes = from_tensors(answer(parameters))

    assert [fix.scale_method for fix in fixes] == [method] * 2
    assert fixes[0].to_geojson(0.95)["properties"]["scale_method"] == method
    assert fixes[0].to_dict()["scale_method"] == method


def test_a_fix_names_the_members_that_were_overruled():
    first, second = from_tensors(answer({}))

    assert (first.members_rejected, second.members_rejected) == (("mlp", "boost"), ())
    members = first.to_geojson(0.95)["properties"]["members"]
    assert members == {"n": 5, "used": 3, "rejected": ["mlp", "boost"]}
    assert json.loads(json.dumps(first.to_dict()))["members_rejected"] == ["mlp", "boost"]


@pytest.mark.parametrize(("radii", "method"), [(None, "chi2"), ([1.5, 3.0], "conformal")])
def test_a_server_from_before_says_less_and_is_still_understood(radii, method):
    tensors = answer({"radii": radii})
    older = {name: array for name, array in tensors.items() if name not in ("scale_method", "members_rejected")}

    assert {(fix.scale_method, fix.members_rejected) for fix in from_tensors(older)} == {(method, ())}


def test_text_may_come_as_text():
    """Clients differ in whether they decode BYTES."""
    tensors = answer({})
    said = {name: np.array([[value.decode()] for (value,) in tensors[name]], object) for name in TEXTS}

    assert from_tensors(tensors | said) == from_tensors(tensors)


TEXTS = ("scale_method", "members_rejected")

PROPERTIES = {
    "latitude",
    "longitude",
    "semi_major_m",
    "semi_minor_m",
    "orientation_deg",
    "confidence",
    "confidence_level",
    "scale_factor",
    "scale_method",
    "sd_major_m",
    "sd_minor_m",
    "sd_east_m",
    "sd_north_m",
    "covariance_enu_m2",
    "drms_m",
    "cep50_m",
    "r95_m",
    "degenerate",
    "large",
    "calibrated",
    "members",
    "between_share",
    "multimodal",
    "release",
}


def test_an_ellipse_on_the_map_says_all_that_is_known_of_it():
    fix = from_tensors(answer({}))[0]

    feature = json.loads(json.dumps(fix.to_geojson(0.95), allow_nan=False))

    found = feature["properties"]
    assert found.keys() >= PROPERTIES
    assert (found["confidence"], found["scale_factor"]) == (0.95, pytest.approx(2.4477468307))
    assert (found["sd_east_m"], found["sd_north_m"]) == (pytest.approx(30**0.5), pytest.approx(50**0.5))
    assert (found["drms_m"], found["cep50_m"], found["r95_m"]) == (fix.drms_m, fix.cep50_m, fix.r95_m)
    assert (found["large"], found["degenerate"], found["release"]) == (False, False, 7)


def test_its_box_runs_from_west_to_east_across_the_antimeridian():
    fix = from_tensors(answer({}, fused_covariance=np.tile(np.eye(2), (2, 1, 1))))[1]

    west, south, east, north = fix.to_geojson(0.95)["bbox"]

    assert -180 < east < -179.9 < 179.9 < west < 180
    assert south < -17 < north


def test_a_line_of_a_thousand_kilometres_keeps_its_numbers_and_is_flagged():
    feature = from_tensors(answer({}))[1].to_geojson(0.95)

    found = feature["properties"]
    assert (found["large"], found["degenerate"]) == (True, True)
    assert (found["semi_minor_m"], found["sd_minor_m"], found["orientation_deg"]) == (0.0, 0.0, 90.0)


def test_a_point_is_drawn_half_a_metre_wide_and_says_that_it_is_one():
    tensors = answer({"scale_method": "chi2"}, fused_covariance=np.zeros((2, 2, 2)))

    found = from_tensors(tensors)[0].to_geojson(0.95)["properties"]

    assert (found["semi_major_m"], found["orientation_deg"], found["degenerate"]) == (0.0, 0.0, True)
    assert (found["scale_factor"], found["cep50_m"], found["r95_m"], found["drms_m"]) == (None, 0.0, 0.0, 0.0)


@pytest.mark.parametrize("bearing", [0.0, 33.0, 90.0, 170.0])
@pytest.mark.parametrize(
    ("minor", "cep50", "r90", "r95", "drms"),
    [
        (1.0, 1.177410, 2.145966, 2.447747, 1.414214),
        (0.7, 0.996207, 1.862530, 2.145981, 1.220656),
        (0.3, 0.749935, 1.673829, 1.984196, 1.044031),
        (0.1, 0.681985, 1.647912, 1.962530, 1.004988),
        (0.0, 0.674490, 1.644854, 1.959964, 1.000000),
    ],
)
def test_circles_are_those_of_the_axes_whichever_way_they_point(bearing, minor, cep50, r90, r95, drms):
    across = np.deg2rad(bearing)
    along, aside = np.array([np.sin(across), np.cos(across)]), np.array([-np.cos(across), np.sin(across)])
    covariance = 100 * (np.outer(along, along) + minor**2 * np.outer(aside, aside))

    fix = fix_with(tuple(map(tuple, covariance.tolist())))

    found = [fix.cep50_m, fix.r90_m, fix.r95_m, fix.drms_m]
    assert found == pytest.approx([10 * cep50, 10 * r90, 10 * r95, 10 * drms], abs=6e-6)


def test_a_covariance_that_is_none_has_no_circle_and_no_map():
    fix = Fix(48.0, 11.0, ((1.0, 2.0), (2.0, 1.0)), (0.5,), (ErrorEllipse(0.5, 2.0, 1.0, 0.0),))

    for ask in (lambda: fix.cep50_m, lambda: fix.to_geojson(0.5), fix.to_geojson):
        with pytest.raises(CovarianceError, match="negative variance"):
            ask()


@pytest.mark.parametrize(
    ("asked", "said"), [("0.95", "'0.95'"), (None, "None"), (0.9999999, "0.9999999"), (0.9, "0.9")]
)
def test_an_ellipse_is_asked_for_by_its_level(asked, said):
    fix = Fix(48.0, 11.0, ((30.0, 12.0), (12.0, 50.0)), (0.95,), (ErrorEllipse(0.95, 18.26, 12.09, 25.1),))

    with pytest.raises(ParametersError, match=f"no ellipse at {said}: this pipeline answers 0.95$"):
        fix.ellipse(asked)
