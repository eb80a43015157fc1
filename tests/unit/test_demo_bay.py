from __future__ import annotations

import numpy as np
import pytest

from sextant.geodesy import to_east_north
from sextant_cli.demo.bay import RADIUS_M, SENSITIVITY_DBM, SHORE, STEP_M, simulate
from sextant_cli.demo.survey import NOT_HEARD


@pytest.fixture(scope="module")
def bay():
    return simulate(walks=40, steps=25, seed=1)


def test_the_same_seed_gives_the_same_survey():
    first, again, other = (simulate(walks=3, steps=4, seed=seed) for seed in (5, 5, 6))

    np.testing.assert_array_equal(first.features, again.features)
    np.testing.assert_array_equal(first.truth, again.truth)
    assert not np.array_equal(first.features, other.features)


def test_the_default_survey_is_the_one_the_demo_announces():
    survey = simulate()

    assert survey.features.shape == (8000, 24)
    assert survey.features.dtype == np.float32
    assert "24 receivers" in survey.description
    assert survey.description.startswith("simulated")


def test_what_is_not_heard_reads_100_and_the_rest_is_above_the_sensitivity(bay):
    heard = bay.features[bay.features != NOT_HEARD]

    assert 0.3 < heard.size / bay.features.size < 0.8
    assert heard.min() >= SENSITIVITY_DBM
    assert heard.max() < 0


def test_rows_are_in_order_of_time_and_a_walk_is_one_run_of_steps(bay):
    steps = np.linalg.norm(np.diff(bay.east_north, axis=0), axis=1)
    same_walk = np.diff(bay.group) == 0

    assert np.all(np.diff(bay.time) > 0)
    np.testing.assert_allclose(steps[same_walk], STEP_M, rtol=1e-6)


def test_boats_stay_in_the_bay_and_receivers_outside(bay):
    boats = np.linalg.norm(bay.east_north, axis=1)
    receivers = np.linalg.norm(to_east_north(SHORE, bay.receivers), axis=1)

    assert boats.max() < 1.25 * RADIUS_M
    assert receivers.min() > 0.75 * RADIUS_M


def test_a_receiver_is_louder_near_than_far(bay):
    receivers = to_east_north(SHORE, bay.receivers)
    distance = np.linalg.norm(bay.east_north[:, None] - receivers, axis=2)
    heard = bay.features != NOT_HEARD

    slope = np.polyfit(np.log10(distance[heard]), bay.features[heard], 1)[0]

    assert -40 < slope < -10


def test_shadowing_is_alike_at_neighbouring_places(bay):
    receivers = to_east_north(SHORE, bay.receivers)
    distance = np.linalg.norm(bay.east_north[:, None] - receivers, axis=2)
    near = distance.min(axis=1) < 300
    excess = np.where(bay.features != NOT_HEARD, bay.features + 29 * np.log10(distance), np.nan)[near]

    rows = np.flatnonzero(np.diff(bay.group[near]) == 0)
    pairs = excess[rows], excess[rows + 1]
    both = ~np.isnan(pairs[0]) & ~np.isnan(pairs[1])

    assert np.corrcoef(pairs[0][both], pairs[1][both])[0, 1] > 0.5
