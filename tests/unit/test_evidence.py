"""The evidence of a release holds every kind of tensor, without a pickle."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from sextant.errors import ReceiptError
from sextant_export.evidence import pack_proof, place_proof, proof_path, read_proof
from sextant_export.store import Store

FEED = {
    "city": np.array([["Zürich"], [b"\x00\xff"]], object),
    "area": np.array([[1.5], [np.nan]], np.float32),
    "flag": np.array([[True], [False]]),
}
ANSWERS = {"prediction": np.array(["a", "b"], object), "probabilities": np.ones((2, 2), np.float32)}


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path).prepare()


@pytest.fixture
def receipt():
    return SimpleNamespace(pipeline="p", release=1, members={"m": {}}, fused=None)


@pytest.fixture
def path(store, tmp_path):
    """Packed and put in its place."""
    pack_proof(tmp_path / "packed.npz", {"m": (FEED, ANSWERS)})
    place_proof(store, "p", 1, tmp_path / "packed.npz")
    return proof_path(store, "p", 1)


@pytest.mark.usefixtures("path")
def test_text_numbers_and_flags_come_back_as_they_went(store, receipt):
    feed, answers = read_proof(store, receipt)["m"]
    assert feed["city"].tolist() == [["Zürich".encode()], [b"\x00\xff"]]
    assert np.array_equal(feed["area"], FEED["area"], equal_nan=True)
    assert feed["flag"].dtype == bool
    assert answers["prediction"].tolist() == [b"a", b"b"]
    assert answers["probabilities"].tolist() == [[1, 1], [1, 1]]


def test_evidence_that_is_not_whole_says_what_to_delete(store, receipt, path):
    path.write_bytes(path.read_bytes()[:100])

    with pytest.raises(ReceiptError, match=r"r1\.proof\.npz is gone or not whole.*promote again"):
        read_proof(store, receipt)
