"""A file of rows becomes what a copy is asked: by column where it is a table, as it stands where it is an array."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sextant.columns import Column
from sextant.errors import InputRefused
from sextant.tensors import Tensor
from sextant_export.observed import read_rows
from sextant_export.signature import Signature

MATRIX = Tensor("features", "FP32", (2,))
TABLE = Signature(
    form="columns",
    inputs=(Column(name="age (y)", tensor="age_y", type="long"), Column(name="size", tensor="size", type="double")),
)
ARRAY = Signature(form="array", inputs=(Column(name="features", tensor="features", type="float32", dims=(2,)),))
WORDS = Signature(form="columns", inputs=(Column(name="town", tensor="town", type="string"),))
FRAME = pd.DataFrame({"town": ["Ulm", "Bonn"], "size": [1.5, 2.5], "age (y)": [30, 40], "truth": [0, 1]})


@pytest.fixture(params=["csv", "parquet"])
def table(request, tmp_path):
    path = tmp_path / f"rows.{request.param}"
    FRAME.to_csv(path, index=False) if request.param == "csv" else FRAME.to_parquet(path)
    return path


def array_file(folder, array):
    path = folder / "rows.npy"
    np.save(path, array)
    return path


def test_a_table_gives_its_columns_by_name_and_keeps_the_rest_to_itself(table):
    feed = read_rows(table, TABLE, [MATRIX])

    assert feed["features"].tolist() == [[30, 1.5], [40, 2.5]]
    assert feed["features"].dtype == np.float32


def test_words_stay_words(table):
    assert read_rows(table, WORDS, WORDS.tensors)["town"].tolist() == [[b"Ulm"], [b"Bonn"]]


def test_an_array_is_taken_as_it_stands(tmp_path):
    path = array_file(tmp_path, np.array([[1.0, 2.0]]))

    assert read_rows(path, ARRAY, [MATRIX])["features"].tolist() == [[1, 2]]
    assert read_rows(path, TABLE, [MATRIX])["features"].tolist() == [[1, 2]]


def test_a_column_that_is_missing_is_named_with_what_is_there(tmp_path):
    path = tmp_path / "rows.csv"
    FRAME.drop(columns="size").to_csv(path, index=False)

    with pytest.raises(InputRefused, match=r"rows\.csv: expected a column 'size', got none; there are .*truth"):
        read_rows(path, TABLE, [MATRIX])


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.ones((3, 5)), r"expected rows of 2 columns: age \(y\), size, got an array \(3, 5\)"),
        (np.array(["a"]), r"expected rows of 2 columns"),
    ],
)
def test_an_array_of_another_shape_is_refused(tmp_path, array, sentence):
    with pytest.raises(InputRefused, match=sentence):
        read_rows(array_file(tmp_path, array), TABLE, [MATRIX])


def test_an_array_that_is_no_rows_of_the_input_is_refused(tmp_path):
    with pytest.raises(InputRefused, match=r"expected rows of features FP32 \[2\], got "):
        read_rows(array_file(tmp_path, np.ones((3, 5))), ARRAY, [MATRIX])


def test_another_kind_of_file_is_refused(tmp_path):
    with pytest.raises(InputRefused, match=r"expected a \.csv, \.parquet or \.npy file, got '\.txt'"):
        read_rows(tmp_path / "rows.txt", TABLE, [MATRIX])


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputRefused, match=r"expected a file of rows, got no such file"):
        read_rows(tmp_path / "rows.csv", TABLE, [MATRIX])
