"""
The data: 1,147 messages of real aircraft, each heard by five receivers with GPS clocks (LocaRDS, Schäfer et al. 2021).

Set 1 teaches, set 2 calibrates, sets 3 and 4 judge.
The four are drawn from one hour of one sky, so a few aircraft are in more than one of them: set 2's rows of aircraft
that set 1 knows are left out, because whoever calibrates with what he has learned from draws ellipses too small.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from network import COLUMNS, RECEPTIONS, Features, Network
from sextant.errors import SurveyError
from tdoa import LIGHT_M_S, Floats

SETS = (1, 2, 3, 4)
FACTS = ["aircraft", "timeAtServer", "latitude", "longitude", "baroAltitude", "geoAltitude", "measurements"]
SENSORS = ["serial", "latitude", "longitude", "height", "good"]


@dataclass(frozen=True)
class Messages:
    """
    Messages in order: *features* FP32 ``(N, 16)``, *truth* ``(N, 2)`` in degrees as the aircraft reported it.

    *aircraft* ``(N,)`` says whose they are, *set_number* ``(N,)`` which file they come from, *time_s* ``(N,)`` when
    they arrived, *geometric_m* ``(N,)`` the height above the ellipsoid, which no member is shown.
    """

    features: Features
    truth: Floats
    aircraft: npt.NDArray[np.int64]
    set_number: npt.NDArray[np.int64]
    time_s: Floats
    geometric_m: Floats

    def __len__(self) -> int:
        return len(self.features)

    def take(self, rows: npt.NDArray[np.bool_]) -> Messages:
        """Only these rows."""
        parts = (self.features, self.truth, self.aircraft, self.set_number, self.time_s, self.geometric_m)
        return Messages(*(part[rows] for part in parts))


@dataclass(frozen=True)
class Split:
    """Three parts; no aircraft that teaches also calibrates."""

    train: Messages
    calibration: Messages
    held_back: Messages


def split(messages: Messages) -> Split:
    """Set 1, set 2 without the aircraft of set 1, sets 3 and 4."""
    taught = messages.set_number == 1
    known = np.isin(messages.aircraft, messages.aircraft[taught])
    return Split(
        train=messages.take(taught),
        calibration=messages.take((messages.set_number == 2) & ~known),
        held_back=messages.take(messages.set_number >= 3),
    )


def read(folder: Path) -> tuple[Messages, Network]:
    """
    The messages and the receivers in *folder*.

    ``SurveyError`` where a file is absent, cut short, or another table.
    """
    tables = [_table(folder / f"set_{number}.csv", FACTS).assign(set_number=number) for number in SETS]
    table = pd.concat(tables, ignore_index=True)
    network = _network(_table(folder / "sensors.csv", SENSORS))
    heard = _heard(table["measurements"], folder)
    unknown = np.setdiff1d(heard[..., 0], network.serial)
    if unknown.size:
        raise SurveyError(f"{folder / 'sensors.csv'}: does not say where receiver {unknown[0]:g} is")
    messages = Messages(
        features=_features(heard, table["baroAltitude"].to_numpy(float)),
        truth=table[["latitude", "longitude"]].to_numpy(float),
        aircraft=table["aircraft"].to_numpy(np.int64),
        set_number=table["set_number"].to_numpy(np.int64),
        time_s=table["timeAtServer"].to_numpy(float),
        geometric_m=table["geoAltitude"].to_numpy(float),
    )
    return messages, network


def _features(heard: Floats, altitude_m: Floats) -> Features:
    """Rows ``(N, 16)`` of what was *heard* ``(N, 5, 3)``: receiver, nanoseconds, loudness."""
    nanoseconds = heard[..., 1]
    after_m = (nanoseconds - nanoseconds.min(axis=1, keepdims=True)) * (1e-9 * LIGHT_M_S)
    columns = np.concatenate([heard[..., 0], after_m, heard[..., 2], altitude_m[:, None]], axis=1)
    features: Features = columns.astype(np.float32)
    return features


def frame(messages: Messages) -> pd.DataFrame:
    """The known cases that the spec names: the features under their names, the truth, the aircraft."""
    latitude, longitude = messages.truth.T
    table = pd.DataFrame(messages.features, columns=list(COLUMNS))
    return table.assign(latitude=latitude, longitude=longitude, aircraft=messages.aircraft)


def _network(table: pd.DataFrame) -> Network:
    """Every receiver whose place is known."""
    good = table[table["good"].astype(bool)].sort_values("serial")
    return Network(
        serial=good["serial"].to_numpy(np.int64),
        position=good[["latitude", "longitude"]].to_numpy(float),
        height_m=good["height"].to_numpy(float),
        delay_m=np.zeros(len(good)),
    )


def _heard(measurements: pd.Series, folder: Path) -> Floats:
    try:
        heard = np.array([json.loads(cell) for cell in measurements], dtype=float)
    except (TypeError, ValueError) as error:
        raise SurveyError(
            f"{folder}: a measurement is not [[receiver, ns, rssi], ...]; fetch the data again"
        ) from error
    if heard.shape[1:] != (RECEPTIONS, 3):
        raise SurveyError(f"{folder}: expected {RECEPTIONS} receptions of 3 numbers a row; fetch the data again")
    return heard


def _table(file: Path, columns: list[str]) -> pd.DataFrame:
    if not file.is_file():
        raise SurveyError(
            f"{file}: no such file; expected a folder with sensors.csv and set_1.csv to set_4.csv "
            "(demos/data/mlat of https://github.com/lschoe/mpyc; LocaRDS, https://zenodo.org/record/4739276)"
        )
    try:
        table = pd.read_csv(file, usecols=columns)
    except pd.errors.ParserError as error:
        raise SurveyError(f"{file}: damaged or cut short ({error}); fetch it again") from error
    except (ValueError, UnicodeDecodeError) as error:
        raise SurveyError(f"{file}: expected columns {', '.join(columns)}; {error}") from error
    if table.empty or table.isna().to_numpy().any():
        raise SurveyError(f"{file}: {'no rows' if table.empty else 'a row is cut short'}; fetch it again")
    return table
