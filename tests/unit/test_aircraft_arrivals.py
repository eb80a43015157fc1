"""The real arrivals of ``examples/aircraft``: how they are read, dealt out, and judged; and files that are none."""

from __future__ import annotations

import doctest
import shutil

import numpy as np
import pytest

from aircraft_example import arrivals, delays, network, tdoa
from sextant.errors import SurveyError
from sextant.geodesy import to_east_north


@pytest.fixture
def flights(real_data):
    return arrivals.read(real_data / "mlat_locards")


def test_every_message_is_read(flights):
    """1,147 of them, each heard by five receivers whose places are known; the first arrival is at nothing."""
    messages, known = flights

    assert [int(np.sum(messages.set_number == i)) for i in (1, 2, 3, 4)] == [362, 298, 253, 234]
    assert known.can_place(messages.features).all()
    assert np.all(messages.features[:, 5:10].min(axis=1) == 0)
    assert doctest.testmod(arrivals).failed == 0


def test_no_aircraft_both_teaches_and_calibrates(flights):
    parts = arrivals.split(flights[0])

    assert [len(parts.train), len(parts.calibration), len(parts.held_back)] == [362, 272, 487]
    assert not np.intersect1d(parts.train.aircraft, parts.calibration.aircraft).size


def test_the_table_of_known_cases_holds_the_features_under_their_names(flights):
    table = arrivals.frame(arrivals.split(flights[0]).calibration)

    assert list(table.columns) == [*network.COLUMNS, "latitude", "longitude", "aircraft"]


def test_air_and_delays_each_bring_the_solver_nearer(flights):
    """Learned on set 1, tried on set 2: the textbook in a vacuum, the textbook, the surveyed network."""
    messages, known = flights
    parts = arrivals.split(messages)
    drawn = delays.pressure(known, parts.train.features, parts.train.geometric_m)
    surveyed = delays.surveyed(drawn, parts.train.features, parts.train.truth)
    heard = drawn.heard(parts.calibration.features)
    ways = [heard._replace(air=0.0), heard, surveyed.heard(parts.calibration.features)]

    vacuum, air, delayed = (
        np.median(np.hypot(*to_east_north(parts.calibration.truth, tdoa.solve(way).position).T)) for way in ways
    )

    assert delayed < 0.8 * air
    assert air < 0.95 * vacuum


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (shutil.rmtree, "no such file; expected a folder with sensors.csv and set_1.csv"),
        (lambda folder: (folder / "set_3.csv").unlink(), "set_3.csv: no such file"),
        (lambda folder: (folder / "set_2.csv").write_text("a,b\n1,2\n"), "set_2.csv: expected columns aircraft"),
        (lambda folder: cut(folder / "set_4.csv"), "set_4.csv: damaged or cut short"),
        (lambda folder: cut(folder / "sensors.csv"), "sensors.csv: a row is cut short"),
    ],
    ids=["absent", "a set missing", "another table", "cut short", "receivers cut short"],
)
def test_data_that_is_none_is_said_in_a_sentence(real_data, tmp_path, spoil, sentence):
    """With the file, what was expected, and what to do."""
    folder = tmp_path / "mlat"
    shutil.copytree(real_data / "mlat_locards", folder)
    folder.chmod(0o755)
    for file in folder.iterdir():
        file.chmod(0o644)
    spoil(folder)

    with pytest.raises(SurveyError, match=sentence):
        arrivals.read(folder)


def cut(file):
    file.write_text(file.read_text()[:3333])
