"""
Where an aircraft was, from when five receivers heard it: least squares on time differences of arrival.

Theory of operation.  A receiver hears a message ``path / c`` after it was sent, so the differences between arrivals,
times c, are differences between path lengths, and each pair of receivers puts the aircraft on a hyperboloid.
The altitude is known (the aircraft says it), the moment of sending is not: three unknowns, five arrivals.
Levenberg and Marquardt's iteration moves a point over the ellipsoid, in metres east and north, until the sum of
weighted squared residuals is least; the moment of sending is eliminated by taking off their weighted mean.
The sum has other minima, so the iteration begins at many places and the best end wins.

Distances are straight lines between points in earth-centred coordinates, lengthened by the air on the way: light is
slower in it by a few parts in ten thousand near the ground, ever less above, which is some ten metres over 60 km.
What the solver says of its error, ``sigma_m**2 (J' W J)^-1``, knows of nothing but the timing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

LIGHT_M_S = 299_792_458.0
EQUATOR_M, FLATTENING = 6_378_137.0, 1 / 298.257223563  # WGS84
ECCENTRICITY_2 = FLATTENING * (2 - FLATTENING)

AIR, AIR_SCALE_M = 315e-6, 7350.0
"""How much slower light is at sea level, and the height over which that falls by e: ITU-R P.453's mean atmosphere."""

STARTS_M = (0.0, 80e3, 200e3)
FIRST_ROUNDS, LAST_ROUNDS, ROBUST_ROUNDS, SURVIVORS = 5, 20, 6, 3
LONGEST_STEP_M = 60e3
SINGULAR = 1e-9
"""Added to the normal matrix (per m2): a direction that nothing fixes gets 30 km a metre of timing, not infinity."""


class Heard(NamedTuple):
    """
    A batch of messages, each heard by up to S receivers.

    *place* ``(B, S, 3)`` earth-centred metres and *height_m* ``(B, S)`` of the receivers; *range_m* ``(B, S)``, arrival
    times c, from any zero; *weight* ``(B, S)``, 0 where there was no receiver; *altitude_m* ``(B,)`` of the aircraft
    above the ellipsoid. *air* multiplies the delay of the mean atmosphere.
    """

    place: Floats
    height_m: Floats
    range_m: Floats
    weight: Floats
    altitude_m: Floats
    air: float = 1.0


class Solution(NamedTuple):
    """
    One a row: *position* ``(B, 2)`` latitude and longitude in degrees; *cost* ``(B,)``, the weighted sum of squares.

    *normal* ``(B, 2, 2)`` is ``J' W J`` in east and north, *gain* ``(B, 2, S)`` how far each metre of range moves the
    position, *residual_m* ``(B, S)`` what stays unexplained.
    """

    position: Floats
    cost: Floats
    normal: Floats
    gain: Floats
    residual_m: Floats

    def covariance(self, sigma_m: float) -> Floats:
        """Square metres east and north ``(B, 2, 2)``, if arrivals err by *sigma_m* and nothing else errs."""
        return sigma_m**2 * np.linalg.inv(self.normal)


def solve(heard: Heard) -> Solution:
    """
    The place of each message where the sum of squares is least.

    >>> corners = np.array([[47.0, 8.0], [47.0, 9.5], [48.5, 8.0], [48.5, 9.5], [47.7, 8.9]])
    >>> place, aircraft = earth_centred(corners, np.zeros(5)), np.array([[47.4, 8.3]])
    >>> paths = lengths(earth_centred(aircraft, np.array([9e3])), np.array([9e3]), place, np.zeros(5))
    >>> found = solve(Heard(place[None], np.zeros((1, 5)), paths + 1e4, np.ones((1, 5)), np.array([9e3])))
    >>> found.position.round(9).tolist()
    [[47.4, 8.3]]
    """
    starts = _starts(heard)
    count, rows = starts.shape[:2]
    many = Heard(*(np.concatenate([part] * count) for part in heard[:5]), air=heard.air)
    first = descend(many, starts.reshape(-1, 2), FIRST_ROUNDS)
    best = np.argsort(first.cost.reshape(count, rows), axis=0)[:SURVIVORS]
    ahead = np.take_along_axis(first.position.reshape(count, rows, 2), best[..., None], axis=0)
    few = Heard(*(part[: len(best) * rows] for part in many[:5]), air=heard.air)
    last = descend(few, ahead.reshape(-1, 2), LAST_ROUNDS)
    winner = np.argmin(last.cost.reshape(-1, rows), axis=0) * rows + np.arange(rows)
    return Solution(*(part[winner] for part in last))


def solve_robustly(heard: Heard, largest_m: float) -> Solution:
    """
    As ``solve``, but a residual beyond *largest_m* counts only by its sign (Huber), so one bad arrival pulls less.

    Iterated reweighting from the least squares solution; the normal matrix is that of the last weights.
    """
    found = solve(heard)
    for _ in range(ROBUST_ROUNDS):
        weight = heard.weight / np.maximum(1.0, np.abs(found.residual_m) / largest_m)
        found = descend(heard._replace(weight=weight), found.position, 2)
    return found


def descend(heard: Heard, start: Floats, rounds: int) -> Solution:
    """Levenberg-Marquardt from *start* ``(B, 2)`` in degrees; a step that makes the sum larger is not taken."""
    position, damping = start, np.full(len(start), 1e-3)
    residual, jacobian = linear(heard, position)
    cost = np.sum(heard.weight * residual**2, axis=1)
    for _ in range(rounds):
        step = _step(heard.weight, residual, jacobian, damping)
        ahead = moved(position, step)
        residual_ahead, jacobian_ahead = linear(heard, ahead)
        cost_ahead = np.sum(heard.weight * residual_ahead**2, axis=1)
        better = cost_ahead <= cost
        position = np.where(better[:, None], ahead, position)
        residual = np.where(better[:, None], residual_ahead, residual)
        jacobian = np.where(better[:, None, None], jacobian_ahead, jacobian)
        cost = np.where(better, cost_ahead, cost)
        damping = np.clip(np.where(better, damping / 8, damping * 8), 1e-12, 1e12)
    normal = _normal(heard.weight, jacobian)
    gain = np.linalg.solve(normal, np.swapaxes(heard.weight[..., None] * jacobian, 1, 2))
    return Solution(position, cost, normal, gain, residual)


def lengths(aircraft: Floats, altitude_m: Floats, place: Floats, height_m: Floats, air: float = 1.0) -> Floats:
    """Optical path ``(B, S)`` in metres from *aircraft* ``(B, 3)`` to receivers at *place* ``(..., S, 3)``."""
    straight = np.linalg.norm(aircraft[:, None] - place, axis=-1)
    return straight * (1 + air * slowness(height_m, altitude_m[:, None]))


def slowness(low_m: Floats, high_m: Floats) -> Floats:
    """
    By which share light is slower than in vacuum, on the mean between two heights.

    >>> float(slowness(np.array(500.0), np.array(10_500.0)).round(7))
    0.0001608
    """
    rise = np.maximum(high_m - low_m, 1.0)
    return AIR * AIR_SCALE_M / rise * (np.exp(-low_m / AIR_SCALE_M) - np.exp(-(low_m + rise) / AIR_SCALE_M))


def earth_centred(position: Floats, height_m: Floats) -> Floats:
    """
    Metres from the earth's centre ``(..., 3)`` of latitudes and longitudes ``(..., 2)`` at a height.

    >>> earth_centred(np.array([45.0, 0.0]), np.array(0.0)).round(3).tolist()
    [4517590.879, 0.0, 4487348.409]
    """
    latitude, longitude = np.radians(position[..., 0]), np.radians(position[..., 1])
    across, _ = _radii(latitude)
    level = (across + height_m) * np.cos(latitude)
    up = (across * (1 - ECCENTRICITY_2) + height_m) * np.sin(latitude)
    return np.stack([level * np.cos(longitude), level * np.sin(longitude), up], axis=-1)


def moved(position: Floats, east_north: Floats) -> Floats:
    """*position* ``(B, 2)`` in degrees, some metres farther east and north over the ellipsoid."""
    latitude = np.radians(position[:, 0])
    across, along = _radii(latitude)
    north = np.clip(position[:, 0] + np.degrees(east_north[:, 1] / along), -89.9, 89.9)
    return np.stack([north, position[:, 1] + np.degrees(east_north[:, 0] / (across * np.cos(latitude)))], axis=1)


def _radii(latitude: Floats) -> tuple[Floats, Floats]:
    """The ellipsoid's radii of curvature eastward and northward, in metres."""
    squashed = 1 - ECCENTRICITY_2 * np.sin(latitude) ** 2
    across = EQUATOR_M / np.sqrt(squashed)
    return across, across * (1 - ECCENTRICITY_2) / squashed


def _axes(position: Floats, altitude_m: Floats) -> Floats:
    """How the point at *altitude_m* moves ``(B, 2, 3)`` as the one below it goes a metre east, a metre north."""
    latitude, longitude = np.radians(position).T
    across, along = _radii(latitude)
    zero = np.zeros_like(latitude)
    east = np.stack([-np.sin(longitude), np.cos(longitude), zero], axis=-1)
    north = np.stack(
        [-np.sin(latitude) * np.cos(longitude), -np.sin(latitude) * np.sin(longitude), np.cos(latitude)], axis=-1
    )
    return np.stack(
        [east * (1 + altitude_m / across)[:, None], north * (1 + altitude_m / along)[:, None]],
        axis=1,
    )


def linear(heard: Heard, position: Floats) -> tuple[Floats, Floats]:
    """Residuals ``(B, S)`` and their Jacobian ``(B, S, 2)`` in metres, both without the unknown moment of sending."""
    aircraft = earth_centred(position, heard.altitude_m)
    sight = aircraft[:, None] - heard.place
    straight = np.maximum(np.linalg.norm(sight, axis=-1), 1.0)
    slower = 1 + heard.air * slowness(heard.height_m, heard.altitude_m[:, None])
    residual = heard.range_m - straight * slower
    jacobian = (sight * (slower / straight)[..., None]) @ np.swapaxes(_axes(position, heard.altitude_m), 1, 2)
    share = heard.weight / heard.weight.sum(axis=1, keepdims=True)
    residual = residual - np.sum(share * residual, axis=1, keepdims=True)
    return residual, jacobian - np.sum(share[..., None] * jacobian, axis=1, keepdims=True)


def _normal(weight: Floats, jacobian: Floats) -> Floats:
    normal: Floats = np.swapaxes(jacobian, 1, 2) @ (weight[..., None] * jacobian)
    return normal + SINGULAR * np.eye(2)


def _step(weight: Floats, residual: Floats, jacobian: Floats, damping: Floats) -> Floats:
    normal = _normal(weight, jacobian)
    pull = np.swapaxes(jacobian, 1, 2) @ (weight * residual)[..., None]
    damped = normal + damping[:, None, None] * normal * np.eye(2)
    step: Floats = np.linalg.solve(damped, pull)[..., 0]
    length = np.linalg.norm(step, axis=1, keepdims=True)
    return step * np.minimum(1.0, LONGEST_STEP_M / np.maximum(length, 1.0))


def _starts(heard: Heard) -> Floats:
    """Places ``(P, B, 2)`` to begin at: amid the receivers, and on rings about them."""
    heard_at = heard.weight > 0
    middle = np.sum(heard.place * heard_at[..., None], axis=1) / heard_at.sum(axis=1, keepdims=True)
    centre = np.degrees(
        np.stack(
            [
                np.arctan2(middle[:, 2], (1 - ECCENTRICITY_2) * np.hypot(middle[:, 0], middle[:, 1])),
                np.arctan2(middle[:, 1], middle[:, 0]),
            ],
            axis=1,
        )
    )
    turns = np.arange(8) * np.pi / 4
    rings = [np.zeros(2)] + [radius * np.array([np.sin(t), np.cos(t)]) for radius in STARTS_M[1:] for t in turns]
    return np.stack([moved(centre, np.broadcast_to(ring, centre.shape)) for ring in rings])
