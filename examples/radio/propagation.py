"""
How the beacon reaches a receiver: loss, shadowing, Doppler, a ray off the ground and a few off what stands about.

Every ray is a phasor that turns at its own Doppler; their sum is what fades.  The scattered rays arrive within a
microsecond of one another, a hundredth of a sample: over 8 kHz the channel is flat (its coherence bandwidth,
1 / (2 pi 1 us), is 160 kHz), so a delay turns a ray's phase and does nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from radio.scene import CARRIER_HZ, RECEIVER_HEIGHT_M, RECEIVERS_EAST_NORTH_M, Flight, seen_from
from sextant.tensors import Floats

LIGHT_M_S = 299_792_458.0
WAVELENGTH_M = LIGHT_M_S / CARRIER_HZ
CLOSE_IN_M, PATH_LOSS_EXPONENT = 100.0, 2.5
"""Free space as far as that, steeper beyond: air to ground over farmland with villages."""

SHADOWING_DB, SHADOWING_LENGTH_M, WAVES = 5.0, 600.0, 128
"""Trees and roofs near a mast dim whole neighbourhoods of the sky together: a Gaussian field, drawn by cosines."""

GROUND_REFLECTION = -0.4
"""Amplitude off rough farmland at low grazing angles; smooth ground would give -1."""

SCATTERERS, SCATTERED_DB = 4, -12.0
"""Rays off what stands about, and their power together beside the direct ray (a Rician K of 12 dB)."""


class Rays(NamedTuple):
    """Rays ``(N, R, K)``: *amplitude* (root of mW at the antenna), *cycles* of phase at time 0, *hz* they turn at."""

    amplitude: Floats
    cycles: Floats
    hz: Floats


@dataclass(frozen=True)
class Land:
    """What stands about the receivers: a field of shadowing for each, the same for the same *seed*."""

    seed: int = 7

    def shadowing_db(self, east_north: Floats) -> Floats:
        """
        What each receiver gains or loses ``(N, R)`` from a drone at *east_north* ``(N, 2)``.

        A squared-exponential covariance of length L has a normal spectrum of width 1 / L (Bochner's theorem).
        """
        draw = np.random.default_rng([self.seed, 3])
        waves = draw.normal(0, 1 / SHADOWING_LENGTH_M, (len(RECEIVERS_EAST_NORTH_M), 2, WAVES))
        phase = draw.uniform(0, 2 * np.pi, (len(waves), WAVES))
        fields = [np.cos(east_north @ wave + begun).sum(axis=-1) for wave, begun in zip(waves, phase, strict=True)]
        shadowing: Floats = SHADOWING_DB * np.sqrt(2 / WAVES) * np.stack(fields, axis=-1)
        return shadowing


def rays(draw: np.random.Generator, flight: Flight, land: Land) -> Rays:
    """Every ray from each state of *flight* to each receiver."""
    direct, ground = seen_from(flight, RECEIVER_HEIGHT_M), seen_from(flight, -RECEIVER_HEIGHT_M)
    power_dbm = flight.eirp_dbm[:, None] - path_loss_db(direct.range_m) + land.shadowing_db(flight.east_north)
    amplitude = 10 ** (power_dbm / 20)
    scattered = _scattered(draw, flight, amplitude)
    return Rays(
        amplitude=np.concatenate([_stack(amplitude, GROUND_REFLECTION * amplitude), scattered.amplitude], axis=-1),
        cycles=np.concatenate([_stack(direct.range_m, ground.range_m) / -WAVELENGTH_M, scattered.cycles], axis=-1),
        hz=np.concatenate([_stack(direct.radial_m_s, ground.radial_m_s) / WAVELENGTH_M, scattered.hz], axis=-1)
        + flight.off_hz[:, None, None],
    )


def path_loss_db(range_m: Floats) -> Floats:
    """
    Free space up to `CLOSE_IN_M`, a steeper power law beyond.

    >>> path_loss_db(np.array([100.0, 1000.0])).round(1).tolist()
    [80.2, 105.2]
    """
    free_space = 20 * np.log10(4 * np.pi * np.minimum(range_m, CLOSE_IN_M) / WAVELENGTH_M)
    loss: Floats = free_space + 10 * PATH_LOSS_EXPONENT * np.log10(np.maximum(range_m / CLOSE_IN_M, 1))
    return loss


def _scattered(draw: np.random.Generator, flight: Flight, direct: Floats) -> Rays:
    """Rays that leave the drone at bearings of their own, so each has a Doppler of its own; phases are anything."""
    shape = (*direct.shape, SCATTERERS)
    speed = np.linalg.norm(flight.velocity, axis=-1)[:, None, None]
    share = 10 ** (SCATTERED_DB / 20) / np.sqrt(SCATTERERS)
    return Rays(
        amplitude=direct[..., None] * share * draw.rayleigh(np.sqrt(0.5), shape),
        cycles=draw.uniform(0, 1, shape),
        hz=speed * np.cos(draw.uniform(0, 2 * np.pi, shape)) / WAVELENGTH_M,
    )


def _stack(direct: Floats, ground: Floats) -> Floats:
    return np.stack([direct, ground], axis=-1)
