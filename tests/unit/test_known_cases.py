"""Known cases, from tables and from arrays: what is a feature, what is true, and what is wrong with a file."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sextant.errors import CalibrationError
from sextant.groups import Groups
from sextant_export.known_cases import read_known_cases
from sextant_export.pipeline import Calibration

PLACES = {"latitude": [48.0, 48.1, 48.2], "longitude": [11.0, 11.1, 11.2]}
TRUTH = ("latitude", "longitude")
FLOOR = {"by": "column", "column": "floor"}


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


class Folder:
    """Writes known cases and reads them again."""

    def __init__(self, path: Path):
        self.path = path

    def table(self, columns, suffix=".parquet", truth=TRUTH, **spec):
        path = self.path / f"cases{suffix}"
        table = pd.DataFrame(columns)
        table.to_parquet(path) if suffix == ".parquet" else table.to_csv(path, index=False)
        return read_known_cases(Calibration(data=path, truth=truth, **spec))

    def arrays(self, truth=TRUTH, spec=(), **arrays):
        path = self.path / "cases.npz"
        np.savez(path, **arrays)
        return read_known_cases(Calibration(data=path, truth=truth, **dict(spec)))


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_every_column_that_is_named_nothing_else_is_a_feature(folder, suffix):
    columns = {"b": [1, 2, 3], **PLACES, "a": [4.5, 5.5, 6.5], "walk": ["x", "x", "y"], "floor": [0, 1, 1]}

    cases = folder.table(columns, suffix, group="walk", per=FLOOR)

    assert cases.features.tolist() == [[1.0, 4.5], [2.0, 5.5], [3.0, 6.5]]
    assert cases.features.dtype == np.float32
    assert cases.truth.tolist() == [[48.0, 11.0], [48.1, 11.1], [48.2, 11.2]]
    assert cases.group.tolist() == ["x", "x", "y"]
    assert cases.apart.tolist() == ["0", "1", "1"]
    assert len(cases) == 3
    assert cases.sha256 == hashlib.sha256((folder.path / f"cases{suffix}").read_bytes()).hexdigest()


def test_bands_need_no_column(folder):
    cases = folder.table({"a": [1, 2, 3], **PLACES}, per={"by": "sd_major_m", "edges": [20]})

    assert cases.apart is None
    assert cases.features.shape == (3, 1)


def test_arrays_may_have_any_rank(folder):
    features = np.arange(3 * 4 * 2, dtype=np.int16).reshape(3, 4, 2)

    cases = folder.arrays(features=features, **PLACES, floor=np.array([b"ground", b"1", b"1"]), spec={})

    assert cases.features.shape == (3, 4, 2)
    assert cases.features.dtype == np.float32
    assert cases.truth[:, 0].tolist() == PLACES["latitude"]
    assert cases.group is None
    assert cases.apart is None


def test_a_column_of_arrays_is_read_by_its_name(folder):
    floor = np.array(["ground", "1", "1"])

    cases = folder.arrays(features=np.ones((3, 2)), **PLACES, floor=floor, spec={"per": FLOOR})

    assert cases.apart.tolist() == ["ground", "1", "1"]


@pytest.mark.parametrize(
    ("labels", "read", "kind"),
    [
        ([3, 0, 3], [3, 0, 3], np.int64),
        ([3.0, 0.0, 3.0], [3, 0, 3], np.int64),
        (["cat", "dog", "cat"], ["cat", "dog", "cat"], np.object_),
    ],
)
@pytest.mark.parametrize("kept", ["table", "arrays"])
def test_labels_are_whole_numbers_or_words(folder, kept, labels, read, kind):
    given = (
        {"features": np.ones((3, 1)), "label": np.array(labels)} if kept == "arrays" else {"x": 1.0, "label": labels}
    )
    cases = folder.arrays(("label",), **given) if kept == "arrays" else folder.table(given, truth=("label",))

    assert cases.truth.tolist() == read
    assert cases.truth.dtype == kind


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_true_is_not_one_among_known_cases(folder, suffix):
    """It would count as the class 1, and False as 0."""
    with pytest.raises(CalibrationError, match=f"cases{suffix}: column 'label' holds truth values, and True counts"):
        folder.table({"x": [1.0, 2.0], "label": [True, False]}, suffix, truth=("label",))


def test_true_is_not_one_in_arrays_either(folder):
    with pytest.raises(CalibrationError, match="cases.npz: column 'label' holds truth values, and True counts as 1"):
        folder.arrays(("label",), features=np.ones((2, 1)), label=np.array([[True], [False]]))


def test_words_for_true_and_false_are_words(folder):
    """What the sentence asks for is read as it stands."""
    cases = folder.table({"x": [1.0, 2.0], "label": ["True", "False"]}, truth=("label",))

    assert cases.truth.tolist() == ["True", "False"]


@pytest.mark.parametrize(
    ("columns", "spec", "said"),
    [
        ({"a": [1], "lat": [1], "lon": [1]}, {}, "no column 'latitude'"),
        ({"a": [1, 2, 3], "longitude": [1, 2, 3]}, {}, "no column 'latitude'; there are a$"),
        ({"a": [1, 2, 3], **PLACES}, {"group": "walk"}, "no column 'walk'"),
        ({"a": [1, 2, 3], **PLACES}, {"per": {**FLOOR, "column": "flor"}}, "no column 'flor'"),
        ({"a": [1, 2, 3], **PLACES, "walk": ["x", None, "y"]}, {"group": "walk"}, "row 1, column 'walk' is missing"),
        ({"a": [1, 2, 3], **PLACES, "walk": [7, 7, np.nan]}, {"group": "walk"}, "row 2, column 'walk' is missing"),
        ({"a": [1, np.nan, 3], **PLACES}, {}, "row 1, column 'a' is not a finite number"),
        ({"a": ["x", "y", "z"], **PLACES}, {}, "expected numbers in every column, but 'a'"),
        ({**PLACES}, {}, "no column is left for the features"),
        ({"a": [], "latitude": [], "longitude": []}, {}, "there is no row in it"),
        ({"a": [1e300, 1, 1], **PLACES}, {}, "row 0, column 'a' is not a finite number"),
        ({"a": [1, 2], "latitude": [0, 91], "longitude": [0, 0]}, {}, "row 1, column 'latitude': expected a latitude"),
        ({"a": [1, 2], "label": ["x", None]}, {"truth": ("label",)}, "row 1, column 'label' is no word: "),
        ({"a": [1, 2], "label": [1, np.nan]}, {"truth": ("label",)}, "row 1, column 'label' is not a finite number"),
        ({"a": [1, 2], "label": [1, 1.5]}, {"truth": ("label",)}, "expected words or whole numbers, got fractions"),
    ],
)
def test_what_is_wrong_with_a_table_is_said(folder, columns, spec, said):
    with pytest.raises(CalibrationError, match=f"cases.parquet: .*{said}"):
        folder.table(columns, **spec)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"feature": np.ones((3, 2)), **PLACES}, "no array 'features'; did you mean 'feature'"),
        ({"features": np.ones(3), **PLACES}, r"expected 'features' with a row a case, got \[3\]"),
        ({"features": np.ones((2, 2)), **PLACES}, r"expected 'latitude' of shape \[2\], got \[3\]"),
        ({"features": np.ones((3, 2))}, "no array 'latitude'"),
        ({"features": np.ones((3, 2), np.complex64), **PLACES}, "'features' is complex: store real and imaginary"),
        ({"features": np.full((3, 2), np.inf), **PLACES}, "row 0, column 'features' is not a finite number"),
        ({"features": np.ones((0, 2)), "latitude": [], "longitude": []}, "there is no row in it"),
    ],
)
def test_what_is_wrong_with_arrays_is_said(folder, arrays, said):
    with pytest.raises(CalibrationError, match=f"cases.npz: .*{said}"):
        folder.arrays(**arrays)


def test_a_file_that_is_not_there_or_not_readable_is_said(folder):
    def read(name):
        return read_known_cases(Calibration(data=folder.path / name, truth=TRUTH))

    (folder.path / "cut.npz").write_bytes(b"PK")
    (folder.path / "cut.parquet").write_bytes(b"PAR1")
    with pytest.raises(CalibrationError, match="none.parquet: there is no such file of known cases"):
        read("none.parquet")
    with pytest.raises(CalibrationError, match="expected known cases in a file of .parquet, .csv, .npz"):
        read("cases.json")
    with pytest.raises(CalibrationError, match="cut.parquet cannot be read as a table"):
        read("cut.parquet")
    with pytest.raises(CalibrationError, match="cut.npz cannot be read as arrays"):
        read("cut.npz")


def test_arrays_of_python_objects_are_refused(folder):
    """They would be unpickled, which runs whatever they say."""
    with pytest.raises(CalibrationError, match="cannot be read as arrays"):
        folder.arrays(features=np.ones((1, 1)), latitude=np.array([object()]), longitude=[0])


def test_a_word_that_is_no_text_is_named(folder):
    floor = np.array([b"ground", b"\xff", b"1"])

    with pytest.raises(CalibrationError, match="row 1, column 'floor' is no word: b"):
        folder.arrays(features=np.ones((3, 2)), **PLACES, floor=floor, spec={"per": FLOOR})


def test_a_longitude_beyond_a_turn_is_refused(folder):
    with pytest.raises(CalibrationError, match="row 2, column 'longitude': expected a longitude within 360 degrees"):
        folder.arrays(features=np.ones((3, 2)), **{**PLACES, "longitude": [11.0, 11.0, 1111.0]})


def test_an_accent_makes_no_second_group(folder):
    """Spelt in one character or in two, as files and keyboards have it, it is one word; so it is when served."""
    floor = np.array(["\u00e9tage", "e\u0301tage", "1"])

    cases = folder.arrays(features=np.ones((3, 2)), **PLACES, floor=floor, spec={"per": FLOOR})

    assert cases.apart.tolist() == ["\u00e9tage", "\u00e9tage", "1"]
    groups = Groups({"by": "column", "column": "floor", "values": ["1", "\u00e9tage"]})
    asked = np.array(["e\u0301tage".encode(), "\u00e9tage".encode()], dtype=object)
    assert groups.of(np.zeros((2, 2)), np.tile(np.eye(2), (2, 1, 1)), asked).tolist() == [1, 1]
