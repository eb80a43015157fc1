"""Members' frames: each takes answers, and what is said of their errors, to the earth."""

from __future__ import annotations

import numpy as np
import pytest

from sextant.errors import InputRefused, ParametersError
from sextant.frames import Degrees, Grid, Plane, frames
from sextant.fuse import residual_covariance
from sextant.geodesy import to_east_north, to_latitude_longitude, transport
from sextant_export.projection import projections

TOWER = (48.85837, 2.29448)
CODES = ("EPSG:2154", "EPSG:3857")


@pytest.fixture(scope="module")
def maps():
    return projections(CODES)


def told(frame, **more):
    return {"members": ["oak", "elm", "ash"], "frame": frame, **more}


def test_one_frame_is_for_all_and_a_mapping_for_each(maps):
    each = {"oak": "EPSG:2154", "elm": "east_north_m", "ash": "latitude_longitude"}

    grid, plane, degrees = frames(told(each, origin=[48.8, 2.3], projections=maps))

    assert isinstance(grid, Grid)
    assert (grid.slot, grid.member, grid.code) == (0, "oak", "EPSG:2154")
    assert plane == Plane(1, "elm", (48.8, 2.3))
    assert degrees == Degrees(2)
    assert frames({"members": ["oak"]}) == (Degrees(0),)


def test_planes_may_have_an_origin_each():
    _, elm, ash = frames(
        told({"oak": "latitude_longitude", "elm": "east_north_m", "ash": "east_north_m"},
             origin={"elm": [1, 2], "ash": [3, 4]})
    )  # fmt: skip

    assert (elm.origin, ash.origin) == ((1, 2), (3, 4))


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        (told("utm"), "frame: expected latitude_longitude, east_north_m or a code such as EPSG:25832, got 'utm'"),
        (told("epsg:25832"), "frame: expected .* got 'epsg:25832'"),
        (told(None), "frame: expected .* got None"),
        (told({"oak": "latitude_longitude"}), "frame: none for member 'elm'"),
        (told({"oka": "latitude_longitude"}), "frame: 'oka' is none of the members oak, elm, ash that have one"),
        (told("east_north_m"), "origin: expected 2 finite numbers, got None"),
        (told("east_north_m", origin=[91, 0]), "origin: expected a latitude within 90 degrees, got 91"),
        (told("latitude_longitude", origin=[48, 11]), "origin: only members in the frame east_north_m have one"),
        (told("east_north_m", origin={"oak": [1, 2]}), "origin: none for member 'elm'"),
        (told("EPSG:25832"), "projections: none of EPSG:25832, in which member 'oak' answers"),
    ],
)
def test_a_frame_that_is_none_is_refused(parameters, said):
    with pytest.raises(ParametersError, match=said):
        frames(parameters)


def spots(seed=1):
    """Some hundred metres around a tower: truth, and answers off by a known ten metres east and five south."""
    truth = to_latitude_longitude(TOWER, np.random.default_rng(seed).uniform(-300, 300, (50, 2)))
    return truth, to_latitude_longitude(truth, np.tile([10.0, -5.0], (50, 1)))


def answered(frame, places, maps):
    """Places as a member of this frame would give them."""
    if frame == "latitude_longitude":
        return places
    if frame == "east_north_m":
        return to_east_north(TOWER, places)
    import pyproj

    easting, northing = pyproj.Transformer.from_crs(4326, frame, always_xy=True).transform(places[:, 1], places[:, 0])
    return np.stack([easting, northing], axis=-1)


@pytest.mark.parametrize("name", ["latitude_longitude", "east_north_m", *CODES])
def test_errors_are_metres_on_the_ground_in_any_frame(name, maps):
    """On the web map the same errors would read 15.2 and 7.6: they are taken out of it."""
    truth, places = spots()
    origin = {"origin": TOWER} if name == "east_north_m" else {}
    frame = frames(told(name, projections=maps, **origin))[0]

    errors = frame.errors(answered(name, places, maps), truth)

    assert errors == pytest.approx(np.tile([10.0, -5.0], (50, 1)), abs=2e-3)
    assert residual_covariance(errors) == pytest.approx(np.array([[100, -50], [-50, 25]]), abs=0.05)


@pytest.mark.parametrize("name", ["latitude_longitude", "east_north_m", *CODES])
def test_answers_and_covariances_are_carried_to_where_they_are(name, maps):
    _, places = spots()
    origin = {"origin": TOWER} if name == "east_north_m" else {}
    frame = frames(told(name, projections=maps, **origin))[0]
    said = np.tile([[9.0, 2.0], [2.0, 4.0]], (50, 1, 1))

    placed = frame.placed(answered(name, places, maps))
    carried = placed.covariance(said)

    assert np.abs(to_east_north(places, placed.position)).max() < 1e-3
    assert np.array_equal(carried, np.swapaxes(carried, -1, -2))
    if name == "latitude_longitude":
        assert carried == pytest.approx(said)
    if name == "east_north_m":
        assert carried[7] == pytest.approx(transport(said[7], TOWER, places[7]), rel=1e-6)
    if name == "EPSG:3857":
        assert carried[0] == pytest.approx(said[0] / 1.5155**2, rel=1e-2)
    if name == "EPSG:2154":
        assert np.linalg.det(carried) == pytest.approx(32.0, rel=2e-3)
        assert carried[0] != pytest.approx(said[0], rel=1e-3)


def test_what_calibration_measured_is_on_the_ground_already(maps):
    measured = np.array([[9.0, 2.0], [2.0, 4.0]])
    grid = frames(told("EPSG:3857", projections=maps))[0]
    plane = frames(told("east_north_m", origin=TOWER))[0]
    truth, _ = spots()

    assert grid.measured(measured, grid.placed(answered("EPSG:3857", truth, maps))) is measured
    turned = plane.measured(measured, plane.placed(np.array([[200_000.0, 0.0]])))
    there = to_latitude_longitude(TOWER, [200_000.0, 0.0])
    assert turned[0] == pytest.approx(transport(measured, TOWER, there), rel=1e-6)


def test_an_answer_outside_the_grid_names_member_row_and_domain(maps):
    frame = frames(told({"oak": "latitude_longitude", "elm": "EPSG:2154", "ash": "EPSG:2154"}, projections=maps))[1]

    with pytest.raises(InputRefused) as refused:
        frame.placed(np.array([[652_000.0, 6_862_000.0], [2.3, 48.8]], np.float32))

    assert refused.value.tensor == "member_1"
    assert str(refused.value) == (
        "member_1: expected eastings from -678306 to 1620650 and northings from 5705282 to 7535613 of EPSG:2154 "
        "from member 'elm', got 2.299999952, 48.79999924 in row 1"
    )


def test_a_latitude_beyond_the_pole_is_refused():
    with pytest.raises(InputRefused, match="member_0: expected latitudes within 90 degrees, got 91 in row 1"):
        Degrees(0).placed(np.array([[48.0, 11.0], [91.0, 11.0]]))


def test_longitudes_from_0_to_360_are_those_of_the_maps():
    """A lone member's answer is the fix itself, whose longitude a map must take."""
    placed = Degrees(0).placed(np.array([[48.0, 349.0], [48.0, -190.0], [48.0, 180.0], [48.0, -180.0]]))

    assert placed.position[:, 1].tolist() == [-11.0, 170.0, 180.0, -180.0]


def test_a_longitude_beyond_a_turn_is_refused():
    with pytest.raises(InputRefused, match="member_0: expected longitudes within 360 degrees, got 1e[+]30 in row 0"):
        Degrees(0).placed(np.array([[48.0, 1e30]]))


@pytest.mark.parametrize("far", [1e9, -3e7, 1e200])
def test_no_place_is_farther_than_half_the_way_round_the_earth(far):
    """A geodesic of 1e9 m ends somewhere: anywhere, and with a small ellipse."""
    plane = Plane(1, "elm", (48.8, 2.3))
    answers = np.array([[20_003_931.0, 0.0], [0.0, far]])
    said = r"member_1: expected distances within 20003931 m, half the way round the earth, from member 'elm', got 0, "

    assert np.isfinite(plane.placed(answers[:1]).position).all()
    for refusing in (plane.placed, lambda given: plane.errors(given, np.full((2, 2), 48.0))):
        with pytest.raises(InputRefused, match=f"{said}.* in row 1") as refused:
            refusing(answers)
        assert refused.value.came == f"0, {far:.10g} in row 1"


@pytest.mark.parametrize("origin", [[48.1, 500], [48.1, "11.5"], [48.1, True], [95, 0]])
def test_an_origin_is_a_place(origin):
    with pytest.raises(ParametersError, match="origin: expected"):
        frames(told("east_north_m", origin=origin))
