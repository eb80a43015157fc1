"""
A network of receivers, and the features of a message that five of them heard.

A row is sixteen numbers: five receivers, how many metres after the first each heard it (arrival time times c), how loud
it was, and the barometric altitude that every aircraft sends.  Differences are counted from the first arrival, and the
receivers' coordinates stay out of the row, so FP32 is off by 3 cm at 400 km and the solver works in FP64 from there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tdoa import Floats, Heard, earth_centred

RECEPTIONS = 5
COLUMNS = (
    *(f"receiver_{i}" for i in range(1, RECEPTIONS + 1)),
    *(f"after_m_{i}" for i in range(1, RECEPTIONS + 1)),
    *(f"rssi_{i}" for i in range(1, RECEPTIONS + 1)),
    "barometric_altitude_m",
)
FEWEST = 4
"""Receptions that a fix needs: three unknowns, and one to notice by that something is wrong."""

Features = npt.NDArray[np.float32]


def receivers(features: Features) -> npt.NDArray[np.int64]:
    """
    The serial numbers ``(B, 5)`` of who heard each row ``(B, 16)``; 0 is none.

    >>> receivers(np.array([[7, 3, 9, 4, 0] + 11 * [0.5]], np.float32)).tolist()
    [[7, 3, 9, 4, 0]]
    """
    return features[:, :RECEPTIONS].astype(np.int64)


@dataclass(frozen=True)
class Network:
    """
    Receivers by their serial number, in order, and what was learned about them.

    *serial* ``(R,)``; *position* ``(R, 2)`` in degrees and *height_m* ``(R,)``; *delay_m* ``(R,)``, how much later than
    the others each stamps what it hears, times c; *air*, the delay of the air in units of the mean atmosphere's;
    *above_pressure_m*, height above the ellipsoid less barometric altitude, which is the day's pressure.
    """

    serial: npt.NDArray[np.int64]
    position: Floats
    height_m: Floats
    delay_m: Floats
    air: float = 1.0
    above_pressure_m: float = 0.0

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Network:
        """The network that ``to_dict`` wrote."""
        lists = {name: np.array(given[name]) for name in ("serial", "position", "height_m", "delay_m")}
        return cls(**lists, air=given["air"], above_pressure_m=given["above_pressure_m"])

    @classmethod
    def read(cls, path: str | Path) -> Network:
        """The network of a JSON file."""
        return cls.from_dict(json.loads(Path(path).read_text(encoding="utf-8")))

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        lists = {name: getattr(self, name).tolist() for name in ("serial", "position", "height_m", "delay_m")}
        return {**lists, "air": self.air, "above_pressure_m": self.above_pressure_m}

    def can_place(self, features: Features) -> npt.NDArray[np.bool_]:
        """
        Which rows ``(B, 16)`` a fix can be had from: finite, of known receivers, and of enough of them; 0 is none.

        >>> network = Network(np.array([7]), np.array([[48.0, 9.0]]), np.zeros(1), np.zeros(1))
        >>> network.can_place(np.array([[7, 7, 7, 7, 0] + 11 * [0], [7, 7, 7, 8, 0] + 11 * [0]], np.float32)).tolist()
        [True, False]
        """
        receiver = features[:, :RECEPTIONS]
        known = np.isin(receiver, self.serial)
        some = known.sum(axis=1) >= FEWEST
        able: npt.NDArray[np.bool_] = some & np.all(known | (receiver == 0), axis=1) & np.isfinite(features).all(axis=1)
        return able

    def that_heard(self, features: Features) -> npt.NDArray[np.bool_]:
        """
        Which of its receivers ``(R,)`` heard any of the rows ``(B, 16)``.

        >>> network = Network(np.array([7, 8]), np.array([[48.0, 9.0], [48.0, 9.5]]), np.zeros(2), np.zeros(2))
        >>> network.that_heard(np.array([[7, 7, 7, 7, 0] + 11 * [0]], np.float32)).tolist()
        [True, False]
        """
        return np.isin(self.serial, receivers(features))

    def heard(self, features: Features) -> Heard:
        """What the solver takes, of rows ``(B, 16)`` that it can place."""
        parts = np.split(features.astype(np.float64), np.arange(1, 4) * RECEPTIONS, axis=1)
        receiver, after_m, _, altitude = parts
        index = np.minimum(np.searchsorted(self.serial, receiver), len(self.serial) - 1)
        return Heard(
            place=earth_centred(self.position, self.height_m)[index],
            height_m=self.height_m[index],
            range_m=after_m - self.delay_m[index],
            weight=(receiver != 0).astype(np.float64),
            altitude_m=altitude[:, 0] + self.above_pressure_m,
            air=self.air,
        )
