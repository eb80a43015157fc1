"""
Windows to learn from, to calibrate with and to be judged on, and how many of each.

Every set has a seed of its own, and none shares a drone with another.  The random sets are drawn alike, which is what
makes the promise of conformal calibration hold; the flight is not, and shows what a user would see.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radio.receivers import chunks, heard
from radio.scene import RECEIVERS_EAST_NORTH_M, Flight, anywhere, track
from sextant.blocks import LogMel
from sextant.geodesy import to_east_north
from sextant.tensors import Floats

TRAIN_SEED, CALIBRATION_SEED, TEST_SEED, TRACK_SEED = 1, 2, 3, 4
INTERVAL_S = 3.0
"""Between one fix of the flight and the next."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How many windows *train*, calibrate (*calibration*) and judge (*test*, *track*), and *epochs* of training."""

    train: int
    calibration: int
    test: int
    track: int
    epochs: int
    enough_m: float
    """The median error that a release may have at most."""


FULL = Sizes(train=20_000, calibration=1000, test=1000, track=240, epochs=12, enough_m=300)
QUICK = Sizes(train=4000, calibration=500, test=500, track=60, epochs=8, enough_m=700)


@dataclass(frozen=True)
class Windows:
    """What six receivers heard of a *flight*, drawn with *seed*."""

    flight: Flight
    seed: int

    def __len__(self) -> int:
        return len(self.flight)

    @cached_property
    def iq(self) -> NDArray[np.float32]:
        """``(N, R, n, 2)`` in units of full scale."""
        return heard(self.flight, self.seed)

    @cached_property
    def truth(self) -> Floats:
        """Latitude and longitude ``(N, 2)`` in degrees."""
        return self.flight.latitude_longitude

    @property
    def power_dbfs(self) -> Floats:
        """How loud each receiver found each window, ``(N, R)``."""
        return np.asarray(10 * np.log10(np.square(self.iq, dtype=np.float64).sum(axis=-1).mean(axis=-1)))

    def log_mel(self, block: LogMel) -> NDArray[np.float32]:
        """What *block* gives the members, chunk by chunk: a training set's IQ is never in memory as a whole."""
        return np.concatenate([block(signal=chunk)["log_mel"] for chunk in chunks(self.flight, self.seed)])


def training(sizes: Sizes) -> Windows:
    """Windows to learn from."""
    return Windows(anywhere(sizes.train, TRAIN_SEED), TRAIN_SEED)


def calibration(sizes: Sizes) -> Windows:
    """Known cases that no member was trained on."""
    return Windows(anywhere(sizes.calibration, CALIBRATION_SEED), CALIBRATION_SEED)


def test(sizes: Sizes) -> Windows:
    """Held back, drawn as the known cases were."""
    return Windows(anywhere(sizes.test, TEST_SEED), TEST_SEED)


def held_out_flight(sizes: Sizes) -> Windows:
    """Held back: one drone, a fix every `INTERVAL_S`."""
    return Windows(track(sizes.track, INTERVAL_S, TRACK_SEED), TRACK_SEED)


def save_known_cases(windows: Windows, path: Path) -> None:
    """Write *windows* as a pipeline's known cases: arrays ``features``, ``latitude`` and ``longitude``."""
    latitude, longitude = windows.truth.T
    np.savez(path, features=windows.iq, latitude=latitude, longitude=longitude)


def centroid_errors_m(windows: Windows) -> Floats:
    """How far the centre of the receivers, weighted by the amplitude each hears, is off: the simplest answer."""
    weights = 10 ** (windows.power_dbfs / 20)
    guess = weights @ RECEIVERS_EAST_NORTH_M / weights.sum(axis=1, keepdims=True)
    return np.asarray(np.hypot(*(guess - windows.flight.east_north).T))


def errors_m(places: Floats, truth: Floats) -> Floats:
    """Geodesic metres between *places* and *truth*, both latitude and longitude ``(N, 2)``."""
    return np.asarray(np.hypot(*to_east_north(places, truth).T))
