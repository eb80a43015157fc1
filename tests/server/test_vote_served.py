"""The third door into the block ``vote``: the same promises, asked of a real Triton; and crowds, voted there."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from block_doors import RefusedError
from crowds import barzan, snow
from served_blocks import ServedBlock, copy_committed, infer
from sextant.dawid_skene import fit_dawid_skene
from sextant.vote import plurality
from vote_promises import LABELS, PROMISES, said

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def triton_store(triton_store):
    """The block as it is committed."""
    copy_committed("vote", triton_store / "models" / "vote")
    return triton_store


@pytest.fixture(scope="module")
def serve(triton, triton_store):
    return ServedBlock(triton, triton_store, "vote", max_batch_size=1024)


@pytest.fixture(scope="module")
def door(serve, client):
    return lambda _block, parameters, tensors: infer(client, serve(parameters), tensors)


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_the_vote_keeps_its_promise_in_triton(door, promise):
    promise(door)


def test_the_committed_block_answers_as_it_stands(client):
    answer = infer(client, "vote", said([b"yes", b"no", b"yes"]))

    assert (answer["label"].tolist(), answer["tied"].tolist()) == ([[b"yes"]], [[False]])


def test_in_a_crowd_only_the_row_without_a_quorum_fails(door):
    """Sixty callers at once; every tenth has two members that failed, and hears so alone."""
    door("vote", LABELS, said([b"cat"] * 3))

    def ask(number):
        try:
            row = [b"dog", b"dog" if number % 10 else b"", b"zebra"]
            return door("vote", LABELS, said(row))["label"].tolist()
        except RefusedError as refusal:
            return str(refusal)

    with ThreadPoolExecutor(16) as crowd:
        answers = list(crowd.map(ask, range(60)))

    for number, answer in enumerate(answers):
        if number % 10:
            assert answer == [[b"dog"]]
        else:
            assert "members: expected votes of at least 2 of 3, got 1 in row 0" in answer


@pytest.mark.parametrize("name", ["temp", "wsd", "barzan"])
def test_a_crowd_voted_in_triton_is_the_crowd_voted_here(real_data, door, name):
    crowd = barzan(real_data) if name == "barzan" else snow(real_data, name)
    recorded = {"workers": crowd.votes.shape[1], "classes": crowd.classes, "release": 1}
    fitted = fit_dawid_skene(crowd.votes, len(crowd.classes))
    learned = {"method": "dawid_skene", "confusion": fitted.confusion.tolist(), "prior": fitted.prior.tolist()}

    counted = door("vote", recorded, {"votes": crowd.votes})
    posterior = door("vote", {**recorded, **learned}, {"votes": crowd.votes})

    here = plurality(crowd.votes, len(crowd.classes))
    names = np.array([name.encode() for name in crowd.classes], object)
    assert counted["label"].ravel().tolist() == names[here.winner].tolist()
    assert posterior["label"].ravel().tolist() == names[fitted.posterior.argmax(axis=1)].tolist()
    np.testing.assert_allclose(posterior["probabilities"], fitted.posterior, atol=1e-4)
