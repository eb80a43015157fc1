"""Loads on a real Triton: every kind of answer over both protocols, callers that are as many as they seem."""

from __future__ import annotations

import numpy as np
import pandas as pd
import psutil
import pytest

from loadable import FEATURES, write_loadable
from sextant.errors import LoadTestError, ModelNotReady, RequestRefused, ServerUnreachable
from sextant_client.credentials import Credentials
from sextant_export.registry import Registry
from sextant_export.store import Store
from sextant_loadtest.drawing import drawn
from sextant_loadtest.limits import Limits
from sextant_loadtest.load import DONE, LoadPlan, load
from sextant_loadtest.target import Target, inputs_of
from sextant_loadtest.verdict import judge
from tls_front import Authority, tls_front

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def triton_store(triton_store):
    write_loadable(triton_store / "models")
    return triton_store


def plan(triton, pipeline, **facts):
    both = (triton.address.grpc, triton.address.http)
    return LoadPlan(**{"pipeline": pipeline, "urls": both, "users": 4, "duration_s": 1.5, "rows": 2, **facts})


@pytest.mark.parametrize(
    ("pipeline", "kind"), [("locate", "Position"), ("sort", "Label"), ("report", "Record"), ("double", "Tensors")]
)
def test_what_a_pipeline_answers_decides_who_asks_it(triton, pipeline, kind):
    """Users of its kind, half over gRPC and half over HTTP, with connections and rows of their own; none is refused."""
    outcome = load(plan(triton, pipeline), FEATURES)

    assert list(outcome.by_class) == [f"{kind}OverGrpc", f"{kind}OverHttp"]
    assert (outcome.ended, dict(outcome.total.errors)) == (DONE, {})
    assert judge(outcome, Limits()).passed


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_hundred_users_have_a_hundred_requests_under_way(triton, protocol):
    """No transport keeps others waiting: by the time they take, nearly as many requests are out as there are users."""
    url = getattr(triton.address, protocol)
    told = []
    outcome = load(plan(triton, "double", urls=(url,), users=100, rows=1, duration_s=3.0), FEATURES, told.append)

    assert outcome.total.under_way > 50  # of a transport that kept the others waiting it would be about 1
    assert (max(moment.users for moment in told), dict(outcome.total.errors)) == (100, {})


def test_refusals_are_counted_and_fail_the_verdict(triton):
    """About half of the rows are refused: their share, their name and what was said are in the outcome."""
    seed = next(seed for seed in range(99) if next(drawn(FEATURES, 1, [seed]))["features"][0, 0] >= 20)
    outcome = load(plan(triton, "half", rows=1, seed=seed), FEATURES)

    assert 0.2 < outcome.total.error_share < 0.8
    assert list(outcome.total.errors) == ["RequestRefused"]
    assert "the first is below 20" in outcome.sentences["RequestRefused"]
    assert not judge(outcome, Limits()).passed


def test_a_pace_is_kept_to_by_each_user_in_each_process(triton):
    """Four users that ask four times a second each, dealt over two processes: at most sixteen a second."""
    outcome = load(plan(triton, "double", users=4, rate_rps=4.0, processes=2, duration_s=2.0), FEATURES)

    assert 4 <= outcome.total.requests <= 4 * (4 * 2 + 1)
    assert outcome.total.under_way < 4


def test_over_tls_a_load_is_put_on_a_proxy(triton, tmp_path):
    """Over both protocols at once, and believed is the authority that was named."""
    authority = Authority(tmp_path)
    certificate = authority.vouch("localhost")
    ports = [int(url.rpartition(":")[2]) for url in (triton.address.grpc, triton.address.http)]
    with tls_front(certificate, ports[0]) as grpcs, tls_front(certificate, ports[1]) as https:
        urls = (f"grpcs://localhost:{grpcs}", f"https://localhost:{https}")
        outcome = load(plan(triton, "double", urls=urls, ca=str(authority.ca)), FEATURES)

    assert list(outcome.by_class) == ["TensorsOverGrpc", "TensorsOverHttp"]
    assert dict(outcome.total.errors) == {}


@pytest.mark.parametrize(
    ("facts", "inputs", "error", "said"),
    [
        ({"urls": ("grpc://127.0.0.1:9",)}, FEATURES, ServerUnreachable, "no Triton answers at grpc://127.0.0.1:9"),
        ({"pipeline": "lokate"}, FEATURES, ModelNotReady, "lokate"),
        ({}, {"features": np.zeros((3, 2), np.float32)}, RequestRefused, "features: expected FP32"),
        ({}, {"feature": FEATURES["features"]}, RequestRefused, "did you mean 'features'?"),
    ],
    ids=["nobody there", "not served", "other rows", "other tensor"],
)
def test_what_cannot_be_asked_at_all_is_an_error_and_no_load(triton, facts, inputs, error, said):
    with pytest.raises(error) as refusal:
        load(plan(triton, **{"pipeline": "double", **facts}), inputs)

    assert said in str(refusal.value)


def test_a_generator_that_dies_is_an_error_and_no_outcome(triton):
    """What it would have measured is lost: nothing may be judged."""

    def kill(_moment):
        for child in psutil.Process().children():
            if "sextant_loadtest.swarm.generator" in child.cmdline():
                child.kill()

    with pytest.raises(LoadTestError, match="the load generator ended with code -9"):
        load(plan(triton, "double", duration_s=60.0), FEATURES, kill)


def of_file(triton, path):
    """The rows that ``double`` would be asked with from the file at *path*, of which no store here knows a release."""
    nothing = Store("nowhere"), Registry("sqlite:///")
    return inputs_of(Target(name="double"), triton.address.grpc, *nothing, path, Credentials())


def test_rows_may_come_from_a_file(triton, tmp_path):
    """A table's columns in order, an array, or arrays by their names."""
    rows = FEATURES["features"]
    frame = pd.DataFrame(rows, columns=[f"f{i}" for i in range(rows.shape[1])])
    frame.to_parquet(tmp_path / "rows.parquet")
    frame.to_csv(tmp_path / "rows.csv", index=False)
    np.save(tmp_path / "rows.npy", rows)
    np.savez(tmp_path / "rows.npz", features=rows, truth=np.zeros(3))

    found = [of_file(triton, tmp_path / f"rows.{kind}") for kind in ("parquet", "csv", "npy", "npz")]

    assert all(np.allclose(each.feed["features"], rows) for each in found)
    assert found[0].said == "64 rows of rows.parquet"


@pytest.mark.parametrize(
    ("name", "write", "said"),
    [
        ("rows.txt", None, "expected rows in a file of .parquet, .csv, .npz, .npy"),
        ("rows.npz", None, "cannot be read: No such file"),
        ("rows.npz", {"feature": np.zeros(2)}, "expected the arrays features, found no features"),
        ("rows.npz", {"features": np.zeros((0, 5))}, "expected as many rows of every tensor, one at least"),
    ],
    ids=["another kind", "absent", "another tensor", "no row"],
)
def test_a_file_of_other_rows_is_refused(triton, tmp_path, name, write, said):
    if write is not None:
        np.savez(tmp_path / name, **write)

    with pytest.raises(LoadTestError, match=said):
        of_file(triton, tmp_path / name)


def test_without_page_release_or_file_there_is_nothing_to_ask_with(triton):
    with pytest.raises(LoadTestError, match="double: nothing here says what it is asked with"):
        of_file(triton, None)
