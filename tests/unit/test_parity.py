"""Proof: equal within a tolerance that follows the answers' scale; NaN, dtype and shape are failures."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsRegressor
from sklearn.tree import DecisionTreeRegressor

from sextant.errors import ParityError
from sextant_export.converters.sklearn_flavor import graph_of
from sextant_export.parity import check, compare, prove, seeded_rows, settle, tolerance_of

ROWS = np.random.default_rng(3).random((400, 6)).astype(np.float32)
TRUTH = np.c_[ROWS[:, 0] * 100, ROWS[:, 1] * 80 - ROWS[:, 2] * 30]


def answer_of(*columns: float) -> dict[str, np.ndarray]:
    return {"prediction": np.array([columns, columns], np.float64)}


def test_a_faithful_copy_is_proven():
    tree = DecisionTreeRegressor(max_depth=6, random_state=0).fit(ROWS, TRUTH)
    rows = seeded_rows(ROWS, 1024, seed=4)

    proof, _ = prove(graph_of(tree, 6), lambda asked: {"prediction": tree.predict(asked)}, rows)

    assert proof.rows == 1024
    assert proof.max_abs_delta <= proof.tolerance < 0.01
    assert proof.edges == ()


def test_another_model_is_not_a_copy_and_the_worst_row_is_named():
    tree = DecisionTreeRegressor(max_depth=6, random_state=0).fit(ROWS, TRUTH)
    other = DecisionTreeRegressor(max_depth=2, random_state=0).fit(ROWS, TRUTH)

    with pytest.raises(
        ParityError, match=r"row \d+, output 'prediction': the original answers \[.*the copy \["
    ) as caught:
        prove(graph_of(other, 6), lambda asked: {"prediction": tree.predict(asked)}, ROWS)

    assert caught.value.worst > caught.value.tolerance


def test_the_worst_row_and_output_are_written_down():
    expected = {"a": np.zeros((3, 2)), "b": np.array([0.0, 100.0, 200.0])}
    given = {"a": np.zeros((3, 2)), "b": np.array([0.0, 100.003, 200.001])}

    proof = compare(expected, given)

    assert (proof.worst_row, proof.worst_output) == (1, "b")
    assert proof.max_abs_delta == pytest.approx(0.003)


def test_a_difference_over_the_tolerance_fails():
    with pytest.raises(ParityError, match=r"\|delta\| 1 is over 0\.5"):
        compare(answer_of(0, 1), answer_of(0, 2), tolerance=0.5)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"other": np.zeros((2, 2))}, "there is no output 'prediction'; the copy answers other"),
        (
            {"prediction": np.zeros((2, 2), np.int64)},
            "output 'prediction' is int64 where the original answers float64",
        ),
        (
            {"prediction": np.zeros((2, 3))},
            r"output 'prediction' is \(2, 3\) where the original answers \(2, 2\)",
        ),
        ({"prediction": np.zeros((4, 1))}, r"output 'prediction' is \(4, 1\) where"),
        (answer_of(0, np.nan), r"of the copy is not finite in row 0: \[0.0, nan\]"),
        (answer_of(0, np.inf), "of the copy is not finite in row 0"),
    ],
)
def test_what_is_no_matter_of_tolerance_fails_at_once(given, sentence):
    with pytest.raises(ParityError, match=sentence):
        check(answer_of(0, 0), given)


def test_nan_is_not_equal_to_nan():
    with pytest.raises(ParityError, match=r"of the original is not finite"):
        check(answer_of(np.nan, 0), answer_of(np.nan, 0))


def test_one_column_and_no_column_say_the_same():
    assert compare({"y": np.zeros(4)}, {"y": np.zeros((4, 1), np.float32)}).max_abs_delta == 0


def test_labels_must_be_equal():
    labels = np.array(["a", "b"], dtype=object)

    assert compare({"label": labels}, {"label": labels}).max_abs_delta == 0
    with pytest.raises(ParityError):
        compare({"label": labels}, {"label": labels[::-1]})


def test_the_tolerance_follows_the_scale_of_the_answers():
    metres = np.array([[0.0], [200.0]])

    assert tolerance_of(metres * 1000) == pytest.approx(1000 * tolerance_of(metres))
    assert 0.005 < tolerance_of(metres) < 0.02


def test_the_tolerance_allows_what_degrees_lose_in_32_bits():
    degrees = np.array([179.9, 179.9001])

    assert tolerance_of(degrees) > np.abs(degrees.astype(np.float32) - degrees).max()


def test_a_row_on_an_edge_of_the_original_is_counted_and_does_not_fail():
    """The tie of two neighbours: no copy can know which of them the original would take."""
    step = lambda rows: {"y": np.where(rows[:, 0] > np.float32(0.5), 100.0, 0.0)}  # noqa: E731
    rows = np.linspace(0, 1, 201, dtype=np.float32)[:, None]
    given = {"y": np.where(rows[:, 0] >= np.float32(0.5), 100.0, 0.0)}

    proof = settle(step(rows), given, step, rows)

    assert proof.edges == (100,)
    assert proof.max_abs_delta == 0


def test_a_wrong_row_away_from_every_edge_fails():
    step = lambda rows: {"y": np.where(rows[:, 0] > np.float32(0.5), 100.0, 0.0)}  # noqa: E731
    rows = np.linspace(0, 1, 201, dtype=np.float32)[:, None]
    given = {"y": np.where(rows[:, 0] > np.float32(0.5), 100.0, 0.0)}
    given["y"][20] = 100.0

    with pytest.raises(ParityError, match=r"row 20, .*1 of 201 rows differ"):
        settle(step(rows), given, step, rows)


def test_more_than_one_edge_in_a_hundred_fails():
    step = lambda rows: {"y": np.where(rows[:, 0] > np.float32(0.5), 100.0, 0.0)}  # noqa: E731
    rows = np.full((100, 1), 0.5, dtype=np.float32)
    given = {"y": np.where(np.arange(100) < 3, 100.0, 0.0)}

    with pytest.raises(ParityError, match=r"3 of 100 rows differ"):
        settle(step(rows), given, step, rows)


def test_neighbours_are_proven_at_metres_of_distance_weights():
    model = KNeighborsRegressor(3, weights="distance").fit(ROWS, TRUTH)

    proof, _ = prove(graph_of(model, 6), lambda asked: {"prediction": model.predict(asked)}, seeded_rows(ROWS, 1024, 5))

    assert proof.max_abs_delta < 1e-3


def test_drawn_rows_are_seeded_and_stay_in_range():
    rows = seeded_rows(ROWS, 1000, seed=7)

    assert rows.shape == (1000, 6)
    assert rows.dtype == np.float32
    assert (rows.min(axis=0) >= ROWS.min(axis=0)).all()
    assert (rows.max(axis=0) <= ROWS.max(axis=0)).all()
    assert (rows == seeded_rows(ROWS, 1000, seed=7)).all()
    assert not (rows == seeded_rows(ROWS, 1000, seed=8)).all()


def test_drawn_rows_hold_observed_ones():
    drawn = {row.tobytes() for row in seeded_rows(ROWS, 1000, seed=7)}

    assert len(drawn & {row.tobytes() for row in ROWS}) > 100


def test_drawn_rows_of_whole_numbers_are_whole_and_keep_their_axes():
    observed = np.arange(40, dtype=np.int64).reshape(5, 2, 4)

    rows = seeded_rows(observed, 100, seed=1)

    assert (rows.shape, rows.dtype) == ((100, 2, 4), np.int64)


def test_drawn_double_rows_are_what_will_be_served():
    rows = seeded_rows(ROWS.astype(np.float64) / 3, 100, seed=1)

    assert rows.dtype == np.float64
    assert (rows == rows.astype(np.float32)).all()
