from __future__ import annotations

import json

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.image import imread

from sextant.answers import ErrorEllipse, Fix
from sextant.geodesy import to_latitude_longitude
from sextant_cli.demo.bay import simulate
from sextant_cli.demo.drawing import HELD, MISSED, Ellipses, apart, ellipse_keys
from sextant_cli.demo.figure import Plot, densest, readable, write_figure
from sextant_cli.demo.geojson import MOST_FIXES, of_fix, write_geojson


def fix_at(latitude, longitude, semi_major_m=40.0):
    levels = (0.5, 0.95)
    ellipses = tuple(ErrorEllipse(level, semi_major_m * level, 20.0 * level, 30.0) for level in levels)
    return Fix(latitude, longitude, ((400.0, 50.0), (50.0, 200.0)), levels, ellipses)


@pytest.fixture(scope="module")
def survey():
    return simulate(walks=20, steps=15)


@pytest.fixture(scope="module")
def fixes(survey):
    offsets = np.random.default_rng(3).normal(0, 12, (len(survey), 2))
    return [fix_at(*place) for place in to_latitude_longitude(survey.truth, offsets)]


def test_the_picture_is_a_png_wide_enough_to_read(tmp_path, fixes, survey):
    write_figure(tmp_path / "new" / "fixes.png", fixes, survey)

    height, width, _ = imread(tmp_path / "new" / "fixes.png").shape
    assert (width, height) == (1820, 1170)


def test_the_same_fixes_give_the_same_picture(tmp_path, fixes, survey):
    for name in ("one.png", "two.png"):
        write_figure(tmp_path / name, fixes, survey)

    np.testing.assert_array_equal(imread(tmp_path / "one.png"), imread(tmp_path / "two.png"))


def test_ellipses_are_drawn_where_and_as_long_as_they_were_served(fixes, survey):
    plot = Plot.of(fixes, survey, [0.5, 0.95])

    assert [level.confidence_level for level in plot.levels] == [0.95, 0.5]
    np.testing.assert_allclose(plot.levels[0].semi_major_m, 38.0)
    assert np.abs(plot.fixes - plot.truth).max() < 60


@pytest.mark.parametrize("fewest", [3, 40])
def test_readable_ellipses_overlap_only_where_there_is_no_room(fewest):
    centres = np.random.default_rng(0).uniform(0, 100, (200, 2))
    radius = np.full(200, 20.0)

    rows = readable(centres, radius, fewest)

    gaps = np.linalg.norm(centres[rows][:, None] - centres[rows], axis=2) + 1e9 * np.eye(len(rows))
    assert len(rows) >= fewest
    assert (gaps.min() > 40) == (fewest == 3)


def test_no_more_are_drawn_than_asked_for():
    centres = np.arange(20.0).reshape(10, 2) * 100

    assert len(apart(centres, np.ones(10), most=4)) == 4


def test_what_the_close_up_shows_is_on_the_map_too():
    """Whoever compares the framed part with the close-up finds the same ellipses."""
    centres = np.random.default_rng(0).uniform(0, 100, (200, 2))
    radius = np.full(200, 12.0)
    near = np.flatnonzero(np.all(centres < 50, axis=1))

    close = near[readable(centres[near], radius[near], fewest=3)]
    rows = readable(centres, radius, 5, close)

    assert set(close) < set(rows)
    assert set(rows) & set(near) == set(close)


def test_an_ellipse_has_the_colour_of_what_it_holds(survey):
    """Also in axes of kilometres, and magnified; a key has the same rim."""
    north = to_latitude_longitude(survey.truth[:3], np.array([[0.0, 5.0], [0.0, 90.0], [0.0, 5.0]]))
    ellipses = Ellipses.of([fix_at(*place) for place in north], survey.truth[:3], 0.95)
    axes = Figure().subplots()

    ellipses.draw(axes, survey.east_north[:3] / 1e3, np.arange(3), scale=10 / 1e3)

    blue, orange = axes.collections
    assert [to_hex(drawn.get_edgecolor()[0]) for drawn in (blue, orange)] == [HELD, MISSED]
    assert [len(drawn.get_offsets()) for drawn in (blue, orange)] == [2, 1]
    np.testing.assert_allclose(orange.get_widths(), 2 * 38.0 * 10 / 1e3)
    np.testing.assert_allclose(orange.get_angles(), 60.0)
    assert [key.get_markeredgecolor() for key in ellipse_keys("it")] == [HELD, MISSED]


def test_the_close_up_goes_where_fixes_are_densest():
    crowd = np.random.default_rng(0).normal((500, 500), 5, (80, 2))
    strays = np.random.default_rng(0).uniform(0, 300, (40, 2))

    middle = densest(np.concatenate([strays, crowd]), 20)

    assert np.linalg.norm(middle - 500) < 30


def test_one_ellipse_that_dwarfs_the_survey_does_not_stop_the_picture(tmp_path, survey):
    fixes = [fix_at(*place, semi_major_m=1e5) for place in survey.truth]

    write_figure(tmp_path / "fixes.png", fixes, survey)

    assert (tmp_path / "fixes.png").stat().st_size > 10_000


def test_a_map_gets_points_ellipses_and_true_places_that_belong_together(tmp_path, fixes, survey):
    written = write_geojson(tmp_path / "new" / "fixes.geojson", fixes[:4], survey.take(np.arange(4)))

    collection = json.loads((tmp_path / "new" / "fixes.geojson").read_text())
    first = [feature for feature in collection["features"] if feature["properties"]["row"] == 0]
    assert written == 4
    assert collection["type"] == "FeatureCollection"
    assert [feature["geometry"]["type"] for feature in first] == ["Point", "Polygon", "Polygon", "Point"]
    assert first[-1]["geometry"]["coordinates"] == pytest.approx([survey.longitude[0], survey.latitude[0]])
    assert first[-1]["properties"]["true_place"]
    assert 0 < first[-1]["properties"]["error_m"] < 60


def test_a_large_run_is_thinned_evenly_to_what_a_browser_draws(tmp_path, fixes, survey):
    written = write_geojson(tmp_path / "fixes.geojson", fixes, survey)

    collection = json.loads((tmp_path / "fixes.geojson").read_text())
    rows = {feature["properties"]["row"] for feature in collection["features"]}
    assert written == len(rows) == MOST_FIXES
    assert {0, len(fixes) - 1} <= rows


def test_a_map_shows_by_colour_which_ellipses_hold_the_true_place(survey):
    """In the words of simplestyle; every feature says how far off the fix was."""
    place = survey.truth[0]
    (north,) = to_latitude_longitude(place[None], np.array([[0.0, 18.0]]))

    point, surest, narrowest = of_fix(fix_at(*north), place, time_s=3.0)

    assert [ellipse["properties"]["confidence_level"] for ellipse in (surest, narrowest)] == [0.95, 0.5]
    assert [ellipse["properties"]["stroke"] for ellipse in (surest, narrowest)] == [HELD, MISSED]
    assert surest["properties"]["fill-opacity"] < 0.2
    assert "marker-color" in point["properties"]
    for feature in (point, surest, narrowest):
        assert feature["properties"]["error_m"] == pytest.approx(18.0, abs=0.01)
        assert feature["properties"]["time_s"] == 3.0
