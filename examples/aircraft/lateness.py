"""
What no arrival time can know: how late the aircraft's own report of its position is, and where to.

An aircraft broadcasts where it was, some tenths of a second ago, in bad cases more than a second; at 230 m/s the
report trails behind the aircraft, and the truth of this data is the report.  A fix is therefore ahead of "the truth",
along the track.  Nobody sends the track along, but eastbound traffic cruises at odd flight levels and westbound at even
ones, and airways are where they are: near a place and at a level, past errors say what to expect.

A kernel average over the training rows: *shift*, to be taken off a fix, and *spread*, what is left of the errors after.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from tdoa import Floats, moved

KM_PER_DEGREE = 111.2
REACH_KM = 80.0
OTHER_WAY = 2.0
"""How far apart, in units of the reach, the two directions of cruise are."""

PRIOR_ROWS = 10.0
SHIFT_LIMIT_M, SPREAD_LIMIT_M = 40.0, 100.0
"""Longer errors count as errors of this length: one transponder that is a second late says nothing of the others."""

FLIGHT_LEVEL_M = 30.48


class Lateness(NamedTuple):
    """Past fixes: their *place* ``(N, 3)`` as ``placed`` gives it, and their *error_m* ``(N, 2)`` east and north."""

    place: Floats
    error_m: Floats

    @classmethod
    def learned(cls, position: Floats, barometric_m: Floats, error_m: Floats) -> Lateness:
        """Of fixes at *position* ``(N, 2)`` in degrees, *error_m* ``(N, 2)`` off the aircraft's own report."""
        return cls(placed(position, barometric_m), error_m)

    @classmethod
    def read(cls, path: str | Path) -> Lateness:
        """From the file that ``write`` made."""
        with np.load(path, allow_pickle=False) as stored:
            return cls(stored["place"], stored["error_m"])

    def write(self, path: Path) -> None:
        """Keep it."""
        np.savez(path, place=self.place, error_m=self.error_m)

    def expected(self, position: Floats, barometric_m: Floats) -> tuple[Floats, Floats]:
        """
        *shift* ``(B, 2)`` and *spread* ``(B, 2, 2)`` of a fix's error there, in metres and square metres.

        >>> past = Lateness.learned(np.full((400, 2), 47.0), np.full(400, 10668.0), np.tile([30.0, 0.0], (400, 1)))
        >>> shift, _ = past.expected(np.full((1, 2), 47.0), np.array([10668.0]))
        >>> shift.round(1).tolist()
        [[30.0, 0.0]]
        """
        apart = placed(position, barometric_m)[:, None] - self.place
        near = np.exp(-0.5 * np.sum(apart**2, axis=-1))
        errors, wide = _limited(self.error_m, SHIFT_LIMIT_M), _limited(self.error_m, SPREAD_LIMIT_M)
        squares = wide[:, :, None] * wide[:, None]
        rows = near.sum(axis=1, keepdims=True) + PRIOR_ROWS
        shift = (near @ errors + PRIOR_ROWS * errors.mean(axis=0)) / rows
        spread = (near @ squares.reshape(-1, 4) + PRIOR_ROWS * squares.reshape(-1, 4).mean(axis=0)) / rows
        return shift, spread.reshape(-1, 2, 2) - shift[:, :, None] * shift[:, None]

    def corrected(self, position: Floats, covariance: Floats, barometric_m: Floats) -> tuple[Floats, Floats]:
        """Fixes brought to where a report would put them, and their covariance with the spread of reports in it."""
        shift, spread = self.expected(position, barometric_m)
        return moved(position, -shift), covariance + spread


def placed(position: Floats, barometric_m: Floats) -> Floats:
    """North, east and way of cruise ``(N, 3)``, each in units of what makes a difference."""
    north, east = position.T * (KM_PER_DEGREE / REACH_KM) * np.array([np.ones(len(position)), _narrowing(position)])
    return np.stack([north, east, OTHER_WAY * way(barometric_m)], axis=1)


def way(barometric_m: Floats) -> Floats:
    """
    1 at an odd flight level (eastbound), -1 at an even one, 0 between levels: climbing or descending.

    >>> way(np.array([10668.0, 10972.8, 10800.0])).tolist()
    [1.0, -1.0, 0.0]
    """
    hundreds = np.rint(barometric_m / FLIGHT_LEVEL_M).astype(int)
    level = hundreds % 10 == 0
    return np.where(level, np.where(hundreds // 10 % 2 == 1, 1.0, -1.0), 0.0)


def _narrowing(position: Floats) -> Floats:
    narrowing: Floats = np.cos(np.radians(position[:, 0]))
    return narrowing


def _limited(error_m: Floats, limit_m: float) -> Floats:
    """Errors no longer than *limit_m*, in their own direction."""
    length = np.linalg.norm(error_m, axis=1, keepdims=True)
    limited: Floats = error_m * np.minimum(1.0, limit_m / np.maximum(length, 1e-9))
    return limited
