"""A graph answers NaN where a block would refuse: the client makes a refusal of it, and only of that."""

from __future__ import annotations

import numpy as np
import pytest

import client_doors
from sextant.errors import RequestRefused
from sextant_client.testing import InMemoryTransport


@pytest.fixture(params=client_doors.DOORS)
def door(request):
    return client_doors.DOORS[request.param]


def locate(features):
    """A fused position pipeline: rows that are no number, or beyond ten, have no answer."""
    tensors = client_doors.position_tensors(np.nan_to_num(features))
    bad = ~(np.abs(features) <= 10).all(axis=1)
    for array in tensors.values():
        if array.dtype.kind == "f":
            array[bad] = np.nan
    return tensors


def sort_out(features):
    """A fused label pipeline."""
    bad = ~np.isfinite(features).all(axis=1)
    return {
        "label": np.where(bad, -1, 7)[:, None],
        "probabilities": np.where(bad[:, None], np.nan, [[0.25, 0.75]]).astype(np.float32),
        "agreement": np.where(bad, np.nan, 1.0)[:, None].astype(np.float32),
        "confidence": np.where(bad, np.nan, 90.0)[:, None].astype(np.float32),
        "tied": np.zeros((len(features), 1), bool),
    }


def halve(features):
    """Plain tensors, in which NaN may mean anything."""
    return {"half": features / 2}


def transport(function, limit=64):
    return InMemoryTransport({function.__name__: function}, inputs={"features": "FP32 [3]"}, max_batch_size=limit)


def rows(count=12):
    return np.arange(3 * count, dtype=np.float32).reshape(count, 3) % 10


def test_rows_without_an_answer_are_named_with_what_is_odd_in_them(door):
    """The first value of a row that is no number, and its place; a value out of range does not show."""
    sent = rows()
    sent[3, 2], sent[7, 0] = np.nan, 11.0

    with pytest.raises(RequestRefused) as caught:
        door("locate", sent, client={"transport": transport(locate)})

    assert str(caught.value).startswith("locate: expected values that its blocks let pass")
    assert str(caught.value).endswith("got others in row 3 (features: nan at [2]); row 7")


def test_rows_are_counted_through_the_parts_of_a_large_batch(door):
    """As the caller counts them."""
    sent = rows()
    sent[9, 1] = np.inf

    with pytest.raises(RequestRefused, match=r"row 9 \(features: inf at \[1\]\)$"):
        door("locate", sent, client={"transport": transport(locate, limit=4)})


def test_of_many_rows_the_first_are_named_and_the_others_counted(door):
    """A sentence, no table."""
    with pytest.raises(RequestRefused, match=r"row 7 \(features: nan at \[0\]\); and 4 more$"):
        door("locate", np.full((12, 3), np.nan, np.float32), client={"transport": transport(locate)})


def test_a_single_row_is_row_nought(door):
    """Which is what its caller has."""
    with pytest.raises(RequestRefused, match="row 0"):
        door("locate", np.full(3, 99, np.float32), client={"transport": transport(locate)})


def test_a_label_without_probabilities_is_no_label(door):
    """Its number is -1, and nobody must take that for a class."""
    sent = rows()
    sent[1, 0] = np.nan

    with pytest.raises(RequestRefused, match=r"sort_out: .* row 1 \(features: nan at \[0\]\)$"):
        door("sort_out", sent, client={"transport": transport(sort_out)})


def test_good_rows_are_answered_as_ever(door):
    """Of any typed answer."""
    fixes = door("locate", rows(), client={"transport": transport(locate)})
    labels = door("sort_out", rows(), client={"transport": transport(sort_out)})

    assert (len(fixes), {label.label for label in labels}) == (12, {7})


def test_plain_tensors_may_be_nan(door):
    """There it may be an answer."""
    answer = door("halve", np.full((2, 3), np.nan, np.float32), client={"transport": transport(halve)})

    assert np.isnan(answer["half"]).all()
