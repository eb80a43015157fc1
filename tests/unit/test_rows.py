"""The rows of a proof: what was logged first, then seeded rows inside the ranges, then every edge on purpose."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from skl2onnx import to_onnx
from sklearn.ensemble import RandomForestRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sextant.columns import Column
from sextant.tensors import Tensor
from sextant_export.parity import asked
from sextant_export.rows import placed, proof_feed
from sextant_export.tree_thresholds import thresholds
from sextant_export.value_space import seeded_rows

RANDOM = np.random.default_rng(3)
MATRIX = Tensor("features", "FP32", (6,))
ROWS = RANDOM.random((400, 6)).astype(np.float32) - np.float32(0.3)
TABLE = (
    Tensor("age", "INT64", (1,)),
    Tensor("height", "FP64", (1,)),
    Tensor("member", "BOOL", (1,)),
    Tensor("town", "BYTES", (1,)),
)
KNOWN = {
    "age": RANDOM.integers(18, 90, (60, 1)),
    "height": RANDOM.normal(1.7, 0.1, (60, 1)),
    "member": RANDOM.random((60, 1)) < 0.5,
    "town": np.array([[b"Ulm"], [b"Bonn"], [b"Trier"]] * 20, dtype=object),
}


def part(feed, name):
    """The rows of *feed* that come from *name*."""
    rows = [row for row in range(sum(count for _, count in feed.parts)) if feed.origin(row) == name]
    return {tensor: array[rows] for tensor, array in feed.items()}


def sums(feed):
    return {"y": feed["features"].sum(axis=1)}


def drawn(**options):
    return proof_feed([MATRIX], [{"features": ROWS[:5]}, {"features": ROWS}], 1000, 7, **options)


def test_the_logged_example_comes_first_and_as_it_stands():
    assert (drawn()["features"][:5] == ROWS[:5]).all()
    assert drawn().parts[0] == ("logged example", 5)


def test_of_a_long_example_the_first_rows_are_asked():
    assert proof_feed([MATRIX], [{"features": ROWS}], 100, 7).parts[0] == ("logged example", 256)


def test_rows_that_were_never_logged_are_not_called_an_example():
    observed = proof_feed([MATRIX], [{"features": ROWS}], 100, 7, first="observed")

    assert observed.parts[0] == ("observed", 256)
    assert proof_feed([MATRIX], [], 100, 7, imagine=True).parts[0][0] == "imagined"


def test_the_same_seed_draws_the_same_rows():
    again, other = drawn(), proof_feed([MATRIX], [{"features": ROWS}], 1000, 8)

    assert (drawn()["features"] == again["features"]).all()
    assert not np.array_equal(part(again, "seeded")["features"], part(other, "seeded")["features"])


def test_no_row_leaves_the_ranges_that_are_known():
    rows = drawn()["features"]

    assert (rows.min(axis=0) >= ROWS.min(axis=0)).all()
    assert (rows.max(axis=0) <= ROWS.max(axis=0)).all()
    assert rows.dtype == np.float32


def test_every_column_stands_at_both_its_ends_and_all_do_together():
    ends = part(drawn(), "column ends")["features"]

    assert len(ends) == 14
    assert ((ends == ROWS.min(axis=0)).sum(axis=0) >= 2).all()
    assert (ends[-2:] == [ROWS.min(axis=0), ROWS.max(axis=0)]).all()


def test_a_wide_table_has_every_column_at_its_ends_in_few_rows():
    wide = RANDOM.random((50, 500)).astype(np.float32)

    ends = part(proof_feed([Tensor("x", "FP32", (500,))], [{"x": wide}], 10, 1), "column ends")["x"]

    assert len(ends) == 130
    assert (ends.min(axis=0) == wide.min(axis=0)).all()
    assert ((ends[:-2] == wide.max(axis=0)).sum(axis=0) >= 1).all()


def test_where_the_range_holds_zero_there_are_zeros_of_both_signs_and_denormals():
    zeros, denormals = (part(drawn(), name)["features"] for name in ("zeros", "denormals"))

    assert (zeros == 0).all()
    assert np.signbit(zeros[1]).all()
    assert ((denormals > 0) & (denormals < np.finfo(np.float32).tiny)).all()


def test_where_the_range_holds_no_zero_there_is_none():
    feed = proof_feed([MATRIX], [{"features": ROWS + 5}], 100, 7)

    assert {"zeros", "denormals"}.isdisjoint(name for name, _ in feed.parts)


def test_each_type_stays_its_own():
    feed = proof_feed(TABLE, [KNOWN], 1000, 7)

    assert {name: array.dtype.kind for name, array in feed.items()} == {
        "age": "i",
        "height": "f",
        "member": "b",
        "town": "O",
    }
    assert all(array.shape == (len(feed["age"]), 1) for array in feed.values())
    assert (feed["age"].min(), feed["age"].max()) == (KNOWN["age"].min(), KNOWN["age"].max())
    assert set(feed["town"].ravel()) == {b"Ulm", b"Bonn", b"Trier"}
    assert set(feed["member"].ravel()) == {True, False}


def test_doubles_are_drawn_as_doubles():
    height = part(proof_feed(TABLE, [KNOWN], 1000, 7), "seeded")["height"]

    assert (height != height.astype(np.float32)).mean() > 0.9


def test_what_was_known_together_is_drawn_together():
    seeded = part(proof_feed(TABLE, [KNOWN], 1000, 7), "seeded")
    known = {tuple(array[i, 0] for array in KNOWN.values()) for i in range(60)}

    seen = [tuple(array[i, 0] for array in seeded.values()) for i in range(1000)]

    assert sum(row in known for row in seen) >= 250


def test_whole_numbers_of_a_matrix_stay_whole():
    known = {"features": RANDOM.integers(0, 9, (100, 6)).astype(np.float32)}
    columns = [Column(name=c, tensor=c, type="double" if c == "f" else "long") for c in "abcdef"]

    rows = proof_feed([MATRIX], [known], 1000, 7, columns)["features"]

    assert (rows[:, :5] == np.rint(rows[:, :5])).all()
    assert (rows[:, 5] != np.rint(rows[:, 5])).any()


def test_one_known_row_says_the_scale_and_the_sign_of_what_is_drawn():
    rows = part(proof_feed([MATRIX], [{"features": np.array([[4, -4, 1, 0.5, 100, 3]], np.float32)}], 500, 7), "seeded")

    assert (rows["features"].min(axis=0) >= [2, -6, 0.5, 0.25, 50, 1.5]).all()
    assert (rows["features"].max(axis=0) <= [6, -2, 1.5, 0.75, 150, 4.5]).all()
    assert (rows["features"].std(axis=0) > 0).all()


def test_whole_numbers_of_one_known_row_go_no_higher():
    """They may be places in a list."""
    rows = proof_feed([Tensor("ids", "INT64", (3,))], [{"ids": np.array([[101, 7592, 102]])}], 500, 7)["ids"]

    assert rows.max(axis=0).tolist() == [101, 7592, 102]
    assert rows.min(axis=0).tolist() == [50, 3796, 51]


def test_axes_stay_as_they_are():
    image = RANDOM.random((8, 3, 4, 5)).astype(np.float32)

    feed = proof_feed([Tensor("image", "FP32", (3, -1, -1))], [{"image": image}], 20, 7)

    assert feed["image"].shape[1:] == (3, 4, 5)


def test_an_input_of_which_nothing_is_known_is_named():
    with pytest.raises(ValueError, match="no row of the input 'town' is known"):
        proof_feed(TABLE, [{name: array for name, array in KNOWN.items() if name != "town"}], 100, 7)


def test_an_optional_input_of_which_nothing_is_known_is_left_out():
    optional = Tensor("extra", "FP32", (1,), optional=True)

    assert "extra" not in proof_feed([MATRIX, optional], [{"features": ROWS}], 100, 7)


def test_numbers_may_be_imagined_where_the_caller_says_so():
    inputs = (*TABLE[:3], Tensor("signal", "FP32", (2, -1)))

    feed = proof_feed(inputs, (), 1000, 7, imagine=True)

    assert feed["signal"].shape[1:] == (2, 8)
    assert len(np.unique(feed["signal"])) > 1000
    with pytest.raises(ValueError, match="'town' takes words, and none is known"):
        proof_feed(TABLE, (), 1000, 7, imagine=True)
    with pytest.raises(ValueError, match="no row of the input 'age' is known"):
        proof_feed(TABLE, (), 1000, 7)


def test_gaps_are_asked_where_the_original_answers_them():
    feed = drawn(original=lambda feed: {"y": np.nan_to_num(feed["features"]).sum(axis=1)})

    gaps = np.isnan(part(feed, "missing values")["features"])

    assert gaps.any(axis=0).all()
    assert gaps[-1].all()


def test_gaps_are_not_asked_where_the_original_refuses_or_answers_none():
    def refuses(feed):
        if np.isnan(feed["features"]).any():
            raise ValueError("Input contains NaN")
        return sums(feed)

    for original in (refuses, sums):
        assert not np.isnan(drawn(original=original)["features"]).any()


def test_a_gap_is_asked_in_the_one_column_that_takes_it():
    def original(feed):
        if np.isnan(feed["features"][:, 1:]).any():
            raise ValueError("only the first may be missing")
        return {"y": np.nan_to_num(feed["features"]).sum(axis=1)}

    gaps = np.isnan(part(drawn(original=original), "missing values")["features"])

    assert gaps.tolist() == [[True, *[False] * 5]]


def test_of_somebody_s_own_program_only_the_rows_it_answers_are_asked():
    def original(feed):
        if (feed["features"][:, 0] > feed["features"][:, 1] + 0.5).any():
            raise ValueError("the end lies before the start")
        return sums(feed)

    feed = drawn(original=original, may_refuse=True)

    assert len(original(feed)["y"]) == len(feed["features"])
    assert feed.parts[0] == ("logged example", 5)
    assert 700 < dict(feed.parts)["seeded"] < 1000


def test_a_logged_example_of_another_length_than_what_is_observed_is_left_out():
    known = [{"ids": np.ones((2, 4), np.int64)}, {"ids": np.ones((40, 9), np.int64)}]

    feed = proof_feed([Tensor("ids", "INT64", (-1,))], known, 50, 7)

    assert feed.parts[0] == ("seeded", 50)


def test_strange_words_are_asked_where_the_original_answers_them():
    def original(feed):
        if (feed["town"] == b"").any():
            raise ValueError("a town has a name")
        return {"y": np.ones(len(feed["town"]))}

    words = part(proof_feed(TABLE, [KNOWN], 100, 7, original=original), "words")["town"].ravel().tolist()

    assert words == [b"Bonn", b"Trier", b"Ulm", b"sextant-unseen"]


def test_rows_stand_on_a_threshold_and_one_place_beside_it():
    feed = drawn(thresholds={("features", 2): np.array([0.25])})

    at = part(feed, "tree thresholds")["features"][:, 2]

    assert at.tolist() == [
        0.25,
        np.nextafter(np.float32(0.25), np.float32(0)),
        np.nextafter(np.float32(0.25), np.float32(1)),
    ]
    assert np.flatnonzero(placed(feed, len(feed["features"]))).tolist() == [
        *range(len(feed["features"]) - 3, len(feed["features"]))
    ]


def test_whole_numbers_stand_to_both_sides_of_a_threshold():
    feed = proof_feed(TABLE, [KNOWN], 100, 7, thresholds={("age", 0): np.array([40.5])})

    assert set(part(feed, "tree thresholds")["age"].ravel()) == {40, 41}


def test_of_many_thresholds_a_hundred_are_chosen_over_all_columns():
    many = {("features", i): np.linspace(0, 0.5, 1000) for i in range(6)}

    rows = part(drawn(thresholds=many), "tree thresholds")

    assert len(rows["features"]) == 300


@pytest.mark.parametrize("scaled", [False, True], ids=["bare", "scaled"])
def test_the_thresholds_of_a_graph_are_those_of_its_trees(scaled):
    forest = RandomForestRegressor(3, max_depth=3, random_state=0)
    model = make_pipeline(StandardScaler(), forest) if scaled else forest
    model.fit(ROWS, ROWS[:, 0] + ROWS[:, 1] * ROWS[:, 2])

    found = thresholds(to_onnx(model, ROWS[:1], target_opset={"": 21, "ai.onnx.ml": 3}))

    wanted = {tree.tree_.feature[node] for tree in forest.estimators_ for node in range(tree.tree_.node_count)} - {-2}
    assert {column for _, column in found} == wanted
    low, high = ROWS.min(axis=0), ROWS.max(axis=0)
    assert all(low[c] <= values.min() and values.max() <= high[c] for (_, c), values in found.items())


def test_a_graph_without_trees_has_no_thresholds():
    graph = onnx.parser.parse_graph("net (float[n, 2] x) => (float[n, 2] y) { y = Abs(x) }")

    assert thresholds(onnx.helper.make_model(graph)) == {}


TREE = """ai.onnx.ml.TreeEnsembleRegressor <n_targets = 1, nodes_featureids = [0, 0, 0],
    nodes_values = [0.5, 0.0, 0.0], nodes_modes = ["BRANCH_LEQ", "LEAF", "LEAF"]>"""


def graph_of_tree(before):
    """A graph whose one tree asks the first column of ``s``, which the nodes *before* make of ``x``."""
    return onnx.parser.parse_model(
        f"""<ir_version: 8, opset_import: ["": 17, "ai.onnx.ml": 3]>
        net (float[n, 2] x) => (float[n, 1] y)
        <float[2] two = {{2.0, 4.0}}, float[3] three = {{1.0, 2.0, 3.0}}, int64[1] last = {{1}}>
        {{ {before} y = {TREE} (s) }}"""
    )


@pytest.mark.parametrize(
    ("before", "found"),
    [
        ("s = Identity(x)", {("x", 0): [0.5]}),
        ("s = Gather <axis = 1> (x, last)", {("x", 1): [0.5]}),
        ("a = Add(x, two) s = Div(a, two)", {("x", 0): [-1.0]}),
        ("m = Mul(two, x) s = Sub(m, two)", {("x", 0): [1.25]}),
        ("g = Softmax(x) s = Concat <axis = 1> (x, g)", {("x", 0): [0.5]}),
    ],
)
def test_a_threshold_is_followed_back_to_the_input(before, found):
    assert {key: values.tolist() for key, values in thresholds(graph_of_tree(before)).items()} == found


@pytest.mark.parametrize(
    "before",
    ["s = Softmax(x)", "s = Gather(x, last)", "r = Unsqueeze(x, last) w = Mul(r, three) s = Reshape(w, last)"],
    ids=["mixed", "rows, not columns", "wider"],
)
def test_a_tree_behind_what_mixes_columns_has_no_thresholds_to_stand_on(before):
    assert thresholds(graph_of_tree(before)) == {}


def test_drawn_rows_hold_observed_ones():
    known = {row.tobytes() for row in ROWS}

    assert sum(row.tobytes() in known for row in seeded_rows(ROWS, 1000, seed=7)) >= 250


def test_drawn_rows_of_whole_numbers_are_whole_and_keep_their_axes():
    rows = seeded_rows(np.arange(40, dtype=np.int64).reshape(5, 2, 4), 100, seed=1)

    assert (rows.shape, rows.dtype) == ((100, 2, 4), np.int64)


def test_what_is_drawn_can_be_asked_at_once():
    feed = drawn()

    assert len(asked(sums, feed)["y"]) == len(feed["features"])


def test_a_graph_that_multiplies_by_a_table_of_constants_has_no_thresholds_and_does_not_break():
    """GaussianNB takes each row from a row of means."""
    body = (
        "g (float[b, 4] x) => (float[b, 3, 4] y) <float[1, 3, 4] theta> { u = Unsqueeze (x, one) y = Sub (u, theta) }"
    )
    graph = onnx.parser.parse_graph(body)
    graph.initializer.extend(
        onnx.numpy_helper.from_array(array, name)
        for name, array in (("theta", np.ones((1, 3, 4), np.float32)), ("one", np.array([1])))
    )

    assert not thresholds(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)]))
