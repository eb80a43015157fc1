"""Proof: equal within a tolerance that follows the answers' scale; what differs has a cause, or there is no proof."""

from __future__ import annotations

import numpy as np
import pytest

from sextant.errors import ParityError
from sextant_export.difference import Tolerance
from sextant_export.parity import Reopened, compare, examine, prove
from sextant_export.rows import Rows
from sextant_export.value_space import seeded_rows

ROWS = np.random.default_rng(3).random((400, 6)).astype(np.float32)
LINE = np.linspace(0, 1, 201, dtype=np.float32)[:, None]


def linear(feed):
    return {"y": feed["x"].astype(np.float64) @ np.arange(1.0, 7.0)}


def in_float32(feed):
    return {"y": feed["x"].astype(np.float32) @ np.arange(1, 7, dtype=np.float32)}


def step(feed):
    return {"y": np.where(feed["x"][:, 0] > np.float32(0.5), 100.0, 0.0)}


def step_to_the_left(feed):
    return {"y": np.where(feed["x"][:, 0] >= np.float32(0.5), 100.0, 0.0)}


def answers(*columns: float) -> dict[str, np.ndarray]:
    return {"prediction": np.array([columns, columns], np.float64)}


def test_a_faithful_copy_is_proven():
    feed = {"x": seeded_rows(ROWS, 1024, seed=4)}

    proof, expected = prove(in_float32, linear, feed)

    assert (proof.rows, proof.edges, proof.unexplained, proof.proven) == (1024, (), (), True)
    assert 0 < proof.max_abs_delta <= proof.tolerance < 0.01
    assert (expected["y"] == linear(feed)["y"]).all()


def test_another_model_is_no_copy_and_the_worst_row_is_named():
    with pytest.raises(ParityError, match=r"row \d+, output 'y': the original answers \[.*the copy \[") as caught:
        prove(lambda feed: {"y": linear(feed)["y"] * 1.1}, linear, {"x": ROWS})

    assert caught.value.worst > caught.value.tolerance


def test_every_output_has_its_own_worst_row_and_tolerance():
    expected = {"a": np.zeros((3, 2)) + 1, "b": np.array([0.0, 100.0, 200.0])}
    given = {"a": np.array([[1, 1], [1, 1], [1, 1 + 1e-7]]), "b": np.array([0.0, 100.003, 200.001])}

    proof = compare(expected, given)

    assert (proof.worst_output, proof.worst_row) == ("b", 1)
    assert proof.max_abs_delta == pytest.approx(0.003)
    assert proof.outputs["a"].worst_row == 2
    assert proof.outputs["a"].tolerance < proof.outputs["b"].tolerance
    assert [row.row for row in proof.worst] == [1, 2]


def test_of_a_wide_answer_the_worst_value_is_named():
    expected = {"vector": np.zeros((3, 700)) + 1}
    given = {"vector": expected["vector"].copy()}
    given["vector"][2, 500] = 3

    with pytest.raises(
        ParityError, match=r"row 2, value 500 of output 'vector': the original answers \[1\], the copy \[3\]"
    ):
        compare(expected, given)


def test_a_stated_tolerance_is_taken_at_its_word():
    compare(answers(0, 1), answers(0, 1.4), tolerance=0.5)

    with pytest.raises(ParityError, match=r"\|delta\| 1 is over 0\.5"):
        compare(answers(0, 1), answers(0, 2), tolerance=0.5)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"other": np.zeros((2, 2))}, "there is no output 'prediction'; the copy answers other"),
        (answers(0, 0) | {"more": np.zeros(2)}, "nothing says what output 'more' should be; the original answers pred"),
        ({"prediction": np.zeros((2, 2), np.int64)}, "output 'prediction' is int64 where the original answers float64"),
        ({"prediction": np.zeros((2, 2), object)}, "output 'prediction' is object where the original answers float64"),
        ({"prediction": np.zeros((2, 3))}, r"output 'prediction' is \(2, 3\) where the original answers \(2, 2\)"),
        ({"prediction": np.zeros((4, 1))}, r"output 'prediction' is \(4, 1\) where"),
        (answers(0, np.nan), r"the original answers \[0, 0\], the copy \[0, nan\]: \|delta\| inf"),
        (answers(0, np.inf), r"the copy \[0, inf\]: \|delta\| inf is over"),
    ],
)
def test_no_tolerance_helps_another_kind_or_shape_nor_a_gap(given, sentence):
    with pytest.raises(ParityError, match=sentence):
        compare(answers(0, 0), given, tolerance=1e9)


def test_nan_is_equal_to_nan_alone_and_counted():
    proof = compare(answers(np.nan, 1), answers(np.nan, 1))

    assert proof.outputs["prediction"].nan_pairs == 2
    with pytest.raises(ParityError, match="inf"):
        compare(answers(np.nan, 1), answers(0, 1))


def test_an_infinity_is_equal_to_itself_alone():
    assert compare(answers(np.inf, -np.inf, 1), answers(np.inf, -np.inf, 1)).max_abs_delta == 0
    with pytest.raises(ParityError, match="inf"):
        compare(answers(np.inf, 1), answers(-np.inf, 1))


def test_nothing_but_nan_proves_nothing():
    with pytest.raises(ParityError, match="output 'prediction' of the original is NaN in every row"):
        compare(answers(np.nan), answers(np.nan))


def test_one_column_and_no_column_say_the_same():
    assert compare({"y": np.zeros(4)}, {"y": np.zeros((4, 1), np.float32)}).max_abs_delta == 0


def test_text_is_text_whether_it_comes_as_bytes_or_not():
    words = np.array(["a", "é"], dtype=object)

    proof = compare({"label": words}, {"label": np.array([[b"a"], ["é".encode()]], dtype=object)})

    assert proof.outputs["label"].flips == 0


@pytest.mark.parametrize("labels", [np.array(["a", "b"], dtype=object), np.array([1, 2]), np.array([True, False])])
def test_labels_must_be_equal_whatever_is_tolerated(labels):
    with pytest.raises(ParityError, match=r"2 of 2 rows differ"):
        compare({"label": labels}, {"label": labels[::-1]}, tolerance=10.0)


def test_the_tolerance_follows_the_scale_of_the_answers():
    metres = np.array([[0.0], [200.0]])

    assert Tolerance.of(metres * 1000).value == pytest.approx(1000 * Tolerance.of(metres).value)
    assert 0.005 < Tolerance.of(metres).value < 0.02


def test_the_tolerance_allows_what_degrees_lose_in_32_bits():
    degrees = np.array([179.9, 179.9001])

    assert Tolerance.of(degrees).value > np.abs(degrees.astype(np.float32) - degrees).max()


def test_one_huge_answer_lends_the_others_no_tolerance():
    """One row that explodes on the edge of its range must not hide an error in the ordinary ones."""
    expected = np.append(np.linspace(0, 10, 1000), 1e12)
    given = expected.copy()
    given[500] += 0.1

    with pytest.raises(ParityError, match="row 500"):
        compare({"y": expected}, {"y": given})
    assert compare({"y": expected}, {"y": expected.astype(np.float32)}).proven


def test_answers_that_are_nearly_all_zero_are_measured_by_the_others():
    expected = {"y": np.where(np.arange(1000) % 250 == 0, 1 / 3, 0.0)}

    assert compare(expected, {"y": expected["y"].astype(np.float32)}).proven


def test_a_row_at_a_threshold_is_counted_and_does_not_fail():
    """No float32 copy can know which side of the split the original would take."""
    proof, _ = prove(step_to_the_left, step, {"x": LINE})

    assert proof.causes == {"float32": (100,), "tie": (), "unexplained": ()}
    assert (proof.edges, proof.max_abs_delta, proof.worst[0].cause) == ((100,), 0, "float32")


def test_what_float32_does_to_a_double_is_counted():
    """The threshold is a double, and its neighbour rounds onto it."""
    rows = np.full((200, 1), 0.1)
    rows[100] = np.nextafter(0.1, 1)

    def original(feed):
        return {"y": np.where(feed["x"][:, 0] <= 0.1, 1.0, 0.0)}

    def copy(feed):
        return {"y": np.where(feed["x"][:, 0].astype(np.float32) <= np.float32(0.1), 1.0, 0.0)}

    assert prove(copy, original, {"x": rows})[0].causes["float32"] == (100,)


def test_where_the_original_merely_jumps_a_copy_is_wrong():
    """A row of zeros brought to length one jumps for every original; a copy that divides by zero there is wrong."""

    def restless(feed):
        here = np.abs(feed["x"][:, 0] - 0.5) < 1e-5
        return {"y": np.where(here, feed["x"][:, 0] * 2.0**24 % 97, 0.0)}

    given = {"y": np.where(np.abs(LINE[:, 0] - 0.5) < 1e-5, 40.5, 0.0)}

    assert examine(restless({"x": LINE}), given, {"x": LINE}, restless).unexplained == (100,)


def test_beside_an_edge_only_the_copy_s_own_answer_is_an_excuse():
    """The original jumps to 100 there; 50 is neither side of it."""
    given = {"y": np.where(LINE[:, 0] == np.float32(0.5), 50.0, step({"x": LINE})["y"])}

    with pytest.raises(ParityError, match=r"row 100, .*1 of 201 rows differ"):
        prove(lambda _: given, step, {"x": LINE})


def test_a_wrong_row_away_from_every_edge_fails():
    given = step({"x": LINE})
    given["y"][20] = 100.0

    with pytest.raises(ParityError, match=r"row 20, .*1 of 201 rows differ"):
        prove(lambda _: given, step, {"x": LINE})


def test_more_than_one_edge_in_a_hundred_fails():
    rows = {"x": np.full((100, 1), 0.5, dtype=np.float32)}
    given = {"y": np.where(np.arange(100) < 3, 100.0, 0.0)}

    with pytest.raises(ParityError, match=r"3 of 100 rows stand .*, and at most 1 may \(float32 3\)"):
        prove(lambda _: given, step, rows)


def test_rows_put_on_an_edge_on_purpose_are_counted_apart():
    rows = Rows(
        {"x": np.append(LINE[:100], np.full((50, 1), 0.5, np.float32), axis=0)},
        (("seeded", 100), ("tree thresholds", 50)),
    )

    proof, _ = prove(step_to_the_left, step, rows)

    assert (len(proof.edges), proof.placed, proof.placed_edges, proof.allowed) == (50, 50, 50, 1)


def test_a_label_between_two_that_are_equally_probable_is_a_tie():
    chances = np.tile([0.9, 0.1], (200, 1))
    chances[7] = 0.5
    labels = np.zeros(200, np.int64)
    flipped = labels.copy()
    flipped[7] = 1

    proof = compare({"label": labels, "p": chances}, {"label": flipped, "p": chances.astype(np.float32)})

    assert proof.causes["tie"] == (7,)
    assert proof.outputs["label"].flips == 1


def test_a_label_that_flips_while_another_is_far_more_probable_is_no_tie():
    chances = np.tile([0.9, 0.1], (200, 1))
    flipped = np.zeros(200, np.int64)
    flipped[7] = 1

    with pytest.raises(ParityError, match="output 'label': the original answers \\[0\\], the copy \\[1\\]"):
        compare({"label": np.zeros(200, np.int64), "p": chances}, {"label": flipped, "p": chances})


def test_rows_of_words_are_proven_without_moving_them():
    feed = {"word": np.array([["a"], ["b"]] * 50, dtype=object)}

    def upper(asked):
        return {"up": np.array([[word.upper()] for word in asked["word"][:, 0]], dtype=object)}

    assert prove(upper, upper, feed)[0].proven
    with pytest.raises(ParityError, match=r"the original answers \['A'\], the copy \['a'\]"):
        prove(lambda asked: {"up": asked["word"]}, upper, feed)


def test_the_original_is_gone_before_the_copy_is_asked_and_opened_again_only_for_what_differs():
    told = []

    def opener():
        told.append("open")
        return step

    original = Reopened(opener)

    def copy(feed):
        told.append("copy")
        assert original._opened is None
        return step_to_the_left(feed)

    prove(copy, original, {"x": LINE[:90]})
    prove(copy, original, {"x": LINE})

    assert told == ["open", "copy", "open", "copy", "open"]


def test_the_original_is_asked_a_few_hundred_rows_at_a_time():
    sizes = []

    def original(feed):
        sizes.append(len(feed["x"]))
        return linear(feed)

    prove(linear, original, {"x": ROWS})

    assert sizes == [256, 144]


def test_a_proof_as_the_receipt_keeps_it_counts_each_cause_and_names_the_worst_rows():
    kept = examine(step({"x": LINE}), step_to_the_left({"x": LINE}), {"x": LINE}, step).to_dict()

    assert kept["causes"] == {"float32": 1, "tie": 0, "unexplained": 0}
    assert kept["edges"] == [100]
    assert kept["worst"][0] == {"row": 100, "output": "y", "abs_delta": 100.0, "ratio": kept["worst"][0]["ratio"]} | {
        "cause": "float32"
    }
    assert kept["outputs"]["y"]["tolerance"] == kept["tolerance"] == Tolerance.of(step({"x": LINE})["y"]).value


def test_a_proof_that_failed_can_still_be_looked_at():
    given = step({"x": LINE})
    given["y"][20] = 100.0

    proof = examine(step({"x": LINE}), given, {"x": LINE}, step)

    assert (proof.proven, proof.unexplained) == (False, (20,))
