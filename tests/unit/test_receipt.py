"""A receipt tells what Sextant wrote from what a hand changed."""

from __future__ import annotations

import json

import pytest

from sextant.errors import ReceiptError
from sextant_export.receipt import Receipt, read_receipt, receipt_path, releases, write_receipt
from sextant_export.store import Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path).prepare()


def receipt(release=1):
    return Receipt(
        pipeline="locate",
        release=release,
        identity="abc",
        created="2026-01-01T00:00:00+00:00",
        spec={"name": "locate"},
        members={},
        blocks={},
        calibration=None,
        models=(("forest", 3),),
        introduced=("forest",),
        ensemble="",
        tools={},
    )


def test_what_was_written_is_read_again(store):
    """Whole, tuples and all."""
    write_receipt(store, receipt())

    assert read_receipt(store, "locate", 1) == receipt()


@pytest.mark.parametrize("change", [{"models": [["forest", 4]]}, {"outcome": "served"}, {"seal": "0" * 64}], ids=str)
def test_an_edited_receipt_is_refused(store, change):
    """The seal no longer fits; the sentence says what to do."""
    path = write_receipt(store, receipt())
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))

    with pytest.raises(ReceiptError, match="changed after it was written.*sextant promote"):
        read_receipt(store, "locate", 1)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [('{"format": 2, "pipel', "not whole JSON"), ("[]", "format 2"), ('{"format": 99}', "format 2")],
    ids=["truncated", "another kind", "another format"],
)
def test_a_file_that_is_no_receipt_is_refused(store, text, sentence):
    """Whatever stands there instead, the sentence names the file."""
    write_receipt(store, receipt()).write_text(text)

    with pytest.raises(ReceiptError, match=rf"r1\.json.*{sentence}"):
        read_receipt(store, "locate", 1)


def test_releases_are_counted_in_numbers(store):
    """r10 comes after r9, and other files are none."""
    for number in (9, 10, 2):
        write_receipt(store, receipt(number))
    receipt_path(store, "locate", 2).with_name("notes.txt").touch()

    assert releases(store, "locate") == [2, 9, 10]
