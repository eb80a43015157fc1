"""
A real survey: UJIIndoorLoc, 19,937 Wi-Fi fingerprints from three buildings of one campus (UCI, CC BY 4.0).

Its LONGITUDE and LATITUDE are metres of the web map projection EPSG:3857, 1.3 times too long on the ground at
this latitude.
They become degrees here, so that every metre this project prints is one somebody could walk.
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np
import pandas as pd

from sextant.errors import SurveyError
from sextant.tensors import Floats

from .survey import DAY_S, Integers, Survey

FILES = ("trainingData.csv.gz", "trainingData.csv")
HEARD = [f"WAP{number:03d}" for number in range(1, 521)]
SPOT = ["LONGITUDE", "LATITUDE", "FLOOR", "SPACEID", "PHONEID"]
FACTS = [*SPOT, "BUILDINGID", "USERID", "TIMESTAMP"]

SPHERE_M = 6378137.0
"""Radius of the sphere that EPSG:3857 pretends the ellipsoid is."""

VISITS = 2


def read(path: Path) -> Survey:
    """
    The survey in *path*, a file or the folder that holds it, in order of time.

    ``SurveyError`` if it is absent, cut short, or is another table.
    """
    table = _table(_file(path)).sort_values("TIMESTAMP", kind="stable")
    latitude, longitude = to_wgs84(table["LONGITUDE"].to_numpy(float), table["LATITUDE"].to_numpy(float))
    return Survey(
        name="UJIIndoorLoc",
        description=f"real: {len(table):,} Wi-Fi fingerprints of {len(HEARD)} access points in 3 buildings",
        features=table[HEARD].to_numpy(np.float32),
        latitude=latitude,
        longitude=longitude,
        group=groups(table),
        time=table["TIMESTAMP"].to_numpy(np.int64),
        origin=(round(float(latitude.mean()), 4), round(float(longitude.mean()), 4)),
    )


def to_wgs84(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """
    Latitude and longitude in degrees of EPSG:3857 metres; the projection inverts in closed form.

    >>> latitude, longitude = to_wgs84(np.array([-7541.2643]), np.array([4864920.7782]))
    >>> round(float(latitude[0]), 6), round(float(longitude[0]), 6)
    (39.99297, -0.067744)
    """
    latitude: Floats = np.degrees(2 * np.arctan(np.exp(y / SPHERE_M)) - np.pi / 2)
    return latitude, np.degrees(x / SPHERE_M)


def groups(table: pd.DataFrame) -> Integers:
    """
    The group of each row of a table in order of time: two visits on end by a user, in a building, on a day.

    A visit is a run of rows of one user at one spot with one phone, which are all but copies of each other.
    """
    spot = table.groupby(SPOT, sort=False).ngroup()
    arrives = spot != spot.groupby(table["USERID"]).shift()
    day = table["TIMESTAMP"] // DAY_S
    tour = table.groupby([day, "USERID", "BUILDINGID"]).ngroup()
    visit = arrives.groupby(tour).cumsum()
    pair = (visit - visit.groupby(tour).transform("first")) // VISITS
    numbers: Integers = pd.DataFrame({"tour": tour, "pair": pair}).groupby(["tour", "pair"]).ngroup().to_numpy(np.int64)
    return numbers


def _file(path: Path) -> Path:
    if path.is_file():
        return path
    for name in FILES:
        if (path / name).is_file():
            return path / name
    raise SurveyError(f"{path}: no such survey; expected a file, or a folder with {FILES[0]}")


def _table(file: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(file, usecols=[*HEARD, *FACTS])
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise SurveyError(f"{file}: the gzip file is damaged or cut short; fetch it again") from error
    except (ValueError, UnicodeDecodeError) as error:
        raise SurveyError(
            f"{file}: not UJIIndoorLoc; expected columns WAP001 to WAP520, {', '.join(FACTS)}; {error}"
        ) from error
    if table.empty or table.isna().to_numpy().any():
        raise SurveyError(f"{file}: {'no rows' if table.empty else 'a row is cut short'}; fetch it again")
    return table
