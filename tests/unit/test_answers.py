from __future__ import annotations

import json
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from sextant.answers import ErrorEllipse, Fix, Label, Record, from_tensors, kind
from sextant.blocks import BLOCKS
from sextant.errors import ParametersError


@pytest.fixture
def tensors():
    """What the ellipse block answers to two fixes, the second a line."""
    block = BLOCKS["ellipse"]({"confidence_levels": [0.5, 0.95], "radii": [1.5, 3.0], "release": 7})
    return block(
        fused_position=np.array([[48.0, 11.0], [-17.0, 179.99999]]),
        fused_covariance=np.array([[[30.0, 12.0], [12.0, 50.0]], [[25.0, 0.0], [0.0, 0.0]]]),
        fused_between_share=np.array([[0.25], [0.75]]),
        fused_members_used=np.array([[3], [2]], np.int32),
        fused_multimodal=np.array([[False], [True]]),
    )


@pytest.fixture
def fixes(tensors):
    return from_tensors(tensors)


def test_each_row_becomes_a_fix(fixes):
    first, second = fixes

    assert (first.latitude, first.longitude) == (48.0, 11.0)
    assert first.covariance == ((30.0, 12.0), (12.0, 50.0))
    assert first.confidence_levels == (0.5, 0.95)
    assert (first.between_share, first.members_used, first.release) == (0.25, 3, 7)
    assert (first.degenerate, first.multimodal, first.calibrated) == (False, False, True)
    assert (second.degenerate, second.multimodal) == (True, True)


def test_values_are_pythons_own(fixes):
    """A NumPy scalar in an answer breaks JSON and prints its type."""
    fix = fixes[0]
    values = [
        fix.latitude,
        fix.between_share,
        fix.members_used,
        fix.degenerate,
        fix.release,
        *fix.ellipses[0],
    ]

    assert {type(value) for value in values} <= {float, int, bool}


def test_an_ellipse_is_asked_for_by_its_level(fixes):
    ellipse = fixes[0].ellipse(0.95)

    assert ellipse.semi_major_m == pytest.approx(3 * 7.457915214844783)
    assert ellipse.orientation_deg == pytest.approx(25.097214453867405)
    assert ellipse.area_m2 == pytest.approx(np.pi * 9 * np.sqrt(30 * 50 - 12 * 12))


def test_a_level_that_is_not_served_is_told_which_are(fixes):
    with pytest.raises(ValueError, match=r"no ellipse at 0\.9: this pipeline answers 0\.5, 0\.95"):
        fixes[0].ellipse(0.9)


def test_a_fix_is_a_value(tensors, fixes):
    assert fixes == from_tensors(tensors)
    assert len({*fixes, *from_tensors(tensors)}) == 2
    with pytest.raises(FrozenInstanceError):
        fixes[0].latitude = 0.0


def test_a_fix_survives_json(fixes):
    back = json.loads(json.dumps(fixes[0].to_dict()))

    assert back["covariance"] == [[30.0, 12.0], [12.0, 50.0]]
    assert back["ellipses"][1]["confidence_level"] == 0.95
    assert back["ellipses"][1]["area_m2"] == fixes[0].ellipse(0.95).area_m2
    assert back["release"] == 7


def test_geojson_is_the_point_and_its_ellipses_outermost_first(fixes):
    collection = json.loads(json.dumps(fixes[0].to_geojson()))

    point, outer, inner = collection["features"]
    assert collection["type"] == "FeatureCollection"
    assert point["geometry"] == {"type": "Point", "coordinates": [11.0, 48.0]}
    assert [outer["properties"]["confidence_level"], inner["properties"]["confidence_level"]] == [0.95, 0.5]
    assert outer["properties"]["scale_method"] == "conformal"
    assert outer["properties"]["scale_factor"] == pytest.approx(3.0)
    assert point["properties"]["sd_major_m"] == pytest.approx(7.457915214844783)
    assert point["properties"]["covariance_enu_m2"] == [[30.0, 12.0], [12.0, 50.0]]


def test_one_level_is_one_feature(fixes):
    feature = fixes[0].to_geojson(confidence_level=0.95)

    assert (feature["type"], feature["geometry"]["type"]) == ("Feature", "Polygon")
    assert feature["properties"]["semi_major_m"] == fixes[0].ellipse(0.95).semi_major_m


def test_a_line_keeps_its_axes_and_is_still_a_shape(fixes):
    feature = fixes[1].to_geojson(confidence_level=0.95)

    assert feature["geometry"]["type"] == "MultiPolygon"
    assert feature["properties"]["semi_minor_m"] == 0.0
    assert feature["properties"]["degenerate"] is True


def test_an_ellipse_of_a_thousand_kilometres_is_flagged():
    fix = Fix(0.0, 0.0, ((1e12, 0.0), (0.0, 1e10)), (0.5,), (ErrorEllipse(0.5, 1e6, 1e5, 90.0),))

    properties = fix.to_geojson(0.5)["properties"]

    assert properties["large"] is True
    assert properties["scale_method"] == "chi2"


def test_labels_and_records_are_read_by_their_names():
    label = {
        "label": np.array([[b"ship"]], object),
        "probabilities": np.array([[0.75, 0.25]], np.float32),
        "agreement": np.array([[1.0]], np.float32),
        "confidence": np.array([[88.0]], np.float32),
        "tied": np.array([[False]]),
        "release": np.array([[2]], np.int32),
    }
    record = {
        "record": np.array([[b'{"grade": 2}']], object),
        "agreement": np.array([[b'{"grade": 1.0}']], object),
        "confidence": np.array([[91.0]], np.float32),
        "record_supported": np.array([[True]]),
        "samples_used": np.array([[7]], np.int32),
        "tier": np.array([[b"small"]], object),
        "cost": np.array([[0.5]]),
        "seeds": np.array([[1, 2, 3]]),
    }

    assert from_tensors(label) == [Label("ship", (0.75, 0.25), 1.0, 88.0, tied=False, release=2)]
    assert from_tensors(record) == [
        Record(
            {"grade": 2},
            {"grade": 1.0},
            91.0,
            record_supported=True,
            samples_used=7,
            tier="small",
            cost=0.5,
            seeds=(1, 2, 3),
        )
    ]
    assert json.dumps([from_tensors(label)[0].to_dict(), from_tensors(record)[0].to_dict()])


def test_other_tensors_have_no_type():
    assert kind({"scores"}) == "tensors"
    with pytest.raises(ValueError, match="scores"):
        from_tensors({"scores": np.zeros((1, 2))})


def test_no_rows_are_no_answers(tensors):
    assert from_tensors({name: array[:0] for name, array in tensors.items()}) == []


def test_no_tensors_are_no_answer():
    with pytest.raises(ParametersError, match="expected the tensors of a position, a label or a record, got none$"):
        from_tensors({})
