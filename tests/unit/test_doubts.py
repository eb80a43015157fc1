"""A copy is refused where its callers' rows are wider than it takes, or where other callers' rows change its answer."""

from __future__ import annotations

import numpy as np
import pytest

from sextant.errors import ParityError
from sextant_export.doubts import refuse_mixing, rounded_rows

pytestmark = pytest.mark.models

MOMENTS = 1_600_000_000 + np.random.default_rng(0).integers(0, 1000, (200, 1)).astype(np.float64)
ROWS = {"features": np.random.default_rng(1).normal(size=(500, 2)).astype(np.float32)}


def late(feed):
    """Whether a moment is in the second half of the thousand seconds."""
    return {"prediction": (feed["features"][:, 0] > 1_600_000_500).astype(np.int64)}


def test_rows_that_lose_their_meaning_in_float32_are_refused():
    narrow = {"features": MOMENTS.astype(np.float32)}

    with pytest.raises(
        ParityError, match=r"the original itself answers \d+ of 200 logged rows otherwise once .*float32"
    ):
        rounded_rows(late, {"features": MOMENTS}, narrow, late(narrow))


@pytest.mark.parametrize("rows", [MOMENTS - 1_600_000_000, np.linspace(0, 1, 200)[:, None], np.full((200, 1), np.nan)])
def test_rows_that_only_lose_their_last_places_are_not(rows):
    narrow = {"features": rows.astype(np.float32)}

    assert rounded_rows(late, {"features": rows}, narrow, late(narrow)) == (0, 200)


def test_a_row_on_a_trees_threshold_is_counted_and_does_not_refuse_a_copy():
    rows = np.random.default_rng(2).normal(1013.25, 5, (200, 1))

    def which(feed):
        return {"prediction": np.searchsorted(np.sort(rows[:, 0]), feed["features"][:, 0]).astype(np.int64)}

    narrow = {"features": rows.astype(np.float32)}

    flipped = which({"features": rows})["prediction"] != which(narrow)["prediction"]
    assert rounded_rows(which, {"features": rows}, narrow, which(narrow)) == (flipped.sum(), 200)
    assert flipped.any()


def test_what_is_lost_is_measured_by_what_many_answers_tolerate():
    def total(feed):
        return {"prediction": feed["features"].sum(axis=1)}

    rows = {"features": np.array([[1.0, 0.1], [1.0, 0.1 + 1e-9]])}
    narrow = {"features": rows["features"].astype(np.float32)}

    assert rounded_rows(total, rows, narrow, total(ROWS)) == (0, 2)


def test_rows_that_the_copy_takes_as_they_are_are_not_asked_again():
    def never(_):
        raise AssertionError

    assert rounded_rows(never, {"features": ROWS["features"]}, {"features": ROWS["features"]}, {}) == (0, 0)


def test_a_graph_that_sums_over_the_batch_is_refused():
    def centred(feed):
        return {"y": feed["features"] - feed["features"].mean(axis=0)}

    with pytest.raises(ParityError, match=r"32 of 32 rows are answered otherwise beside other rows"):
        refuse_mixing(centred, ROWS, centred(ROWS))


def test_a_graph_that_answers_row_by_row_is_not():
    def doubled(feed):
        return {"y": 2 * feed["features"], "label": feed["features"][:, 0] > 0}

    refuse_mixing(doubled, ROWS, doubled(ROWS))
