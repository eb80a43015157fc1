"""
Where the story takes place: six receivers about a real piece of flat land, and a drone that crosses it.

The land is the Marchfeld east of Vienna; the receivers, their hills and hedges and the drone are invented.
All places are metres east and north of `ORIGIN`; speeds are metres a second.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from sextant.geodesy import to_latitude_longitude
from sextant.tensors import Floats

ORIGIN = (48.2400, 16.6900)
"""Latitude and longitude that metres are counted from."""

HALF_SIDE_M = 3000.0
"""The drone stays in a square of 6 km."""

RECEIVERS_EAST_NORTH_M = np.array(
    [(-2650.0, 1900.0), (350.0, 2750.0), (2800.0, 1250.0), (2050.0, -2300.0), (-900.0, -2700.0), (-350.0, 150.0)]
)
RECEIVER_HEIGHT_M = np.array([18.0, 25.0, 15.0, 30.0, 12.0, 22.0])
"""Masts and roofs."""

LOWEST_M, HIGHEST_M = 60.0, 120.0
"""European open-category drones end at 120 m above ground (Regulation (EU) 2019/947, UAS.OPEN.010)."""

SLOWEST_M_S, FASTEST_M_S = 18.0, 35.0
"""A small fixed-wing drone: it cannot hover."""

TURN_RAD_PER_S = 0.05
"""How fast the course wanders: the root of its variance after one second."""

CLIMB_M_PER_S = 0.5
TURN_BACK_M, SHARPEST_RAD_PER_S = 600.0, 0.15
"""It turns when the land ends within that distance, no sharper than a coordinated turn with 20 degrees of bank."""

EIRP_DBM, EIRP_SPREAD_DB, ATTITUDE_S = 20.0, 1.5, 20.0
"""100 mW, the limit of ETSI EN 300 328 in the 2.4 GHz band; banking turns the antenna's pattern, for so long."""

CARRIER_HZ = 2.44e9
"""The middle of that band, where small drones send their telemetry."""

CRYSTAL_HZ = 0.05e-6 * CARRIER_HZ
"""How far the drone's temperature-compensated crystal is off after its trim, one standard deviation: 122 Hz."""


@dataclass(frozen=True)
class Flight:
    """
    States of the drone, one a window.

    *east_north* and *velocity* ``(N, 2)`` in m and m/s, *height* ``(N,)`` in m over ground, *eirp_dbm* and *off_hz*
    ``(N,)``: how much it sends, and how far from the carrier it ought to have.
    """

    east_north: Floats
    velocity: Floats
    height: Floats
    eirp_dbm: Floats
    off_hz: Floats

    def __len__(self) -> int:
        return len(self.height)

    @property
    def latitude_longitude(self) -> Floats:
        """Degrees, ``(N, 2)``."""
        return to_latitude_longitude(ORIGIN, self.east_north)

    def part(self, rows: slice) -> Flight:
        """Only these rows."""
        return Flight(*(getattr(self, field.name)[rows] for field in fields(self)))


def anywhere(windows: int, seed: int) -> Flight:
    """
    Drones at *windows* moments that have nothing to do with one another.

    >>> flight = anywhere(1000, seed=0)
    >>> bool(np.all(np.abs(flight.east_north) <= HALF_SIDE_M)), flight.velocity.shape
    (True, (1000, 2))
    """
    draw = np.random.default_rng([seed, 1])
    course, speed = draw.uniform(-np.pi, np.pi, windows), draw.uniform(SLOWEST_M_S, FASTEST_M_S, windows)
    return Flight(
        east_north=draw.uniform(-HALF_SIDE_M, HALF_SIDE_M, (windows, 2)),
        velocity=_polar(course, speed),
        height=draw.uniform(LOWEST_M, HIGHEST_M, windows),
        eirp_dbm=draw.normal(EIRP_DBM, EIRP_SPREAD_DB, windows),
        off_hz=draw.normal(0, CRYSTAL_HZ, windows),
    )


def track(windows: int, interval_s: float, seed: int) -> Flight:
    """One flight, a window every *interval_s* seconds: a wandering course that turns back before the land ends."""
    draw = np.random.default_rng([seed, 2])
    place, course, height = draw.uniform(-0.5, 0.5, 2) * HALF_SIDE_M, draw.uniform(-np.pi, np.pi), 90.0
    turns = draw.normal(0, TURN_RAD_PER_S * np.sqrt(interval_s), windows)
    places, velocities, heights = [], [], []
    for turn, climb in zip(turns, draw.normal(0, CLIMB_M_PER_S * interval_s, windows), strict=True):
        course = _kept_inside(place, course + turn, interval_s)
        velocity = _polar(course, (SLOWEST_M_S + FASTEST_M_S) / 2)
        places.append(place)
        velocities.append(velocity)
        heights.append(height)
        place, height = place + velocity * interval_s, float(np.clip(height + climb, LOWEST_M, HIGHEST_M))
    return Flight(
        east_north=np.array(places),
        velocity=np.array(velocities),
        height=np.array(heights),
        eirp_dbm=EIRP_DBM + EIRP_SPREAD_DB * _slow(draw, windows, interval_s / ATTITUDE_S),
        off_hz=np.full(windows, draw.normal(0, CRYSTAL_HZ)),
    )


@dataclass(frozen=True)
class Bearing:
    """Geometry between every state and every receiver: slant *range_m* ``(N, R)``, *radial_m_s* towards it."""

    range_m: Floats
    radial_m_s: Floats


def seen_from(flight: Flight, mast_heights: Floats) -> Bearing:
    """
    *flight* from each receiver at *mast_heights* ``(R,)``: negative heights are the mirror images below the ground.

    >>> from dataclasses import replace
    >>> overhead = replace(anywhere(1, seed=0), east_north=RECEIVERS_EAST_NORTH_M[:1], height=np.array([118.0]))
    >>> seen_from(overhead, RECEIVER_HEIGHT_M).range_m[0, 0]
    100.0
    """
    away = flight.east_north[:, None] - RECEIVERS_EAST_NORTH_M
    range_m = np.hypot(np.linalg.norm(away, axis=-1), flight.height[:, None] - mast_heights)
    return Bearing(range_m, -np.einsum("nrd,nd->nr", away, flight.velocity) / range_m)


def _kept_inside(place: Floats, course: float, interval_s: float) -> float:
    """The course, bent towards the middle by as much as a drone can turn, where the land is about to end."""
    if np.all(np.abs(place + _polar(course, TURN_BACK_M)) < HALF_SIDE_M):
        return course
    home = float(np.arctan2(-place[0], -place[1]))
    swing = (home - course + np.pi) % (2 * np.pi) - np.pi
    sharpest = SHARPEST_RAD_PER_S * interval_s
    return course + float(np.clip(swing, -sharpest, sharpest))


def _slow(draw: np.random.Generator, steps: int, step: float) -> Floats:
    """Unit Gaussian noise that forgets itself within one: each value leans on the one before, *step* earlier."""
    kept, value, values = np.exp(-step), draw.normal(), []
    for fresh in draw.normal(0, np.sqrt(1 - kept**2), steps):
        value = kept * value + fresh
        values.append(value)
    return np.array(values)


def _polar(bearing: Floats | float, length: Floats | float) -> Floats:
    """East and north of what lies at a *bearing* (clockwise from north, radians) and *length*."""
    return np.stack([length * np.sin(bearing), length * np.cos(bearing)], axis=-1)
