"""Projected grids: fitted with pyproj when a release is made, served without it, right to a millimetre."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys

import numpy as np
import pyproj
import pytest

from sextant.errors import MissingExtra, ParametersError
from sextant.fuse import fuse
from sextant.geodesy import to_east_north
from sextant.projected import Projection, polynomials
from sextant_export import projection
from sextant_export.projection import complaint, fitted, projections

CODES = ["EPSG:25832", "EPSG:3857", "EPSG:3413", "EPSG:2154", "EPSG:2193", "EPSG:3031", "EPSG:31467", "EPSG:2263"]


@pytest.fixture(scope="module")
def maps():
    """Each as a release keeps it, through JSON."""
    return {code: json.loads(json.dumps(fitted(code))) for code in CODES}


def to_wgs84(code):
    """Easting and northing to latitude and longitude, by pyproj and by the transformation that was fitted."""
    transformer = projection.read(code).transformer

    def convert(points):
        longitude, latitude = transformer.transform(points[..., 0], points[..., 1])
        return np.stack([latitude, longitude], axis=-1)

    return convert


def somewhere(grid, rows, seed):
    low, high = np.transpose([grid.easting, grid.northing])
    return np.random.default_rng(seed).uniform(low, high, (rows, 2))


@pytest.mark.parametrize("code", CODES)
def test_a_grid_is_where_pyproj_says_to_a_millimetre(maps, code):
    grid = Projection(maps[code])
    points = somewhere(grid, 20_000, seed=1)

    apart = to_east_north(to_wgs84(code)(points), grid.ground(points).position)

    assert np.hypot(*apart.T).max() < 1e-3
    assert maps[code]["error_m"] < 1e-3


@pytest.mark.parametrize("code", CODES)
def test_a_step_on_the_grid_is_the_step_on_the_ground(maps, code):
    """The Jacobian holds scale and convergence: against geodesics between points a few metres apart."""
    grid = Projection(maps[code])
    points = somewhere(grid, 200, seed=2)
    ground = grid.ground(points)

    for axis, step in enumerate(np.eye(2) * 10):
        there, back = (to_wgs84(code)(points + sign * step) for sign in (1, -1))
        moved = (to_east_north(ground.position, there) - to_east_north(ground.position, back)) / 20
        assert ground.jacobian[:, :, axis] == pytest.approx(moved, rel=1e-5, abs=1e-5)


def test_the_web_map_is_a_third_too_long_where_the_survey_was_made(maps, real_data):
    """Every metre of UJIIndoorLoc's coordinates is 0.766 m on the ground, and not quite the same east as north."""
    with gzip.open(real_data / "ujiindoorloc" / "trainingData.csv.gz", "rt") as file:
        header = file.readline().strip().split(",")
        columns = [header.index(name) for name in ("LONGITUDE", "LATITUDE")]
        points = np.loadtxt(io.StringIO(file.read()), delimiter=",", usecols=columns)

    ground = Projection(maps["EPSG:3857"]).ground(points)

    scale = 1 / ground.jacobian[:, (0, 1), (0, 1)].mean(axis=0)
    assert scale == pytest.approx([1.3034, 1.3086], abs=2e-4)
    assert np.sqrt(scale.prod()) == pytest.approx(1.305, abs=2e-3)
    assert np.abs(ground.jacobian[:, (0, 1), (1, 0)]).max() < 1e-9
    assert ground.position[0] == pytest.approx([39.99297, -0.067744], abs=1e-5)


def test_grid_north_is_not_true_north(maps):
    """At 9.95 degrees in zone 32 (central meridian 9): convergence dlon sin(lat), scale below one."""
    easting, northing = pyproj.Transformer.from_crs(4326, 25832, always_xy=True).transform(9.95, 48.0)

    jacobian = Projection(maps["EPSG:25832"]).ground(np.array([[easting, northing]])).jacobian[0]

    bearing = np.rad2deg(np.arctan2(jacobian[0, 1], jacobian[1, 1]))
    assert bearing == pytest.approx(0.95 * np.sin(np.deg2rad(48)), abs=1e-3)
    assert np.sqrt(np.linalg.det(jacobian)) == pytest.approx(1 / 0.99966, abs=2e-5)


def test_a_pole_is_a_place_like_any_other(maps):
    """Latitude and longitude have no derivative there; their normal has."""
    grid = Projection(maps["EPSG:3413"])

    ground = grid.ground(np.array([[0.0, 0.0], [100.0, 0.0], [-100.0, 0.0]]))

    assert ground.position[0, 0] == pytest.approx(90, abs=1e-9)
    assert np.isfinite(ground.jacobian).all()
    assert np.abs(np.linalg.det(ground.jacobian)) == pytest.approx(1 / 0.97007**2, abs=1e-3)
    assert to_east_north(ground.position[1], ground.position[2]) == pytest.approx([0, 206.17], abs=0.05)


def test_members_around_the_pole_are_fused_on_the_grid(maps):
    grid = Projection(maps["EPSG:3413"])
    ground = grid.ground(np.array([[300.0, 40.0], [-300.0, 40.0], [0.0, -80.0]]))
    spreads = ground.jacobian @ np.diag([100.0, 400.0]) @ np.swapaxes(ground.jacobian, -1, -2)

    fix = fuse(ground.position[None], spreads[None], gate=None)

    assert to_east_north((90.0, 0.0), fix.position)[0] == pytest.approx([0, 0], abs=1e-2)
    axes = np.sqrt(np.linalg.eigvalsh(fix.covariance[0])) * 0.97007
    assert axes == pytest.approx(np.sqrt([400 + 3200, 100 + 60_000]), rel=1e-3)


@pytest.mark.parametrize(("code", "first"), [("EPSG:31467", 3.5e6), ("EPSG:2193", 1.6e6), ("EPSG:3413", 0.0)])
def test_easting_comes_first_whatever_the_axes_of_the_system(maps, code, first):
    """In 31467 and 2193 northing is the first axis; both axes of 3413 point south."""
    low, high = maps[code]["easting"]

    assert low < first < high
    assert maps[code]["northing"][1] > 1e6


def test_the_antimeridian_is_no_edge(maps):
    """New Zealand's grid reaches beyond it with its margin; Web Mercator has it at both ends."""
    grid = Projection(maps["EPSG:3857"])
    edge = 20037508.342789244

    places = grid.ground(np.array([[edge - 10.0, 0.0], [edge + 10.0, 0.0], [-edge + 10.0, 0.0]])).position

    assert to_east_north(places[0], places[1]) == pytest.approx([20, 0], abs=1e-3)
    assert places[1] == pytest.approx(places[2], abs=1e-8)


def test_a_grid_in_feet_answers_in_metres(maps):
    jacobian = Projection(maps["EPSG:2263"]).ground(np.array([[984_250.0, 200_000.0]])).jacobian[0]

    assert np.sqrt(np.linalg.det(jacobian)) == pytest.approx(1200 / 3937, rel=1e-4)


def test_a_zone_may_be_used_a_little_beyond_its_edge(maps):
    """All of Germany is mapped in zone 32: Görlitz, at 15 degrees, lies three degrees outside."""
    grid = Projection(maps["EPSG:25832"])
    easting, northing = pyproj.Transformer.from_crs(4326, 25832, always_xy=True).transform(14.99, 51.15)

    assert not grid.outside(np.array([[easting, northing]])).any()
    assert grid.ground(np.array([[easting, northing]])).position[0] == pytest.approx([51.15, 14.99], abs=1e-8)


def test_no_points_are_no_places(maps):
    ground = Projection(maps["EPSG:2154"]).ground(np.zeros((0, 2)))

    assert (ground.position.shape, ground.jacobian.shape) == ((0, 2), (0, 2, 2))


def test_what_lies_outside_is_known(maps):
    grid = Projection(maps["EPSG:2154"])

    assert grid.outside(np.array([[652_000.0, 6.86e6], [652_000.0, 0.0], [-7e6, 6.86e6]])).tolist() == [
        False,
        True,
        True,
    ]


def test_a_map_says_how_it_was_made(maps):
    told = maps["EPSG:31467"]

    assert "Gauss-Kruger" in told["operation"]
    assert told["accuracy_m"] > 0
    assert all(grid.endswith(".tif") for grid in told["missing_grids"])
    assert fitted("EPSG:31467") == told  # the same every time


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("EPSG:4326", "EPSG:4326 is WGS 84, a Geographic 2D CRS and no projected one: write frame: latitude_longitude"),
        ("EPSG:5773", "EPSG:5773 is EGM96 height, a Vertical CRS and no projected one: name the code"),
        ("EPSG:7415", "a Compound CRS and no projected one"),
        ("EPSG:4978", "a Geocentric CRS and no projected one"),
        ("EPSG:999999", "EPSG:999999 is no coordinate reference system that pyproj"),
        ("utm32", "expected a code such as EPSG:25832, got 'utm32'"),
        ("EPSG:25832", ""),
    ],
)
def test_a_code_that_is_no_grid_is_refused(code, said):
    assert said in complaint(code)
    assert bool(said) == bool(complaint(code))


def test_a_grid_that_does_not_fill_its_rectangle_is_refused():
    """Equal Earth is round: outside of it there is no place."""
    with pytest.raises(ParametersError, match="EPSG:8857 cannot be mapped to a millimetre .* latitude_longitude"):
        fitted("EPSG:8857")


def test_only_projected_frames_are_fitted(maps):
    found = projections(["east_north_m", "EPSG:2154", "latitude_longitude", "EPSG:2154"])

    assert list(found) == ["EPSG:2154"]
    assert found["EPSG:2154"] == maps["EPSG:2154"]


def test_without_pyproj_the_line_to_type_is_given(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyproj", None)

    with pytest.raises(MissingExtra, match=r"a frame with an EPSG code needs an extra: pip install .*\[export\]"):
        fitted("EPSG:25832")


def test_serving_a_grid_loads_no_pyproj():
    program = "import sys, sextant.projected, sextant.blocks; print('pyproj' in sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    assert loaded == "False\n"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"easting": [1, 0]}, "easting: expected the smaller end first"),
        ({"northing": [0]}, "northing: expected 2 finite numbers"),
        ({"normals": [[1, 0, 0]]}, "normals: expected any × any × 3 finite numbers"),
    ],
)
def test_a_map_that_is_none_is_refused(changed, said):
    with pytest.raises(ParametersError, match=said):
        Projection({"easting": [0, 1], "northing": [0, 1], "normals": [[[1, 0, 0]]], **changed})


def test_polynomials_are_chebyshevs():
    x = np.linspace(-1, 1, 11)

    assert polynomials(x, 6) == pytest.approx(np.cos(np.arange(6)[:, None] * np.arccos(x)))
    assert polynomials(x, 1).shape == (1, 11)
