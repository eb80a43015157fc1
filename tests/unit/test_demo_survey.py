from __future__ import annotations

import numpy as np
import pytest

from sextant_cli.demo.bay import simulate
from sextant_cli.demo.survey import DAY_S, calibration_rows, split


@pytest.fixture(scope="module")
def parts():
    return split(simulate(walks=30, steps=10))


def test_every_row_falls_in_exactly_one_part(parts):
    times = np.concatenate([part.time for part in (parts.train, parts.calibration, parts.held_back)])

    np.testing.assert_array_equal(np.sort(times), simulate(walks=30, steps=10).time)


def test_what_is_held_back_comes_after_everything_else(parts):
    known = np.concatenate([parts.train.time, parts.calibration.time])

    assert len(parts.held_back) == 60
    assert parts.held_back.time.min() > known.max()


def test_no_walk_both_trains_and_calibrates(parts):
    assert not set(parts.train.group) & set(parts.calibration.group)


def test_every_third_group_of_the_last_day_calibrates():
    group = np.repeat(np.arange(8), 2)
    time = np.where(group < 2, 0, DAY_S)

    chosen = calibration_rows(group, time)

    assert np.unique(group[chosen]).tolist() == [2, 5]


@pytest.mark.parametrize(("rotation", "expected"), [(0, [0, 3]), (1, [1, 4]), (2, [2])])
def test_rotations_take_turns(rotation, expected):
    group = np.arange(5)

    assert group[calibration_rows(group, np.zeros(5, int), rotation)].tolist() == expected


def test_a_part_keeps_what_belongs_to_the_whole_survey(parts):
    assert parts.train.width == 24
    assert parts.train.origin == parts.held_back.origin
    assert parts.calibration.receivers is parts.train.receivers
    assert parts.train.truth.shape == (len(parts.train), 2)
