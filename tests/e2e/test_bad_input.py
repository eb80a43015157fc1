"""Bad input, through a real Triton: a clear error for the one who sent it, and nothing for anyone else."""

from __future__ import annotations

import concurrent.futures
import json
import re
import urllib.error
import urllib.request

import numpy as np
import pytest

from sextant.errors import ModelNotReady, RequestRefused
from sextant_client import Client
from sextant_export.store import Store
from sextant_promote.control import Control
from sextant_promote.promotion import promote
from sextant_server import EmbeddedTriton
from small_world import draw

pytestmark = pytest.mark.e2e

GOOD = draw(1, seed=9).features


@pytest.fixture(scope="module")
def triton(first_world, tmp_path_factory):
    """The small world, promoted, on a server of this file's own."""
    pipeline = first_world.write_spec()
    store = Store(tmp_path_factory.mktemp("bad") / "store")
    with EmbeddedTriton(store.root) as triton, Control(triton.address.grpc, triton.address.token) as control:
        promote(pipeline, store, first_world.registry, control)
        yield triton


@pytest.fixture(params=["grpc", "http"])
def client(request, triton):
    with Client(getattr(triton.address, request.param)) as client:
        yield client


def infer(triton, tensor):
    """A request no SDK looked at: its HTTP status and Triton's sentence."""
    body = json.dumps({"inputs": [{"name": "features", "datatype": "FP32", "shape": [1, 8], **tensor}]}).encode()
    try:
        with urllib.request.urlopen(f"{triton.address.http}/v2/models/locate/infer", body) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)["error"]


def with_value(value):
    row = GOOD.copy()
    row[0, 3] = value
    return row


@pytest.mark.parametrize(
    ("features", "sentence"),
    [
        (with_value(np.nan), "features: expected finite numbers, got nan in row 0, column 3"),
        (with_value(np.inf), "features: expected finite numbers, got inf in row 0, column 3"),
        (GOOD[:, :7], r"features.*8.*7"),
        (GOOD[None], r"features.*\[1, 1, 8\]"),
        (np.array([["a"] * 8]), "features.*FP32"),
        (GOOD.astype(complex), "features.*complex"),
    ],
    ids=["NaN", "infinity", "width", "rank", "text", "complex"],
)
def test_the_sdk_names_what_was_expected_and_what_came(client, features, sentence):
    """The tensor, the rule, and the row and column where there is one."""
    with pytest.raises(RequestRefused, match=sentence):
        client.pipeline("locate")(features)


@pytest.mark.parametrize(
    ("tensor", "sentence"),
    [
        ({"data": [*GOOD[0, :7].tolist(), 1e39]}, "parse|range|finite|FP32"),
        ({"shape": [1, 7], "data": GOOD[0, :7].tolist()}, "unexpected shape|8"),
        ({"shape": [8], "data": GOOD[0].tolist()}, "shape|dimension|batch"),
        ({"datatype": "INT64", "data": [1] * 8}, "INT64.*FP32|data-type"),
        ({"name": "fetaures", "data": GOOD[0].tolist()}, "fetaures"),
        ({"shape": [65, 8], "data": [0.0] * 520}, "batch.*64"),
    ],
    ids=["overflow", "width", "rank", "dtype", "name", "batch"],
)
def test_whoever_sends_without_the_sdk_is_told_too(triton, tensor, sentence):
    """400, and words from Triton or from the validating block."""
    status, answer = infer(triton, tensor)

    assert status == 400
    assert re.search(sentence, answer), answer


def test_an_empty_batch_gives_an_empty_list(client):
    """No request, no error."""
    assert client.pipeline("locate")(np.zeros((0, 8), np.float32)) == []


def test_an_unknown_pipeline_is_not_served(client):
    """The sentence names it."""
    with pytest.raises(ModelNotReady, match="lokate"):
        client.pipeline("lokate")(GOOD)


def test_one_bad_request_does_not_fail_its_batch_mates(triton):
    """Sixteen rows at once, each its own request, one of them bad: fifteen answers, one refusal."""
    rows = draw(16, seed=10).features
    rows[5, 2] = np.nan

    def ask(row):
        with Client(triton.address.grpc) as client:
            return client.pipeline("locate")(row)

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        asked = [pool.submit(ask, row) for row in rows]
    refused = [i for i, each in enumerate(asked) if each.exception()]

    assert refused == [5]
    assert "column 2" in str(asked[5].exception())


def test_a_refusal_leaves_the_server_answering(triton):
    """After a hundred bad requests the good one is answered, every process is there, and nothing hangs."""
    with Client(triton.address.grpc) as client:
        for _ in range(100):
            with pytest.raises(RequestRefused):
                client.pipeline("locate")(with_value(np.nan))
        fix = client.pipeline("locate")(GOOD[0])

    triton.check()
    assert fix.members_used == 3
