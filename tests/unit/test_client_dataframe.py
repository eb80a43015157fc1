"""A DataFrame through the client: columns by name in, a DataFrame out, and a refusal that names the column."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import client_doors
from sextant import errors
from sextant.columns import Column
from sextant_client import Client, ask
from sextant_client.testing import InMemoryTransport


def column(name, kind, tensor=None, **more):
    return Column(name=name, tensor=tensor or name, type=kind, **more).to_dict()


HOUSE = {
    "inputs": [
        column("rooms", "long"),
        column("area (m2)", "float", "area_m2"),
        column("town", "string"),
        column("seen", "datetime"),
        column("sold", "boolean"),
        column("key", "binary"),
        column("tags", "json"),
        column("garden", "double", required=False),
    ],
    "outputs": [column("price", "double"), column("label", "string")],
}
DTYPES = {"rooms": "INT64", "area_m2": "FP32", "sold": "BOOL", "garden": "FP64"}


def appraise(rooms, area_m2, town, seen, sold, key, tags, garden=0.0):
    return {
        "price": rooms * area_m2.astype(float) + garden,
        "label": np.array([[b" ".join(words)] for words in np.hstack([town, seen, tags])], dtype=object),
        "release": np.ones((len(rooms), 1), np.int32),
    }


class Recorded(InMemoryTransport):
    """Remembers what was asked of it."""

    asked = None

    def _infer(self, request):
        self.asked = request.inputs
        return super()._infer(request)


@pytest.fixture(params=client_doors.DOORS)
def door(request):
    return client_doors.DOORS[request.param]


@pytest.fixture
def transport():
    inputs = {entry["tensor"]: f"{DTYPES.get(entry['tensor'], 'BYTES')} [1]" for entry in HOUSE["inputs"]}
    return Recorded(appraise, inputs=inputs, columns=HOUSE, max_batch_size=2)


def houses():
    return pd.DataFrame(
        {
            "rooms": [3, 4, 5],
            "area (m2)": [10.0, 20.0, 30.0],
            "town": ["Bern", "Zürich", "東京"],
            "seen": pd.to_datetime(["2026-01-01", "2026-01-02", "2026-01-03"]),
            "sold": [True, False, True],
            "key": [b"\x00", b"\xff", b""],
            "tags": [["a"], [], ["b", 1]],
        },
        index=[10, 20, 30],
    )


def test_columns_are_found_by_name_and_the_answer_has_the_callers_index(door, transport):
    answer = door("appraise", houses()[sorted(houses())], client={"transport": transport})

    assert answer.columns.tolist() == ["price", "label", "release"]
    assert answer["price"].to_dict() == {10: 30.0, 20: 80.0, 30: 150.0}
    assert answer["label"][30] == '東京 2026-01-03T00:00:00.000000000 ["b", 1]'


def test_a_column_that_may_be_missing_may_come(door, transport):
    answer = door("appraise", houses().assign(garden=[1, 2, 3]), client={"transport": transport})

    assert answer["price"].tolist() == [31.0, 82.0, 153.0]


def test_the_arrays_are_to_be_had_as_well(door, transport):
    tensors = door("appraise", houses(), client={"transport": transport}, method="tensors")

    assert tensors["release"].shape == (3, 1)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda t: t.assign(twon="x"), "twon: appraise takes no such column; did you mean 'town'"),
        (lambda t: t.drop(columns=["rooms", "sold"]), r"expected the columns rooms \(long\), sold \(boolean\), got"),
        (lambda t: t.assign(rooms=[1.5, 2, 3]), "rooms: expected long, got float64"),
        (lambda t: t.assign(rooms=pd.array([1, None, 3], "Int64")), "rooms: 1 value is missing, and long has no word"),
        (lambda t: t.assign(rooms=["a", "b", "c"]), "rooms: expected long, got"),
        (lambda t: t.assign(rooms=np.array([2**63, 1, 1], np.uint64)), "rooms: .* beyond its range"),
        (lambda t: t.assign(sold=[1, 0, 1]), "sold: expected boolean, got int64"),
        (lambda t: t.assign(town=[1, 2, 3]), "town: expected string, got int 1"),
        (lambda t: t.assign(town=["a", None, "b"]), "town: 1 value is missing, and this model knows no missing string"),
        (lambda t: t.assign(key="text"), "key: expected binary, got str 'text'"),
        (lambda t: t.assign(seen=[1, 2, 3]), "seen: expected datetime, got int64"),
        (lambda t: t.assign(seen="yesterday"), "seen: expected datetime, got .*yesterday"),
        (lambda t: t.assign(seen=t["seen"].dt.tz_localize("UTC")), "seen: expected datetime, got .*UTC.*; convert it"),
        (lambda t: pd.concat([t, t[["town"]]], axis=1), "town: expected one column of that name, got 2"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_by_its_column(door, transport, change, sentence):
    with pytest.raises(errors.RequestRefused, match=sentence):
        door("appraise", change(houses()), client={"transport": transport})

    assert transport.asked is None


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.astype({"rooms": "int8", "area (m2)": "float16", "sold": "boolean"}),
        lambda t: t.astype({"rooms": "Int64", "area (m2)": "int64"}),
        lambda t: t.astype({"town": "category", "rooms": object}),
        lambda t: t.assign(seen=t["seen"].dt.strftime("%Y-%m-%d")),
    ],
    ids=["narrow", "nullable", "category", "iso_text"],
)
def test_types_are_cast_where_they_keep_their_meaning(door, transport, change):
    answer = door("appraise", change(houses()), client={"transport": transport})

    pd.testing.assert_frame_equal(answer, door("appraise", houses(), client={"transport": transport}))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_table_in_a_file_is_asked_whole(tmp_path, suffix):
    page = {"inputs": [column("a", "double"), column("b", "string")], "outputs": [column("x", "double")]}
    transport = InMemoryTransport(lambda a, b: {"x": a}, inputs={"a": "FP64 [1]", "b": "BYTES [1]"}, columns=page)
    table = pd.DataFrame({"b": ["p", "q"], "a": [1.5, 2.5]})
    path = tmp_path / f"rows{suffix}"
    table.to_csv(path, index=False) if suffix == ".csv" else table.to_parquet(path)

    answer = ask(Client(transport=transport), "<lambda>", [f"@{path}"])

    assert answer["x"].tolist() == [1.5, 2.5]


@pytest.mark.parametrize(
    ("name", "sentence"), [("a.txt", "expected a table in a file of"), ("a.csv", "cannot be read")]
)
def test_a_file_that_holds_no_table_is_refused(tmp_path, name, sentence):
    with pytest.raises(errors.RequestRefused, match=sentence):
        ask(Client(transport=InMemoryTransport({})), "x", [f"@{tmp_path / name}"])


def test_a_table_without_rows_gives_one_without_rows(door, transport):
    answer = door("appraise", houses()[:0], client={"transport": transport})

    assert (answer.shape, answer["price"].dtype) == ((0, 3), np.float64)


def test_a_missing_text_travels_to_a_model_that_can_tell(door):
    page = {"inputs": [column("word", "string")], "outputs": [column("word", "string")], "missing_text": True}
    transport = InMemoryTransport(lambda word: {"word": word}, inputs={"word": "BYTES [1]"}, columns=page)

    answer = door("<lambda>", pd.DataFrame({"word": ["a", None]}), client={"transport": transport})

    assert answer["word"].isna().tolist() == [False, True]


def test_columns_that_share_a_tensor_stand_in_its_order(door):
    page = {
        "inputs": [column("a", "long", "features"), column("b", "double", "features")],
        "outputs": [column("x", "float", "y"), column("z", "float", "y")],
    }
    transport = InMemoryTransport(lambda features: {"y": features * 2}, columns=page)

    answer = door("<lambda>", pd.DataFrame({"b": [0.5], "a": [3]}, index=["r"]), client={"transport": transport})

    assert answer.to_dict("index") == {"r": {"x": 6.0, "z": 1.0}}


def test_what_is_given_besides_the_columns_is_not_lost(door):
    """A classifier's signature names its label alone."""
    page = {"inputs": [column("a", "double", "features")], "outputs": [column("label", "long")]}

    def classify(features):
        return {"label": np.ones(len(features), np.int64), "probabilities": np.hstack([features, 1 - features])}

    transport = InMemoryTransport(classify, columns=page)
    answer = door("classify", pd.DataFrame({"a": [0.25, 0.5]}, index=["r", "s"]), client={"transport": transport})

    assert answer["label"].tolist() == [1, 1]
    assert answer.loc["r", "probabilities"].tolist() == [0.25, 0.75]


def test_an_answer_that_is_no_columns_comes_as_usual(door):
    page = {"inputs": [column("a", "double", "features"), column("b", "double", "features")], "outputs": []}
    position = InMemoryTransport(client_doors.position_tensors, columns=page)
    plain = InMemoryTransport(lambda features: {"y": features}, columns=page)
    table = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})

    fixes = door("position_tensors", table, client={"transport": position})

    assert [fix.latitude for fix in fixes] == [1.0, 2.0]
    assert door("<lambda>", table, client={"transport": plain})["y"].tolist() == [[1.0, 3.0], [2.0, 4.0]]
