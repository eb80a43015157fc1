"""Every gate through a real Triton: once passed and once not, of positions, labels and tensors, beside what serves."""

from __future__ import annotations

import shutil
import threading
import warnings
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier

from label_world import LabelWorld, zones
from promotion_stage import ServedWorld
from sextant.errors import CalibrationError, GateFailed, PromoteError, RegistryError
from sextant_export.pipeline import load_pipeline
from sextant_export.receipt import read_receipt
from sextant_promote.gates import Load, gate_table, memory_meter, require_gates
from sextant_promote.promotion import promote
from small_world import RECEIVERS, draw

pytestmark = pytest.mark.e2e

QUICK = Load(calls=20, callers=2, seconds=0.15)
HELD_BACK = draw(200, seed=9)
ZONE = {"logistic": "models:/logistic@champion", "near": "models:/near@champion"}


def table(cases):
    latitude, longitude = cases.truth.T
    columns = [f"receiver_{i}" for i in range(len(RECEIVERS))]
    return pd.DataFrame(cases.features, columns=columns).assign(latitude=latitude, longitude=longitude)


class Stage(ServedWorld):
    """Two releases of ``locate``, one of ``zone`` and of ``raw``, all loaded on one Triton."""

    def __init__(self, world):
        super().__init__(world)
        self.pages = {}

    @property
    def url(self):
        return self.triton.address.grpc

    def promote(self, pipeline):
        self.pages[pipeline.name] = pipeline.spec
        return promote(pipeline, self.world.store, self.world.registry, self.control)

    def receipt(self, pipeline, release):
        return read_receipt(self.world.store, pipeline, release)

    def page(self, name, gate):
        self.world.spec.write_text(yaml.safe_dump({**self.pages[name], "gate": gate}, sort_keys=False))
        return load_pipeline(self.world.spec)

    def require(self, name, gate, candidate=2, serving=None, **facts):
        given = {
            "serving": self.receipt(name, serving) if isinstance(serving, int) else serving,
            "load": QUICK,
            **facts,
        }
        stores = {"registry": self.world.registry, "store": self.world.store}
        return require_gates(self.page(name, gate), self.receipt(name, candidate), self.url, **stores, **given)


@pytest.fixture(scope="module")
def stage(first_world, tmp_path_factory):
    root = tmp_path_factory.mktemp("gates")
    shutil.copyfile(first_world.root / "mlflow.db", root / "mlflow.db")
    world = LabelWorld(root, first_world.training)
    for name, model in {"logistic": LogisticRegression(max_iter=500), "near": KNeighborsClassifier(7)}.items():
        world.register_classifier(name, model, zones(world.training))
    table(HELD_BACK).to_parquet(root / "held_back.parquet")
    with Stage(world) as stage:
        first, second = {"median_error_m": {"at_most": 90}}, {"memory_mb": {"at_most": 9_000}}
        stage.promote(world.write_spec({"gate": first}))
        stage.promote(world.write_labels({"confidence_levels": [0.9]}, members=ZONE, changes={"gate": {}}))
        pipeline = world.write_spec({"gate": second})
        register_with_datasets(world)
        stage.meter = memory_meter(pipeline, stage.url)
        stage.promote(pipeline)
        raw = {"name": "raw", "answer": "tensors", "members": {"ridge": "models:/ridge@champion"}, "steps": ["members"]}
        world.spec.write_text(yaml.safe_dump(raw))
        stage.promote(load_pipeline(world.spec))
        yield stage


def register_with_datasets(world):
    """A worse ``ridge``, whose run has a dataset of training, one that is held back, and one that a program made."""
    model = Ridge(alpha=5_000.0).fit(world.training.scaled, world.training.east_north)

    def log(mlflow, **facts):
        file, rows = world.root / "held_back.parquet", table(HELD_BACK)
        mlflow.log_input(mlflow.data.from_pandas(rows, source=str(file), name="surveyed"), context="training")
        mlflow.log_input(mlflow.data.from_pandas(rows, source=str(file), name="walked"), context="testing")
        return mlflow.sklearn.log_model(model, serialization_format="cloudpickle", **facts)

    world.log("ridge", log, model, "champion")


POSITIONS = {
    "coverage": ({"level": 0.95, "at_least": 0.8}, {"level": 0.95, "at_least": 0.999}),
    "median_error_m": ({"at_most": 90}, {"at_most": 0.5}),
    "p95_error_m": ({"at_most": 300}, {"at_most": 0.5}),
    "parity": ({"at_most": 1}, {"at_most": 1e-9}),
    "p95_ms": ({"at_most": 9_000}, {"at_most": 0.001}),
    "throughput_rps": ({"at_least": 0.1}, {"at_least": 10_000_000}),
    "memory_mb": ({"at_most": 9_000}, {"at_most": 0.5}),
}
LABELS = {
    "coverage": ({"level": 0.9, "at_least": 0.8}, {"level": 0.9, "at_least": 0.9999}),
    "accuracy": ({"at_least": 0.6}, {"at_least": 0.9999}),
    "ece": ({"at_most": 0.3}, {"at_most": 1e-9}),
    "agreement": ({"at_least": 0.5}, {"at_least": 0.99999}),
    "parity": ({"at_most": 1}, {"at_most": 1e-9}),
    "p95_ms": ({"at_most": 9_000}, {"at_most": 0.001}),
    "throughput_rps": ({"at_least": 0.1}, {"at_least": 10_000_000}),
}


BOTH = pytest.mark.parametrize(
    ("pipeline", "candidate", "gates"), [("locate", 2, POSITIONS), ("zone", 1, LABELS)], ids=["positions", "labels"]
)


@BOTH
def test_every_gate_is_passed_by_what_is_good_enough(stage, pipeline, candidate, gates):
    results = stage.require(pipeline, {name: good for name, (good, _) in gates.items()}, candidate, memory=stage.meter)

    assert len(results) == len(gates)
    assert all(result.passed and result.serving is None for result in results)


@BOTH
def test_every_gate_is_failed_by_what_is_not(stage, pipeline, candidate, gates):
    """All are measured, and all are in the error: nobody mends one to hear of the next."""
    with pytest.raises(
        GateFailed, match=rf"{pipeline}\.r{candidate} is not promoted: .*; what was served still is"
    ) as refusal:
        stage.require(pipeline, {name: bad for name, (_, bad) in gates.items()}, candidate, memory=stage.meter)

    assert len(refusal.value.results) == len(gates)
    assert not any(result.passed for result in refusal.value.results)


def test_limits_may_be_multiples_of_what_serves(stage):
    """r2's ridge is a worse one: by the middle of its errors it is more than r1, and less than twice as much."""
    gate = {
        "coverage": [{"level": 0.95, "at_least": "0.9 x serving"}, {"level": 0.5, "at_least": 0.2}],
        "median_error_m": {"at_most": "1 x serving"},
        "p95_error_m": {"at_most": "9x serving"},
        "parity": {"at_most": "1000000 x serving"},
        "p95_ms": {"at_most": "1000000 x serving"},
        "throughput_rps": {"at_least": "0.000001 x serving"},
    }

    with pytest.raises(GateFailed) as refusal:
        stage.require("locate", gate, serving=1)

    results = {result.gate: result for result in refusal.value.results}
    assert [name for name, result in results.items() if not result.passed] == ["median_error_m"]
    assert results["median_error_m"].measured > results["median_error_m"].serving
    assert all(result.serving is not None for result in results.values())
    assert results["median_error_m"].wanted.endswith(" = 1 x serving")
    assert "coverage of the 50% ellipse" in gate_table(refusal.value.results)


def test_a_release_is_as_good_as_itself(stage):
    gate = {name: {"at_least": "1 x serving"} for name in ("accuracy", "agreement")} | {
        "ece": {"at_most": "1 x serving"}
    }

    results = stage.require("zone", gate, candidate=1, serving=1)

    assert [result.measured for result in results] == [result.serving for result in results]


def test_where_nothing_serves_relative_limits_are_passed_and_say_so(stage):
    gate = {"median_error_m": {"at_most": "1 x serving"}, "io_contract": "same"}

    results = stage.require("locate", gate)

    assert [(result.passed, result.note) for result in results] == [(True, "nothing serves yet")] * 2


def test_a_serving_release_that_is_not_loaded_is_an_error_and_no_verdict(stage):
    absent = replace(stage.receipt("locate", 1), release=7)

    with pytest.raises(PromoteError, match="locate.r7, which serves, is not loaded.*`sextant rollback locate --to 7`"):
        stage.require("locate", {"p95_ms": {"at_most": "2 x serving"}}, serving=absent)


def test_a_serving_release_that_asks_for_another_column_cannot_be_compared(stage):
    one = stage.receipt("locate", 1)
    apart = replace(one, spec={**one.spec, "calibration": {**one.spec["calibration"], "per": {"column": "floor"}}})

    with pytest.raises(
        PromoteError, match="locate.r1 is asked with the floor of each row, which this page does not name"
    ):
        stage.require("locate", {"p95_ms": {"at_most": "2 x serving"}}, serving=apart)


def test_the_contract_is_that_of_what_serves(stage):
    """r2 takes and gives what r1 does; what answers labels does not."""
    (same,) = stage.require("locate", {"io_contract": "same"}, serving=1)
    with pytest.raises(GateFailed) as refusal:
        stage.require("locate", {"io_contract": "same"}, serving=stage.receipt("zone", 1))

    (changed,) = refusal.value.results
    assert (same.passed, same.measured) == (True, 0)
    assert "output label: STRING [1] is gone" in changed.note


def test_rows_of_the_calibration_are_no_measurement_of_the_future(stage):
    """Which is said; held-back rows in a file are one, and are named."""
    gate = {"coverage": {"level": 0.95, "at_least": 0.5}}
    (own,) = stage.require("locate", gate)
    (fresh,) = stage.require("locate", {**gate, "data": {"file": "held_back.parquet"}})

    assert "no measurement of the future" in own.note
    assert own.on.startswith("300 known cases of cases.parquet, SHA-256 ")
    assert fresh.note == ""
    assert fresh.on.startswith("200 known cases of held_back.parquet, SHA-256 ")


def test_the_dataset_that_was_logged_with_a_members_run(stage):
    """The one that is no training data, or the one whose context is named; its rows, read where they came from."""
    gate = {"p95_error_m": {"at_most": 900}, "data": {"file": "held_back.parquet"}}
    (of_file,) = stage.require("locate", gate)

    for data in ({"dataset": "ridge"}, {"dataset": "ridge", "context": "training"}):
        (result,) = stage.require("locate", {**gate, "data": data})
        assert (result.measured, result.on) == (of_file.measured, of_file.on)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"dataset": "forest"}, "expected one dataset that is not of training, found 0; logged are: none; log one by"),
        (
            {"dataset": "ridge", "context": "tested"},
            r"expected one dataset of context 'tested', found 0; logged are: surveyed \(training\), walked \(testing\)",
        ),
    ],
)
def test_a_dataset_that_is_not_there_is_told_with_those_that_are(stage, data, said):
    with pytest.raises(RegistryError, match=said):
        stage.require("locate", {"median_error_m": {"at_most": 90}, "data": data})


def log_dataset(world, name, source):
    """
    A run with the dataset *name* from *source*, or made by a program; gives the run's id.

    MLflow takes rows of one name for one dataset, from wherever they came first.
    """
    import mlflow

    mlflow.set_tracking_uri(world.registry.tracking_uri)
    mlflow.set_experiment("world")
    with warnings.catch_warnings(), mlflow.start_run() as run:
        warnings.simplefilter("ignore")  # of MLflow's, on how it reads a source
        mlflow.log_input(mlflow.data.from_pandas(table(HELD_BACK), source=source, name=name), context="testing")
    return run.info.run_id


@pytest.fixture
def web(stage):
    """A web server over the world's folder; gives its address."""

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *facts):
            super().__init__(*facts, directory=str(stage.world.root))

        def log_message(self, *said):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def of_run(stage, run_id):
    """r2 of locate, as if its ridge were of that run."""
    receipt = stage.receipt("locate", 2)
    return replace(receipt, members={**receipt.members, "ridge": {**receipt.members["ridge"], "run_id": run_id}})


def require_of_run(stage, run_id):
    page = stage.page("locate", {"p95_error_m": {"at_most": 900}, "data": {"dataset": "ridge"}})
    given = {"serving": None, "registry": stage.world.registry, "store": stage.world.store, "load": QUICK}
    return require_gates(page, of_run(stage, run_id), stage.url, **given)


def test_a_dataset_may_lie_on_the_web(stage, web):
    (result,) = require_of_run(stage, log_dataset(stage.world, "online", f"{web}/held_back.parquet"))

    assert result.on.startswith("200 known cases of held_back.parquet, SHA-256 ")


def test_a_dataset_that_cannot_be_read_again_says_what_it_came_from(stage):
    with pytest.raises(RegistryError, match="'made': expected a file of .parquet, .csv, .npz, but its source is code"):
        require_of_run(stage, log_dataset(stage.world, "made", None))
    with pytest.raises(RegistryError, match="registered without a run"):
        require_of_run(stage, None)


def test_a_dataset_of_other_columns_is_refused(stage):
    shutil.copyfile(stage.world.root / "zones.parquet", stage.world.root / "other.parquet")

    with pytest.raises(CalibrationError, match="no column 'latitude'"):
        require_of_run(stage, log_dataset(stage.world, "zoned", str(stage.world.root / "other.parquet")))


def test_tensors_are_asked_with_the_rows_of_their_proof(stage):
    gate = {
        "parity": {"at_most": 1},
        "p95_ms": {"at_most": "1000000 x serving"},
        "throughput_rps": {"at_least": 1},
        "io_contract": "same",
    }

    results = stage.require("raw", gate, candidate=1, serving=1)

    assert [result.passed for result in results] == [True] * 4
    assert np.all([result.measured > 0 for result in results[1:3]])


def test_memory_says_of_what_it_is(stage):
    (result,) = stage.require("locate", {"memory_mb": {"at_most": 9_000}}, memory=stage.meter)
    (later,) = stage.require("locate", {"memory_mb": {"at_most": 9_000}})

    assert result.note == "of the server's processes, since before its models were loaded"
    assert result.measured > 1
    assert later.note == "of the server's processes, since before it was first asked"
