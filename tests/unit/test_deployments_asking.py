"""What callers of MLflow's predict give, in every form that MLflow and NVIDIA's plugin have for it."""

from __future__ import annotations

import io
import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from sextant.errors import RequestRefused
from sextant_cli.deployments.asking import plain, predictions, question


def read(text):
    """As ``mlflow deployments predict --input-path`` does."""
    return pd.read_json(io.StringIO(text))


def test_the_file_of_nvidias_example_is_tensors_by_name():
    """Its answer is looked for under ``outputs``."""
    value, word = question(read('{"inputs": {"INPUT0": [[1.0, 2.0]], "INPUT1": [[3.0, 4.0]]}}'))

    assert {name: array.tolist() for name, array in value.items()} == {"INPUT0": [[1, 2]], "INPUT1": [[3, 4]]}
    assert word == "outputs"


SPLIT = '{"dataframe_split": {"columns": ["a", "b"], "data": [[1, "x"], [2, "y"]]}}'
RECORDS = '{"dataframe_records": [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]}'
BARE = '[{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]'


@pytest.mark.parametrize(
    "given",
    [
        read(SPLIT),
        json.loads(SPLIT),
        read(RECORDS),
        json.loads(RECORDS),
        read(BARE),
        json.loads(BARE),
        read('{"a": [1, 2], "b": ["x", "y"]}'),
    ],
    ids=["split file", "split", "records file", "records", "bare file", "bare", "columns file"],
)
def test_every_form_of_a_table_is_the_same_table(given):
    """In a file, as pandas reads it, and in Python."""
    value, word = question(given)

    assert value.to_dict("list") == {"a": [1, 2], "b": ["x", "y"]}
    assert word == "predictions"


@pytest.mark.parametrize("reader", [read, json.loads], ids=["from a file", "from Python"])
@pytest.mark.parametrize("form", ["instances", "inputs"])
def test_rows_of_numbers_are_one_array(form, reader):
    """The pipeline's only input takes it."""
    value, _ = question(reader(json.dumps({form: [[1, 2], [3, 4]]})))

    assert value.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize("reader", [read, json.loads], ids=["from a file", "from Python"])
def test_instances_by_name_are_stacked(reader):
    """A tensor's rows stand in one instance each."""
    value, _ = question(reader('{"instances": [{"a": [1, 2], "b": [5]}, {"a": [3, 4], "b": [6]}]}'))

    assert {name: array.tolist() for name, array in value.items()} == {"a": [[1, 2], [3, 4]], "b": [[5], [6]]}


def test_a_table_of_lists_stays_a_table():
    """An Array column of a model's table is no tensor."""
    frame = read('{"tags": [["a", "b"], ["c"]]}')

    assert question(frame).value is frame


def test_a_table_with_a_column_of_text_called_inputs_stays_a_table():
    """Only lists and mappings are taken apart."""
    frame = pd.DataFrame({"inputs": ["one", "two"]})

    assert question(frame).value is frame


def test_an_array_and_a_dictionary_of_arrays_are_taken_as_they_are():
    """As a caller in Python has them."""
    rows = np.eye(2)

    assert question(rows).value is rows
    assert question({"x": rows}).value["x"] is rows


@pytest.mark.parametrize("nothing", [None, "rows.json", 3], ids=["nothing", "a path", "a number"])
def test_what_is_no_data_is_refused(nothing):
    """With what is taken."""
    with pytest.raises(RequestRefused, match="expected a DataFrame, an array, a list, or a dictionary"):
        question(nothing)


@pytest.mark.parametrize(
    ("form", "value", "wanted"),
    [
        ("dataframe_split", {"columns": ["a"]}, r"columns: \[...\] and data"),
        ("dataframe_split", [[1, 2]], r"columns: \[...\] and data"),
        ("dataframe_split", {"columns": ["a"], "data": [[1, 2]]}, r"columns: \[...\] and data"),
        ("instances", [{"a": [1]}, {"b": [2]}], "a list of rows, or of one mapping"),
    ],
    ids=["no data", "no columns", "too many columns", "other tensors"],
)
def test_a_form_that_is_not_whole_is_refused_by_name(form, value, wanted):
    """With what it should hold."""
    with pytest.raises(RequestRefused, match=f"{form}: expected {wanted}.*got what cannot be read"):
        question({form: value})


def test_rows_of_unequal_length_are_refused_by_name():
    """Not by NumPy's traceback."""
    with pytest.raises(RequestRefused, match="x: expected an array, got rows of unequal length"):
        question({"x": [[1, 2], [3]]})


def test_one_array_is_the_predictions_themselves(tmp_path):
    """Both of MLflow's readers understand them, and so does its command line."""
    given = predictions({"prediction": np.array([[1.5], [2.5]])}, "predictions")
    given.to_json(tmp_path / "answer.json")

    assert given.get_predictions("ndarray").tolist() == [[1.5], [2.5]]
    assert json.loads((tmp_path / "answer.json").read_text()) == {"predictions": [[1.5], [2.5]]}


def test_one_number_a_row_is_a_number():
    """Triton knows no tensors without an axis; the model's signature does."""
    given = predictions({"prediction": np.array([[1.5], [2.5]])}, "predictions", {"prediction"})

    assert given["predictions"] == [1.5, 2.5]


def test_typed_answers_are_records():
    """A pipeline of several members may be asked with a table too."""
    fix = SimpleNamespace(to_dict=lambda: {"latitude": 43.3})

    assert predictions([fix], "predictions")["predictions"] == [{"latitude": 43.3}]


def test_several_arrays_stand_under_their_names():
    """MLflow makes a table of them."""
    given = predictions({"label": np.array([[1], [0]]), "share": np.array([[0.5, 0.5], [1, 0]])}, "predictions")

    assert given["predictions"] == {"label": [[1], [0]], "share": [[0.5, 0.5], [1, 0]]}
    assert list(given.get_predictions().columns) == ["label", "share"]


def test_a_table_of_answers_is_records():
    """As MLflow's scoring server gives them."""
    table = pd.DataFrame({"label": ["a", "b"], "share": [0.5, 1.0]})

    given = predictions(table, "predictions")

    assert given["predictions"] == [{"label": "a", "share": 0.5}, {"label": "b", "share": 1.0}]
    assert given.get_predictions().equals(table)


def test_whoever_asked_as_the_plugin_wants_it_finds_outputs():
    """And MLflow's own word works too."""
    given = predictions({"OUTPUT0": np.array([[2]], np.int32)}, "outputs")

    assert json.loads(given.to_json()) == {"outputs": {"OUTPUT0": [[2]]}}
    assert given["predictions"] == given["outputs"]
    with pytest.raises(KeyError, match="answers"):
        given["answers"]


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array([b"text", "text"], object), ["text", "text"]),
        (np.array([b"\xff\x00"], object), ["/wA="]),
        (np.array(["2026-11-22"], "M8[s]"), ["2026-11-22T00:00:00"]),
        (np.array([[True]]), [[True]]),
        (np.array([{"a": [1]}], object), [{"a": [1]}]),
    ],
    ids=["text", "bytes", "datetime", "boolean", "JSON"],
)
def test_every_type_has_a_json(array, expected):
    """What JSON does not know, it gets as MLflow's clients write it."""
    assert plain(array) == expected
    assert json.dumps(plain(array))
