"""
What six receivers make of it: complex windows in units of their converter's full scale.

Each has a gain and a noise figure of its own, a clock that is a few milliseconds off (set over the network), and
a reference that is disciplined by GPS.  No automatic gain: how loud a beacon is is half of what places it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radio import beacon
from radio.beacon import Complex
from radio.propagation import Land, Rays, rays
from radio.scene import RECEIVERS_EAST_NORTH_M, Flight
from sextant.tensors import Floats

RECEIVERS = len(RECEIVERS_EAST_NORTH_M)
SAMPLE_RATE_HZ = 8_000
"""Also the bandwidth: the filters before the converter pass what it can represent, and no more."""

SAMPLES = 1024
DURATION_S = SAMPLES / SAMPLE_RATE_HZ
FINE = 32
"""A phasor at n = 32 a + b is the product of those at 32 a and at b: two short rows of sines for one long."""

BOLTZMANN_J_K = 1.380649e-23
TEMPERATURE_K = 290.0
NOISE_FIGURE_DB = (4.0, 8.0)
"""Of a software radio with and without a good first amplifier."""

GAIN_DB, GAIN_DRIFT_DB = 2.0, 0.3
"""How receivers differ from one another for good (cables, antennas), and each from itself (temperature)."""

FULL_SCALE_DBM, CONVERTER_BITS = -50.0, 16
"""The power at the antenna that fills the converter, 20 dB over a beacon overhead."""

CLOCK_S, REFERENCE_HZ = 2e-3, 2.0
"""Errors of time (NTP over a mobile network) and of tuning (a GPS-disciplined oscillator, 1 ppb)."""

WINDOWS_AT_ONCE = 128


@dataclass(frozen=True)
class Receivers:
    """The six, as they were built: *gain_db* and *noise_dbm* ``(R,)`` follow from the *seed*, for good."""

    seed: int = 7

    @property
    def gain_db(self) -> Floats:
        """What each adds to what it hears, its own noise included."""
        return np.asarray(np.random.default_rng([self.seed, 4]).normal(0, GAIN_DB, RECEIVERS))

    @property
    def noise_dbm(self) -> Floats:
        """
        Thermal noise in the bandwidth, k T B, and the noise figure.

        >>> bool(-131 < Receivers().noise_dbm.min() < Receivers().noise_dbm.max() < -126)
        True
        """
        thermal_dbm = 10 * np.log10(BOLTZMANN_J_K * TEMPERATURE_K * SAMPLE_RATE_HZ * 1000)
        return np.asarray(thermal_dbm + np.random.default_rng([self.seed, 5]).uniform(*NOISE_FIGURE_DB, RECEIVERS))


def heard(flight: Flight, seed: int) -> NDArray[np.float32]:
    """
    IQ windows FP32 ``(N, R, n, 2)`` of every state of *flight*, in units of full scale, the same for the same *seed*.

    All at once: 49 kB a window, so thousands are better taken by `chunks`.
    """
    return np.concatenate(list(chunks(flight, seed)))


def chunks(flight: Flight, seed: int) -> Iterator[NDArray[np.float32]]:
    """The windows of *flight*, at most `WINDOWS_AT_ONCE` at a time."""
    land, receivers = Land(), Receivers()
    for place, begin in enumerate(range(0, len(flight), WINDOWS_AT_ONCE)):
        draw = np.random.default_rng([seed, 6, place])
        yield _windows(draw, flight.part(slice(begin, begin + WINDOWS_AT_ONCE)), land, receivers)


def _windows(draw: np.random.Generator, flight: Flight, land: Land, receivers: Receivers) -> NDArray[np.float32]:
    arriving = rays(draw, flight, land)
    shape = arriving.hz.shape[:2]
    late_s = draw.normal(0, CLOCK_S, (*shape, 1)).clip(-beacon.MARGIN_S / 2, beacon.MARGIN_S / 2)
    times_s = late_s + np.arange(SAMPLES) / SAMPLE_RATE_HZ
    mistuned = arriving._replace(hz=arriving.hz + draw.normal(0, REFERENCE_HZ, (*shape, 1)))
    signal = beacon.sent(draw, times_s, DURATION_S) * _channel(mistuned)
    signal += _noise(draw, signal.shape, receivers.noise_dbm[:, None])
    gain_db = receivers.gain_db + draw.normal(0, GAIN_DRIFT_DB, shape)
    return _converted(signal * (10 ** ((gain_db[..., None] - FULL_SCALE_DBM) / 20)).astype(np.float32))


def _channel(arriving: Rays) -> Complex:
    """The sum of all rays at every sample, ``(N, R, n)``, in root mW."""
    begun = (arriving.amplitude * np.exp(2j * np.pi * arriving.cycles)).astype(np.complex64)
    step = 2j * np.pi * arriving.hz[..., None] / SAMPLE_RATE_HZ
    coarse = np.exp(step * (FINE * np.arange(SAMPLES // FINE))).astype(np.complex64) * begun[..., None]
    fine = np.exp(step * np.arange(FINE)).astype(np.complex64)
    # (N, R, A, K) @ (N, R, K, B): the product adds the rays up by itself.
    return np.asarray(coarse.swapaxes(-1, -2) @ fine).reshape(*begun.shape[:2], SAMPLES)


def _noise(draw: np.random.Generator, shape: tuple[int, ...], power_dbm: Floats) -> Complex:
    """Circular Gaussian noise, half its power in I and half in Q."""
    parts = draw.standard_normal((*shape, 2), dtype=np.float32)
    noise: Complex = parts.view(np.complex64)[..., 0] * np.sqrt(10 ** (power_dbm / 10) / 2).astype(np.float32)
    return noise


def _converted(voltage: Complex) -> NDArray[np.float32]:
    """I and Q as the converter's whole numbers, in units of its full scale."""
    largest = 2 ** (CONVERTER_BITS - 1)
    parts = voltage.view(np.float32).reshape(*voltage.shape, 2)
    return np.asarray(np.rint(parts * largest).clip(-largest, largest - 1) / np.float32(largest))
