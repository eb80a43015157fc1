"""
A survey: what receivers heard at places somebody knows, in the order it was walked.

Rows of one walk share a phone, an hour and a corridor.
Whoever deals rows out at random tests a model on its own memories, and every ellipse calibrated so is a lie.
So a survey carries the time and the group of each row, and no group both trains and calibrates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sextant.geodesy import to_east_north
from sextant.tensors import Floats, Mask

NOT_HEARD = 100.0
"""What a receiver that heard nothing writes, in simulated and in real surveys."""

HELD_BACK_SHARE = 0.2
EVERY_GROUP = 3
DAY_S = 86400

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Survey:
    """
    Signal strengths and the places they were heard at, in order of time.

    *features* FP32 ``(N, W)`` in dBm, ``NOT_HEARD`` where silent; *latitude* and *longitude* ``(N,)`` in
    degrees; *group* ``(N,)``, the walk a row belongs to; *time* ``(N,)`` in seconds; *receivers* ``(W, 2)``,
    latitude and longitude where known; *origin*, the latitude and longitude metres are counted from.
    """

    name: str
    description: str
    features: npt.NDArray[np.float32]
    latitude: Floats
    longitude: Floats
    group: Integers
    time: Integers
    origin: tuple[float, float]
    receivers: Floats | None = None

    def __len__(self) -> int:
        return len(self.features)

    @property
    def width(self) -> int:
        """How many receivers a row has."""
        return int(self.features.shape[1])

    @property
    def truth(self) -> Floats:
        """Latitude and longitude, ``(N, 2)``."""
        return np.stack([self.latitude, self.longitude], axis=1)

    @property
    def east_north(self) -> Floats:
        """Ground metres east and north of the origin, ``(N, 2)``."""
        return to_east_north(self.origin, self.truth)

    def take(self, rows: Mask | Integers) -> Survey:
        """The same survey with only these rows."""
        part: Mapping[str, Any] = {
            name: getattr(self, name)[rows] for name in ("features", "latitude", "longitude", "group", "time")
        }
        return replace(self, **part)


@dataclass(frozen=True)
class Split:
    """Three parts that share no walk that matters: to learn from, to calibrate with, to be judged on."""

    train: Survey
    calibration: Survey
    held_back: Survey


def split(survey: Survey, rotation: int = 0) -> Split:
    """
    The last fifth by time is held back; of the rest, some groups calibrate and all others train.

    >>> from sextant_cli.demo.bay import simulate
    >>> parts = split(simulate(walks=10, steps=5))
    >>> len(parts.train), len(parts.calibration), len(parts.held_back)
    (25, 15, 10)
    """
    known = int(len(survey) * (1 - HELD_BACK_SHARE))
    rows = np.arange(len(survey))
    calibrates = np.zeros(len(survey), dtype=bool)
    calibrates[:known] = calibration_rows(survey.group[:known], survey.time[:known], rotation)
    return Split(
        train=survey.take(~calibrates & (rows < known)),
        calibration=survey.take(calibrates),
        held_back=survey.take(rows >= known),
    )


def calibration_rows(group: Integers, time: Integers, rotation: int = 0) -> Mask:
    """
    Which rows calibrate: every third group of the last day, whole, counted from *rotation*.

    The last day, because what comes next is more like it than like the days before; every third, so that the
    groups left to train on still surround the places of those taken, as they will surround what comes next.
    """
    last_day = time // DAY_S == time.max() // DAY_S
    candidates = np.unique(group[last_day])
    chosen: Mask = last_day & np.isin(group, candidates[rotation::EVERY_GROUP])
    return chosen
