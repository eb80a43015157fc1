"""Columns as tensors: every MLflow type goes there and comes back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sextant.columns import TYPES, Column, decode, encode, tensor_names
from sextant.errors import InputRefused, ModelFailed
from sextant.predictions import answered
from sextant.tensors import Tensor

VALUES = {
    "boolean": [True, False],
    "integer": [-(2**31), 2**31 - 1],
    "long": [-(2**63), 2**63 - 1],
    "float": [1.5, float("inf")],
    "double": [1e-300, 0.1],
    "string": ["", "Zürich 東京"],
    "binary": [b"", b"\x00\xff\x00"],
    "datetime": [np.datetime64("2026-11-22T18:00:00.123456789"), np.datetime64("1969-12-31")],
    "json": [{"a": [1, {"b": None}]}, [1.5, "x"]],
}


@pytest.mark.parametrize("kind", TYPES)
def test_every_type_of_column_comes_back_as_it_went(kind):
    served = encode(VALUES[kind], kind)

    assert served.shape == (2, 1)
    assert Column(name="c", tensor="c", type=kind).served == Tensor("c", TYPES[kind], (1,))
    assert decode(served, kind).tolist() == np.array(VALUES[kind], decode(served, kind).dtype).tolist()


def test_every_type_was_tried():
    assert VALUES.keys() == TYPES.keys()


@pytest.mark.parametrize(
    ("kind", "raw", "sentence"),
    [
        ("datetime", b"yesterday", "born: expected a datetime as ISO 8601"),
        ("datetime", b"9999-12-31", "born: expected a datetime as ISO 8601"),
        ("datetime", b"now", "born: expected a datetime as ISO 8601"),
        ("json", b"{", "born: expected JSON"),
        ("string", b"a\xff", "born: expected UTF-8 text"),
    ],
)
def test_text_that_is_not_what_it_should_be_is_refused_by_column(kind, raw, sentence):
    with pytest.raises(InputRefused, match=sentence):
        decode(np.array([[raw]], dtype=object), kind, "born")


def test_a_column_is_plain_json_and_back():
    column = Column(name="petal width (cm)", tensor="petal_width_cm", type="double", required=False)

    assert Column.from_dict(column.to_dict()) == column
    assert column.served.optional


@given(st.lists(st.text(max_size=5), max_size=8))
def test_tensor_names_are_safe_and_all_different(names):
    settled = tensor_names(names)

    assert len(set(settled)) == len(names)
    assert all(name.isascii() and name and set(name) <= set(_SAFE) for name in settled)


_SAFE = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"


NEVER = np.array(["9999-12-31", "1600-01-01"], "M8[s]")


@pytest.mark.parametrize("never", [*NEVER, *NEVER.tolist()])
def test_a_day_that_nanoseconds_do_not_reach_is_refused_instead_of_being_another(never):
    with pytest.raises(ValueError, match="is not between 1678 and 2261"):
        encode([never], "datetime")
    with pytest.raises(ModelFailed, match="is not between 1678 and 2261"):
        answered([never], [Column(name="until", tensor="until", type="datetime")], 1)


def test_no_datetime_and_the_nanoseconds_of_pandas_come_back():
    pandas = pytest.importorskip("pandas")
    values = [pandas.NaT, pandas.Timestamp("2026-11-22T18:00:00.123456789")]

    back = decode(encode(values, "datetime"), "datetime")

    assert np.isnat(back[0])
    assert str(back[1]) == "2026-11-22T18:00:00.123456789"
