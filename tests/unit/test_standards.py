from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from functools import reduce
from operator import xor

import numpy as np
import pytest

from sextant.ellipse import confidence_ellipse, mahalanobis_radius
from sextant.errors import CovarianceError, ParametersError
from sextant.fix import ErrorEllipse, Fix
from sextant.standards import nmea_gst

NOON = datetime(2026, 5, 4, 12, 0, 0, tzinfo=timezone.utc)
FIX = Fix(
    48.0,
    11.0,
    ((30.0, 12.0), (12.0, 50.0)),
    (0.5, 0.95),
    (ErrorEllipse(0.5, 8.78, 5.81, 25.1), ErrorEllipse(0.95, 18.26, 12.09, 25.1)),
)
# From receivers' manuals: Trimble's and u-blox's examples, which our reading has to agree with first.
PUBLISHED = [
    "$GPGST,172814.0,0.006,0.023,0.020,273.6,0.023,0.020,0.031*6A\r\n",
    "$GPGST,082356.00,1.8,,,,1.7,1.3,2.2*7E\r\n",
]


def read(sentence):
    """The fields of a GST sentence by their meaning, after its checksum; as a receiver's reader would."""
    assert sentence.startswith("$")
    assert sentence.endswith("\r\n")
    payload, checksum = sentence[1:-2].split("*")
    assert int(checksum, 16) == reduce(xor, payload.encode("ascii"))
    assert len(checksum) == 2
    talker, *values = payload.split(",")
    assert (talker[2:], len(values)) == ("GST", 8)
    names = ["time", "range_rms", "sd_major", "sd_minor", "orientation", "sd_latitude", "sd_longitude", "sd_altitude"]
    numbers = [float(value) if value else None for value in values[1:]]
    return {"talker": talker[:2], **dict(zip(names, [values[0], *numbers], strict=True))}


@pytest.mark.parametrize("sentence", PUBLISHED)
def test_receivers_own_sentences_are_read(sentence):
    assert read(sentence)["sd_altitude"] in (0.031, 2.2)


def test_a_fix_is_read_back_from_its_sentence():
    fields = read(FIX.to_nmea_gst(NOON))

    assert (fields["talker"], fields["time"]) == ("GN", "120000.00")
    assert fields["sd_major"] == pytest.approx(7.457915, abs=5e-4)
    assert fields["sd_minor"] == pytest.approx(4.937556, abs=5e-4)
    assert fields["orientation"] == 25.1
    assert fields["sd_latitude"] == pytest.approx(50**0.5, abs=5e-4)
    assert fields["sd_longitude"] == pytest.approx(30**0.5, abs=5e-4)
    assert (fields["range_rms"], fields["sd_altitude"]) == (None, None)


def test_the_axes_of_a_sentence_are_one_standard_deviation():
    """Whatever the levels that are served: GST has no level."""
    assert read(FIX.to_nmea_gst(NOON))["sd_major"] < FIX.ellipse(0.5).semi_major_m


def test_a_time_is_told_in_utc_and_never_rounds_up_to_a_minute():
    late = datetime(2026, 5, 4, 1, 59, 59, 999_999, tzinfo=timezone(timedelta(hours=2)))

    assert read(FIX.to_nmea_gst(late))["time"] == "235959.99"


def test_an_axis_that_rounds_to_the_south_points_north():
    west_of_north = ((1.0, -0.001), (-0.001, 4.0))

    assert read(nmea_gst(west_of_north, NOON, "GN"))["orientation"] == 0.0


def test_a_sentence_is_never_longer_than_it_may_be():
    widest = nmea_gst(((9.9e15, -9.8e15), (-9.8e15, 9.9e15)), NOON, "IN")

    assert len(widest) <= 82
    assert read(widest)["orientation"] == 135.0


def test_a_deviation_longer_than_the_earth_is_left_empty():
    fields = read(nmea_gst(((1e18, 0.0), (0.0, 4.0)), NOON, "GN"))

    assert (fields["sd_major"], fields["sd_longitude"], fields["sd_minor"]) == (None, None, 2.0)


@pytest.mark.parametrize("time", [NOON.replace(tzinfo=None), "12:00", None])
def test_a_time_without_its_zone_is_refused(time):
    with pytest.raises(ParametersError, match="expected a time with its zone"):
        FIX.to_nmea_gst(time)


@pytest.mark.parametrize("talker", ["G", "GPS", "gn", "G1", "Ü*", "", 5, None])
def test_a_talker_has_two_capital_letters(talker):
    with pytest.raises(ParametersError, match="expected two capital letters"):
        FIX.to_nmea_gst(NOON, talker=talker)


def test_no_covariance_no_sentence():
    with pytest.raises(CovarianceError, match="not finite"):
        nmea_gst(((float("nan"), 0.0), (0.0, 1.0)), NOON, "GN")


def test_quakeml_says_percent_and_names_the_axes_by_its_own_names():
    assert FIX.to_quakeml(0.5) == {
        "minHorizontalUncertainty": 5.81,
        "maxHorizontalUncertainty": 8.78,
        "azimuthMaxHorizontalUncertainty": 25.1,
        "confidenceLevel": 50.0,
        "preferredDescription": "uncertainty ellipse",
    }


@pytest.mark.parametrize("minor_m", [0.0, 4.7e-7])
def test_quakeml_of_a_line_is_a_circle_and_no_ellipse(minor_m):
    """A minHorizontalUncertainty of 0.0 was published of a real earthquake, and read as perfect knowledge."""
    line = ErrorEllipse(0.95, 5006.0, minor_m, 90.0)
    fix = Fix(48.0, 11.0, ((1e6, 0.0), (0.0, 0.0)), (0.95,), (line,), degenerate=minor_m > 0)

    assert fix.to_quakeml() == {
        "horizontalUncertainty": 5006.0,
        "confidenceLevel": 95.0,
        "preferredDescription": "horizontal uncertainty",
    }


def test_the_circle_of_a_line_holds_the_truth_as_often_as_the_ellipse_of_its_level():
    """Along a line the chi-square radius of two dimensions is generous: what is promised is kept."""
    east = np.random.default_rng(1).normal(0, 30, 100_000)
    unit = confidence_ellipse([[900.0, 0.0], [0.0, 0.0]], mahalanobis_radius(0.95))
    axes = (float(axis) for axis in unit[:3])
    fix = Fix(0.0, 0.0, ((900.0, 0.0), (0.0, 0.0)), (0.95,), (ErrorEllipse(0.95, *axes),), degenerate=True)

    assert np.mean(np.abs(east) <= fix.to_quakeml()["horizontalUncertainty"]) >= 0.95


def test_quakeml_takes_the_surest_ellipse_unless_told_which():
    assert FIX.to_quakeml()["confidenceLevel"] == 95.0
    with pytest.raises(ParametersError, match=r"no ellipse at 0\.9"):
        FIX.to_quakeml(0.9)


def test_a_fix_without_ellipses_says_so():
    with pytest.raises(ParametersError, match=r"no ellipse at 0\.95: this pipeline answers none$"):
        replace(FIX, confidence_levels=(), ellipses=()).to_quakeml()


@pytest.mark.parametrize("level", [0.07, 0.29, 0.57, 0.999])
def test_a_percentage_is_not_a_hair_off(level):
    fix = Fix(0.0, 0.0, ((1.0, 0.0), (0.0, 1.0)), (level,), (ErrorEllipse(level, 2.0, 1.0, 0.0),))

    assert fix.to_quakeml()["confidenceLevel"] == float(f"{100 * level:.10g}")


def test_a_variance_a_hair_below_zero_is_a_line():
    """What rounding leaves of a line's covariance is admitted everywhere else too."""
    covariance = ((100.0, 0.0), (0.0, -1e-12))

    assert nmea_gst(covariance, datetime(2026, 5, 4, tzinfo=timezone.utc), "GN").split(",")[3:5] == ["10.000", "0.000"]
    about = Fix(48.0, 11.0, covariance, (), ()).to_geojson()["features"][0]["properties"]
    assert (about["sd_east_m"], about["sd_north_m"]) == pytest.approx((10.0, 0.0))
