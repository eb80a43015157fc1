from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from geographiclib.geodesic import Geodesic

from sextant.errors import SurveyError
from sextant_cli.demo.survey import split
from sextant_cli.demo.ujiindoorloc import HEARD, groups, read, to_wgs84

REAL = Path(__file__).parents[3] / "shared" / "data" / "ujiindoorloc"


@pytest.fixture
def rows():
    """Six fingerprints of two users, not in order of time."""
    facts = {
        "LONGITUDE": [-7541.26, -7541.26, -7536.62, -7600.0, -7600.0, -7600.0],
        "LATITUDE": [4864920.8, 4864920.8, 4864934.2, 4864900.0, 4864900.0, 4864950.0],
        "FLOOR": 2,
        "SPACEID": 1,
        "PHONEID": 23,
        "BUILDINGID": 1,
        "USERID": [2, 2, 2, 7, 7, 7],
        "TIMESTAMP": [13, 11, 15, 12, 14, 16],
    }
    heard = pd.DataFrame(np.full((6, len(HEARD)), 100), columns=HEARD)
    heard["WAP001"] = [-60, -61, -62, -63, -64, -65]
    return pd.concat([heard, pd.DataFrame(facts)], axis=1)


@pytest.fixture
def folder(tmp_path, rows):
    rows.to_csv(tmp_path / "trainingData.csv.gz", index=False)
    return tmp_path


def test_a_folder_and_the_file_in_it_are_the_same_survey(folder):
    survey, again = read(folder), read(folder / "trainingData.csv.gz")

    np.testing.assert_array_equal(survey.features, again.features)
    assert survey.features.shape == (6, 520)
    assert survey.features.dtype == np.float32


def test_rows_come_in_order_of_time(folder):
    survey = read(folder)

    assert survey.time.tolist() == [11, 12, 13, 14, 15, 16]
    assert survey.features[:, 0].tolist() == [-61, -63, -60, -64, -62, -65]


def test_degrees_project_back_onto_the_metres_they_came_from():
    x, y = np.array([-7541.2643, 20037508.0]), np.array([4864920.7782, -5e6])

    latitude, longitude = to_wgs84(x, y)

    np.testing.assert_allclose(6378137 * np.radians(longitude), x, rtol=1e-12)
    np.testing.assert_allclose(6378137 * np.arcsinh(np.tan(np.radians(latitude))), y, rtol=1e-12)


def test_a_web_map_metre_is_shorter_on_the_ground():
    latitude, longitude = to_wgs84(np.array([-7541.0, -7441.0]), np.array([4864920.0, 4864920.0]))

    on_the_ground = Geodesic.WGS84.Inverse(latitude[0], longitude[0], latitude[1], longitude[1])["s12"]

    assert 100 / on_the_ground == pytest.approx(1.3035, abs=0.003)


def test_two_visits_on_end_are_a_group(rows):
    ordered = rows.sort_values("TIMESTAMP")
    spots = pd.concat([ordered] * 2, ignore_index=True)
    spots.loc[6:, "LONGITUDE"] += 10.0

    numbers = groups(spots)

    # User 2: spots A A B | A' A' B' are four visits, two groups; user 7 likewise.
    assert numbers.tolist() == [0, 2, 0, 2, 0, 2, 1, 3, 1, 3, 1, 3]


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(SurveyError, match=r"no such survey; expected a file, or a folder with trainingData\.csv\.gz"):
        read(tmp_path / "nowhere")


def test_a_file_that_was_cut_short_is_refused(folder):
    whole = (folder / "trainingData.csv.gz").read_bytes()
    (folder / "trainingData.csv.gz").write_bytes(whole[: len(whole) // 2])

    with pytest.raises(SurveyError, match="damaged or cut short"):
        read(folder)


def test_a_file_that_only_calls_itself_gzip_is_refused(tmp_path):
    (tmp_path / "trainingData.csv.gz").write_text("WAP001,WAP002\n1,2\n")

    with pytest.raises(SurveyError, match="damaged or cut short"):
        read(tmp_path)


def test_another_table_is_refused_with_the_columns_expected(tmp_path):
    with gzip.open(tmp_path / "trainingData.csv.gz", "wt") as file:
        file.write("a,b\n1,2\n")

    with pytest.raises(SurveyError, match="not UJIIndoorLoc; expected columns WAP001 to WAP520"):
        read(tmp_path)


@pytest.mark.parametrize(("kept", "sentence"), [(0, "no rows"), (3, "a row is cut short")])
def test_a_table_without_whole_rows_is_refused(tmp_path, rows, kept, sentence):
    lines = rows.to_csv(index=False).splitlines()[: kept + 1]
    if kept:
        lines[-1] = ",".join(lines[-1].split(",")[:300])
    (tmp_path / "trainingData.csv").write_text("\n".join(lines) + "\n")

    with pytest.raises(SurveyError, match=sentence):
        read(tmp_path)


@pytest.mark.skipif(not REAL.exists(), reason="the real survey lies in ../shared/data/ujiindoorloc, absent here")
def test_the_real_survey_is_whole_and_split_by_time_and_visit():
    survey = read(REAL)

    parts = split(survey)

    assert len(survey) == 19937
    assert (len(parts.train), len(parts.calibration), len(parts.held_back)) == (12310, 3639, 3988)
    assert not set(parts.train.group) & set(parts.calibration.group)
    assert np.ptp(survey.east_north, axis=0).tolist() == pytest.approx([299.0, 207.0], abs=3.0)
