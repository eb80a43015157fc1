"""
A simulated survey: boats with a radio cross a bay, and receivers on its shore write down how loud they were.

Signal strength falls with the logarithm of distance (ten times the distance costs ``10 n`` dB) and is bent
by shadowing: hills and hulls that dim a whole neighbourhood together.
Shadowing is a Gaussian random field per receiver, drawn by random Fourier features: some two hundred cosines
whose frequencies follow the field's spectrum, so that it is smooth, seeded and known everywhere, no grid.
Each boat's radio also has its own gain, which is why walks, not rows, are dealt out when the survey is split.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sextant.geodesy import to_latitude_longitude
from sextant.tensors import Floats

from .survey import NOT_HEARD, Survey

RECEIVERS = 24
SHORE = (43.3183, -1.9897)
"""The middle of a bay on the Basque coast; its outline here is drawn, not surveyed."""

RADIUS_M = 700.0
MOUTH_DEG = (-75.0, 5.0)
"""Bearings between which the bay is open to the sea, where nobody can build."""

POWER_AT_1_M_DBM = -12.0
PATH_LOSS_EXPONENT = 2.9
SHADOWING_DB = 5.0
SHADOWING_LENGTH_M = 150.0
WAVES = 192
GAIN_DB = 0.5
NOISE_DB = 2.0
SENSITIVITY_DBM = -97.0

STEP_M, STEP_S, TURN_RAD = 18.0, 6, 0.25
PAUSE_S = 180
FIRST_WALK = 1_717_200_000  # 2024-06-01 00:00 UTC


class Tracks(NamedTuple):
    """Boats: *east_north* metres ``(walks, steps, 2)`` and *time* in seconds ``(walks, steps)``."""

    east_north: Floats
    time: npt.NDArray[np.int64]


def simulate(walks: int = 160, steps: int = 50, seed: int = 0) -> Survey:
    """
    A survey of ``walks * steps`` rows, the same for the same *seed*.

    >>> survey = simulate(walks=4, steps=5)
    >>> survey.features.shape, float(survey.features[0].max())
    ((20, 24), 100.0)
    """
    shore_draw, walk_draw, radio_draw = np.random.default_rng(seed).spawn(3)
    receivers = shoreline(shore_draw)
    tracks = walk(walk_draw, walks, steps)
    places = to_latitude_longitude(SHORE, tracks.east_north.reshape(-1, 2))
    return Survey(
        name="simulated bay",
        description=f"simulated: {RECEIVERS} receivers around a bay, log-distance path loss, "
        f"correlated shadowing, {walks} walks, seed {seed}",
        features=hear(radio_draw, tracks.east_north, receivers).reshape(-1, RECEIVERS),
        latitude=places[:, 0],
        longitude=places[:, 1],
        group=np.repeat(np.arange(walks), steps),
        time=tracks.time.reshape(-1),
        origin=SHORE,
        receivers=to_latitude_longitude(SHORE, receivers),
    )


def shore_distance(bearing: Floats) -> Floats:
    """Metres from the bay's middle to its shore along a *bearing* in radians: a circle with coves."""
    coves: Floats = 0.13 * np.cos(2 * bearing - 0.6) + 0.06 * np.cos(3 * bearing) + 0.03 * np.sin(7 * bearing)
    return RADIUS_M * (1 + coves)


def shoreline(draw: np.random.Generator) -> Floats:
    """Where the receivers stand, ``(RECEIVERS, 2)``: along the shore, some way inland, none in the mouth."""
    first, last = np.radians(MOUTH_DEG[1]), np.radians(360 + MOUTH_DEG[0])
    bearing = np.linspace(first, last, RECEIVERS) + draw.normal(0, 0.04, RECEIVERS)
    return _polar(bearing, shore_distance(bearing) + draw.uniform(10, 120, RECEIVERS))


def walk(draw: np.random.Generator, walks: int, steps: int) -> Tracks:
    """Boats that hold a wandering course and turn for the middle when the shore comes near."""
    bearing = draw.uniform(-np.pi, np.pi, walks)
    place = _polar(bearing, shore_distance(bearing) * np.sqrt(draw.uniform(0, 0.9, walks)))
    course = draw.uniform(-np.pi, np.pi, walks)
    passed = []
    for turn in draw.normal(0, TURN_RAD, (steps, walks)):
        passed.append(place)
        course = _keep_off(place, course + turn)
        place = place + _polar(course, np.full(walks, STEP_M))
    began = FIRST_WALK + np.arange(walks) * (steps * STEP_S + PAUSE_S)
    return Tracks(np.stack(passed, axis=1), began[:, None] + np.arange(steps) * STEP_S)


def hear(draw: np.random.Generator, east_north: Floats, receivers: Floats) -> npt.NDArray[np.float32]:
    """Whole dBm ``(walks, steps, receivers)``; `NOT_HEARD` below the sensitivity."""
    distance = np.linalg.norm(east_north[:, :, None] - receivers, axis=-1)
    power = POWER_AT_1_M_DBM - 10 * PATH_LOSS_EXPONENT * np.log10(np.maximum(distance, 1))
    power += np.stack([_shadowing(draw, east_north) for _ in receivers], axis=-1)
    power += draw.normal(0, GAIN_DB, (len(east_north), 1, 1))
    power += draw.normal(0, NOISE_DB, power.shape)
    return np.where(power < SENSITIVITY_DBM, NOT_HEARD, power.round()).astype(np.float32)


def _shadowing(draw: np.random.Generator, east_north: Floats) -> Floats:
    """
    One receiver's field at every place, in dB.

    A squared-exponential covariance of length L has a normal spectrum of width 1 / L (Bochner's theorem).
    """
    frequency = draw.normal(0, 1 / SHADOWING_LENGTH_M, (2, WAVES))
    phase = draw.uniform(0, 2 * np.pi, WAVES)
    field: Floats = SHADOWING_DB * np.sqrt(2 / WAVES) * np.cos(east_north @ frequency + phase).sum(axis=-1)
    return field


def _keep_off(place: Floats, course: Floats) -> Floats:
    """The same course, or the one to the middle for boats whose next step would leave the bay."""
    ahead = place + _polar(course, np.full(len(course), STEP_M))
    ashore = np.linalg.norm(ahead, axis=1) > 0.95 * shore_distance(np.arctan2(ahead[:, 0], ahead[:, 1]))
    return np.where(ashore, np.arctan2(-place[:, 0], -place[:, 1]), course)


def _polar(bearing: Floats, distance_m: Floats) -> Floats:
    """East and north metres of points at a bearing (clockwise from north, radians) and a distance."""
    return np.stack([distance_m * np.sin(bearing), distance_m * np.cos(bearing)], axis=-1)
