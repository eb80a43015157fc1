"""Tensors as a command line gives them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sextant import errors
from sextant_client import Client, ask
from sextant_client.arguments import tensor
from sextant_client.testing import InMemoryTransport


def double(x):
    return {"doubled": 2 * x}


@pytest.fixture
def client():
    return Client(transport=InMemoryTransport(double, inputs={"x": "FP32 [2]"}))


ROWS = [[1.0, 2.0], [3.0, 4.0]]
WRITERS = {
    "rows.npy": lambda path: np.save(path, ROWS),
    "only.npz": lambda path: np.savez(path, anything=ROWS),
    "many.npz": lambda path: np.savez(path, x=ROWS, truth=[0]),
    "rows.json": lambda path: path.write_text(json.dumps(ROWS)),
    "rows.csv": lambda path: path.write_text("1,2\n3,4\n"),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_is_a_batch(client, tmp_path, name):
    WRITERS[name](tmp_path / name)

    answer = ask(client, "double", [f"x=@{tmp_path / name}"])

    assert answer["doubled"].tolist() == [[2.0, 4.0], [6.0, 8.0]]


def test_a_literal_list_is_a_row(client):
    assert ask(client, "double", ["x=[1, 2]"])["doubled"].tolist() == [2.0, 4.0]


def test_a_word_is_a_text():
    assert [(name, array.tolist()) for name, array in map(tensor, ["group=bag", "group=null", 'group=["bag"]'])] == [
        ("group", ["bag"]),
        ("group", None),
        ("group", ["bag"]),
    ]


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("x", "expected name=@file or name="),
        ("=[1]", "expected name=@file or name="),
        ("x=[1, 2", "x: expected a number or a list"),
        ("x=@rows.parquet", "x: expected a file of .npy, .npz, .json, .csv, got rows.parquet"),
        ("x=@absent.npy", "x: absent.npy cannot be read: .*No such file"),
    ],
)
def test_an_argument_that_is_no_tensor_is_refused(client, argument, sentence):
    with pytest.raises(errors.RequestRefused, match=sentence):
        ask(client, "double", [argument])


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".json", ".csv"])
def test_a_file_that_is_not_what_its_name_says_is_refused(client, tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    path.write_bytes(b"not, a tensor")

    with pytest.raises(errors.RequestRefused, match="cannot be read"):
        ask(client, "double", [f"x=@{path}"])


def test_a_pickle_is_never_loaded(client, tmp_path):
    np.save(tmp_path / "x.npy", np.array([{}], dtype=object))

    with pytest.raises(errors.RequestRefused, match="cannot be read: Object arrays cannot be loaded"):
        ask(client, "double", [f"x=@{tmp_path / 'x.npy'}"])


def test_an_archive_without_the_tensors_name_is_refused(client, tmp_path):
    np.savez(tmp_path / "x.npz", a=[1], b=[2])

    with pytest.raises(errors.RequestRefused, match="it holds a, b, not x"):
        ask(client, "double", [f"x=@{tmp_path / 'x.npz'}"])
