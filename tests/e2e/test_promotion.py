"""From the registry to what is served: promoted, refused, rolled back, and never anything in between."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from tritonclient.grpc.service_pb2 import ModelConfigRequest

from sextant.errors import (
    BreakingChange,
    CalibrationError,
    ConversionError,
    GateFailed,
    LoadFailed,
    ParityError,
    PipelineError,
    PromoteError,
    ReceiptError,
    RegistryError,
    ServerUnreachable,
    SextantError,
    StoreError,
)
from sextant.scores import evaluate
from sextant_client import Client
from sextant_export.evidence import proof_path
from sextant_export.pipeline import load_pipeline
from sextant_export.receipt import read_receipt, receipt_path, releases
from sextant_export.release import export, plan
from sextant_export.store import Store
from sextant_promote.control import Control
from sextant_promote.promotion import promote, rollback
from sextant_promote.status import status
from sextant_server import EmbeddedTriton
from small_world import draw

pytestmark = pytest.mark.e2e


class Stage:
    """A small world with a Triton on its store."""

    def __init__(self, world, store=None, log=None):
        self.world, self.store = world, store or world.store
        self.triton = EmbeddedTriton(self.store.root, log=log)

    def __enter__(self):
        self.triton.start()
        self.control = Control(self.triton.address.grpc, self.triton.address.token)
        return self

    def __exit__(self, *exception):
        self.control.close()
        self.triton.stop()

    def promote(self, pipeline=None):
        return promote(pipeline or load_pipeline(self.world.spec), self.store, self.world.registry, self.control)

    def rollback(self, to=None):
        return rollback(self.store, "locate", self.control, to)

    def ask(self, features):
        with Client(self.triton.address.grpc) as client:
            return client.pipeline("locate")(features)

    def new_ridge(self, alpha):
        return self.world.register("ridge", Ridge(alpha=alpha))

    def loaded(self, model):
        """The configuration that the server goes by, which may lag behind the store's."""
        return self.control._call("ModelConfig", ModelConfigRequest(name=model)).config

    def models(self):
        return sorted(path.name for path in self.store.models.iterdir())


@pytest.fixture
def stage(world):
    with Stage(world) as stage:
        yield stage


def test_a_promoted_pipeline_answers_with_ellipses_that_hold_the_truth(stage):
    """The main job: fixes near the truth, and a share inside each ellipse close to its level."""
    done = stage.promote()
    unseen = draw(400, seed=9)

    scores = evaluate(stage.ask(unseen.features), unseen.truth)

    assert (done.release, done.changed, done.replaced) == (1, True, None)
    assert scores.median_error_m < 15
    assert all(abs(share - level) < 0.06 for level, share in scores.coverage.items())


def test_the_answer_says_which_release_gave_it(stage):
    """And that its ellipses were calibrated, by how many members."""
    stage.promote()

    fix = stage.ask(draw(1, seed=9).features[0])

    assert (fix.release, fix.calibrated, fix.members_used) == (1, True, 3)


def test_promoting_twice_changes_nothing(stage):
    """The same inputs are the same release."""
    stage.promote()
    before = {path: path.stat().st_mtime_ns for path in stage.store.models.rglob("config.pbtxt")}

    again = stage.promote()

    assert (again.release, again.changed) == (1, False)
    assert {path: path.stat().st_mtime_ns for path in stage.store.models.rglob("config.pbtxt")} == before


def test_a_moved_alias_is_a_new_release_and_the_old_one_is_a_rollback_away(stage):
    """r2 by the new member, then r1 again, each answering as its own members do."""
    row = draw(1, seed=9).features[0]
    stage.promote()
    first = stage.ask(row)
    stage.new_ridge(alpha=50.0)

    second_done = stage.promote()
    second = stage.ask(row)
    back = stage.rollback()
    third = stage.ask(row)

    assert (second_done.release, second_done.replaced) == (2, 1)
    assert (first.release, second.release, third.release) == (1, 2, 1)
    assert first.latitude != second.latitude
    assert first == third
    assert (back.release, back.replaced) == (1, 2)


def test_promoting_after_a_rollback_flips_to_the_release_there_is(stage):
    """Nothing is exported again."""
    stage.promote()
    stage.new_ridge(alpha=50.0)
    stage.promote()
    stage.rollback()

    again = stage.promote()

    assert (again.release, again.changed) == (2, True)
    assert releases(stage.store, "locate") == [1, 2]


def test_only_the_serving_release_and_the_one_before_stay_loaded(stage):
    """Older ones keep their versions on disk and their receipt, and come back when asked for by number."""
    stage.promote()
    for alpha in (20.0, 30.0, 40.0):
        stage.new_ridge(alpha)
        stage.promote()

    kept = [name for name in stage.models() if ".r" in name]
    back = stage.rollback(to=1)

    assert kept == ["locate.r3", "locate.r4"]
    assert back.release == 1
    assert stage.ask(draw(1, seed=9).features[0]).release == 1


def test_no_request_fails_while_releases_change(stage):
    """Four callers ask without a pause through ten promotions and rollbacks."""
    stage.promote()
    stage.new_ridge(alpha=50.0)
    stage.promote()
    stopped, failures, seen = threading.Event(), [], set()

    def call():
        row = draw(1, seed=9).features[0]
        with Client(stage.triton.address.grpc) as client:
            while not stopped.is_set():
                try:
                    seen.add(client.pipeline("locate")(row).release)
                except SextantError as error:  # noqa: PERF203  each call is counted
                    failures.append(error)

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    for _ in range(5):
        stage.rollback()
        stage.promote()
    stopped.set()
    for caller in callers:
        caller.join()

    assert failures == []
    assert seen == {1, 2}


def test_a_restarted_server_serves_what_was_promoted(stage):
    """The front is in the store; nothing is remembered elsewhere."""
    stage.promote()
    row = draw(1, seed=9).features[0]
    before = stage.ask(row)
    stage.triton.stop()

    with EmbeddedTriton(stage.store.root) as triton, Client(triton.address.grpc) as client:
        after = client.pipeline("locate")(row)

    assert after == before


def test_three_doors_give_the_same_numbers(stage):
    """The SDK over gRPC and HTTP, raw tritonclient, and plain JSON over HTTP."""
    import urllib.request

    import tritonclient.grpc as raw

    stage.promote()
    row = draw(1, seed=9).features
    address = stage.triton.address

    with Client(address.grpc) as one, Client(address.http) as other:
        sdk, sdk_http = one.pipeline("locate").tensors(row), other.pipeline("locate").tensors(row)
    tensor = raw.InferInput("features", row.shape, "FP32")
    tensor.set_data_from_numpy(row)
    plain = raw.InferenceServerClient(address.grpc.removeprefix("grpc://")).infer("locate", [tensor])
    body = {"inputs": [{"name": "features", "datatype": "FP32", "shape": [1, 8], "data": row.ravel().tolist()}]}
    with urllib.request.urlopen(f"{address.http}/v2/models/locate/infer", json.dumps(body).encode()) as reply:
        curled = {o["name"]: np.array(o["data"]).reshape(o["shape"]) for o in json.load(reply)["outputs"]}

    assert sdk.keys() == curled.keys()
    for name, array in sdk.items():
        np.testing.assert_array_equal(array, sdk_http[name])
        np.testing.assert_array_equal(array, plain.as_numpy(name))
        np.testing.assert_allclose(array, curled[name], rtol=1e-12)


def test_what_is_served_is_what_the_flavours_answer(stage):
    """Each member through Triton against scikit-learn's own predict."""
    done = stage.promote()

    deltas = {name: fact["max_abs_delta"] for name, fact in done.receipt.proof.items()}

    assert deltas.keys() == {"ridge", "forest", "knn"}
    assert max(deltas.values()) < 1e-3


def test_a_failed_gate_keeps_the_old_release_serving(stage):
    """The candidate is gone from store and server, its receipt kept as refused."""
    stage.promote()
    kept = stage.models()
    strict = stage.world.write_spec({"gate": {"median_error_m": {"at_most": 0.001}}})

    with pytest.raises(GateFailed, match=r"median_error_m .* \(NOT at most 0.001\)") as failed:
        stage.promote(strict)

    assert [result.passed for result in failed.value.results] == [False]
    assert stage.ask(draw(1, seed=9).features[0]).release == 1
    assert stage.models() == kept
    assert read_receipt(stage.store, "locate", 2).outcome == "refused"


def test_a_member_that_does_not_load_keeps_the_old_release_serving(stage):
    """Its file is truncated between publication and load, as a broken disk or copy would do."""
    stage.promote()
    version = stage.new_ridge(alpha=50.0)
    export(load_pipeline(stage.world.spec), stage.store, stage.world.registry)
    graph = stage.store.models / "ridge" / str(version) / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:100])

    with pytest.raises(LoadFailed, match=r"ridge does not load"):
        stage.promote()

    assert stage.ask(draw(1, seed=9).features[0]).release == 1
    assert list(stage.store.config("ridge").version_policy.specific.versions) == [1]
    stage.triton.check()


def test_a_first_release_that_fails_leaves_the_store_empty(stage):
    """Nothing half published is there for the next start to trip over."""
    strict = stage.world.write_spec({"gate": {"median_error_m": {"at_most": 0.001}}})

    with pytest.raises(GateFailed):
        stage.promote(strict)

    assert stage.models() == []
    assert stage.control.ready().get("locate", set()) == set()


def test_a_pipeline_refused_once_is_promoted_when_its_gate_is_mended(stage):
    """A refused receipt is no obstacle."""
    with pytest.raises(GateFailed):
        stage.promote(stage.world.write_spec({"gate": {"median_error_m": {"at_most": 0.001}}}))

    done = stage.promote(stage.world.write_spec())

    assert done.changed
    assert stage.ask(draw(1, seed=9).features[0]).release == done.release


def test_an_alias_that_does_not_exist_is_named(stage):
    """With the aliases that do."""
    page = {"members": {"ridge": "models:/ridge@champoin", "knn": "models:/knn@champion"}}

    with pytest.raises(RegistryError, match="no alias 'champoin'; did you mean 'champion'"):
        stage.promote(stage.world.write_spec(page))


def test_a_flavour_that_was_not_saved_is_named_before_anything_is_fetched(stage):
    """A plan already says so."""
    page = {"members": {"ridge": {"model_uri": "models:/ridge@champion", "flavor": "sklern"}}}

    with pytest.raises(ConversionError, match="ridge/1 was not saved as sklern; did you mean 'sklearn'"):
        plan(stage.world.write_spec(page), stage.store, stage.world.registry)


def test_what_a_killed_export_fetched_goes_with_the_next_one(stage, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ended = subprocess.Popen(["true"])
    ended.wait()
    (tmp_path / f"sextant-export-{ended.pid}-left").mkdir()
    (tmp_path / f"sextant-export-{os.getpid()}-at-work").mkdir()

    stage.promote()

    assert [path.name for path in tmp_path.glob("sextant-export-*")] == [f"sextant-export-{os.getpid()}-at-work"]


def test_a_model_without_signature_is_named(stage):
    """And how to log one."""
    stage.world.register("bare", Ridge(), signature=False)
    page = {"members": {"ridge": "models:/ridge@champion", "bare": "models:/bare@champion"}}

    with pytest.raises(RegistryError, match=r"bare/1: it was logged without a signature.*infer_signature"):
        stage.promote(stage.world.write_spec(page))


def test_a_changed_input_is_a_breaking_change(stage):
    """A member of another width cannot take the place of the one that serves."""
    stage.promote()
    wide = np.hstack([stage.world.training.scaled, stage.world.training.scaled[:, :1]])
    model = Ridge().fit(wide, stage.world.training.east_north)
    stage.world.log(
        "ridge",
        lambda mlflow, **facts: mlflow.sklearn.log_model(model, **_wide(facts, model, wide)),
        Narrow(model),
        "champion",
    )

    with pytest.raises((BreakingChange, RegistryError), match="9|width|takes"):
        stage.promote()

    assert stage.ask(draw(1, seed=9).features[0]).release == 1


def test_too_few_known_cases_are_counted(stage):
    """A 95 % ellipse cannot be promised on ten rows."""
    pipeline = load_pipeline(stage.world.spec)
    stage.world.write_cases(draw(10, seed=3))

    with pytest.raises(CalibrationError, match="19"):
        stage.promote(pipeline)


@pytest.mark.parametrize("rows", [b"", b"not a table"], ids=["empty", "no parquet"])
def test_known_cases_that_cannot_be_read_are_named(stage, rows):
    """The sentence says which file."""
    (stage.world.root / "cases.parquet").write_bytes(rows)

    with pytest.raises(CalibrationError, match="cases.parquet"):
        stage.promote()


def test_an_edited_receipt_is_not_rolled_back_to(stage):
    """The serving release goes on; status says which receipt was edited."""
    stage.promote()
    stage.new_ridge(alpha=50.0)
    stage.promote()
    path = receipt_path(stage.store, "locate", 1)
    path.write_text(path.read_text().replace('"name": "locate"', '"name": "lokate"'))

    with pytest.raises(ReceiptError, match=r"r1\.json was changed after it was written"):
        stage.rollback()

    (found,) = status(stage.store, stage.control)
    assert stage.ask(draw(1, seed=9).features[0]).release == 2
    assert [release.outcome for release in found.releases] == ["served", "edited"]


def test_a_proof_that_is_gone_is_named(stage):
    """A release that cannot be proven through Triton is not promoted."""
    receipt = export(load_pipeline(stage.world.spec), stage.store, stage.world.registry)
    proof_path(stage.store, "locate", receipt.release).unlink()

    with pytest.raises(ReceiptError, match="is gone or not whole.*promote again"):
        stage.promote()


def test_other_answers_through_triton_are_refused(stage):
    """The second proof is made of what the server really says."""
    receipt = export(load_pipeline(stage.world.spec), stage.store, stage.world.registry)
    path = proof_path(stage.store, "locate", receipt.release)
    with np.load(path) as proof:
        arrays = dict(proof)
    arrays["ridge/answers/prediction"] = arrays["ridge/answers/prediction"] + 1
    np.savez_compressed(path, **arrays)

    with pytest.raises(ParityError, match="ridge version 1, asked through Triton"):
        stage.promote()

    assert stage.models() == []


def test_there_is_nothing_before_the_first_release(stage):
    """Rolling back an empty store and a first release both say so."""
    with pytest.raises(PromoteError, match="nothing to roll back"):
        stage.rollback()
    stage.promote()

    with pytest.raises(PromoteError, match="r1 is the first release"):
        stage.rollback()


def test_another_registry_with_the_same_numbers_is_refused(stage):
    """Version 2 of another registry is not version 2 of this one: what the store holds is what is proven."""
    stage.promote()
    other = stage.store.models / "ridge" / "2"
    other.mkdir()
    shutil.copyfile(stage.store.models / "ridge" / "1" / "model.onnx", other / "model.onnx")
    stage.new_ridge(alpha=50.0)

    with pytest.raises(ParityError, match="ridge/2: no proof.*perhaps from another registry"):
        stage.promote()

    assert stage.ask(draw(1, seed=9).features[0]).release == 1


def test_a_stored_file_that_is_damaged_is_named(stage):
    """With the folder to delete."""
    stage.promote()
    other = stage.store.models / "ridge" / "2"
    other.mkdir()
    (other / "model.onnx").write_bytes(b"half a file")
    stage.new_ridge(alpha=50.0)

    with pytest.raises(ConversionError, match=r"ridge/2/model\.onnx is no whole ONNX file.*delete its folder"):
        stage.promote()


def test_two_promotions_at_once_do_not_mix(stage):
    """The second is told to wait; the first is not disturbed."""
    with stage.store.prepare().alone(), pytest.raises(StoreError, match="another promotion is at work"):
        stage.promote()

    assert stage.promote().changed


def test_a_refused_release_is_not_rolled_back_to(stage):
    """It never passed its gates."""
    stage.promote()
    with pytest.raises(GateFailed):
        stage.promote(stage.world.write_spec({"gate": {"median_error_m": {"at_most": 0.001}}}))

    with pytest.raises(PromoteError, match=r"r2 of locate never served \(it is refused\)"):
        stage.rollback(to=2)

    assert stage.ask(draw(1, seed=9).features[0]).release == 1


def test_an_alias_moved_back_can_be_rolled_forward(stage):
    """A rollback goes to what the serving release replaced, whatever their numbers."""
    from mlflow import MlflowClient

    stage.promote()
    stage.new_ridge(alpha=50.0)
    stage.promote()
    registry = MlflowClient(stage.world.registry.tracking_uri)
    registry.set_registered_model_alias("ridge", "champion", "1")

    back = stage.promote()
    forward = stage.rollback()

    assert (back.release, back.replaced) == (1, 2)
    assert forward.release == 2


def test_a_release_that_served_stays_one_when_it_fails_a_gate_later(stage):
    """What a chance failure takes is the promotion, not the way back."""
    from mlflow import MlflowClient

    stage.promote()
    stage.new_ridge(alpha=50.0)
    stage.promote()
    MlflowClient(stage.world.registry.tracking_uri).set_registered_model_alias("ridge", "champion", "1")
    path = proof_path(stage.store, "locate", 1)
    evidence = path.read_bytes()
    path.write_bytes(evidence[: len(evidence) // 2])

    with pytest.raises(ReceiptError, match="not whole"):
        stage.promote()
    stage.rollback()

    assert read_receipt(stage.store, "locate", 1).outcome == "served"
    assert stage.ask(draw(1, seed=9).features[0]).release == 1


@pytest.mark.parametrize("moment", ["_load", "wire_front"])
def test_a_flip_that_is_cut_off_is_finished_by_the_next_promotion(stage, monkeypatch, moment):
    """Ctrl-C before the front is written, and after: the old release serves on, and the way back is not forgotten."""
    from sextant_promote import front

    stage.promote()
    stage.new_ridge(alpha=50.0)

    def cut_off(*_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(front, moment, cut_off)
    with pytest.raises(KeyboardInterrupt):
        stage.promote()
    monkeypatch.undo()
    between = stage.ask(draw(1, seed=9).features[0])
    done = stage.promote()

    assert between.release == 1
    assert stage.ask(draw(1, seed=9).features[0]).release == done.release
    assert stage.rollback().release == 1


def test_small_batches_are_proven_too(stage):
    """The proof through Triton keeps to the pipeline's own batch size."""
    done = stage.promote(stage.world.write_spec({"serving": {"max_batch_size": 16}}))

    assert done.changed


def test_members_in_another_order_are_another_release(stage):
    """Weights go by place."""
    stage.promote()
    members = load_pipeline(stage.world.spec).spec["members"]

    done = stage.promote(stage.world.write_spec({"members": dict(reversed(members.items()))}))

    assert (done.release, done.changed) == (2, True)


def test_two_versions_of_one_model_may_vote_together(stage):
    """Version 1 beside version 2, each proven as itself."""
    stage.new_ridge(alpha=50.0)
    members = {"old": "models:/ridge/1", "new": "models:/ridge/2", "knn": "models:/knn@champion"}

    done = stage.promote(stage.world.write_spec({"members": members}))

    assert done.receipt.proof.keys() == {"old", "new", "knn"}
    assert stage.ask(draw(1, seed=9).features[0]).members_used == 3


def test_settings_of_a_refused_release_do_not_stay(stage):
    """Shared models go back to what they were."""
    stage.promote()
    before = stage.store.config("ridge")
    strict = {"gate": {"median_error_m": {"at_most": 0.001}}, "serving": {"max_batch_size": 128, "instances": 2}}

    with pytest.raises(GateFailed):
        stage.promote(stage.world.write_spec(strict))

    assert stage.store.config("ridge") == before


def test_a_rollback_brings_back_how_the_release_was_served(stage):
    """Triton keeps one configuration for all versions of a model, and the release after had changed it."""
    served = {"max_batch_size": 64, "instances": 1}
    stage.promote(stage.world.write_spec({"serving": served}))
    stage.promote(stage.world.write_spec({"serving": served | {"instances": 2, "response_cache": True}}))
    twice = stage.loaded("ridge")

    stage.rollback()

    assert (twice.instance_group[0].count, twice.response_cache.enable) == (2, True)
    once = stage.loaded("ridge")
    assert (once.instance_group[0].count, once.response_cache.enable) == (1, False)


def test_promoting_an_earlier_page_again_brings_back_how_it_was_served(stage):
    first = {"serving": {"max_batch_size": 64, "instances": 1}}
    stage.promote(stage.world.write_spec(first))
    stage.promote(stage.world.write_spec({"serving": {"max_batch_size": 64, "instances": 2}}))

    again = stage.promote(stage.world.write_spec(first))

    assert again.release == 1
    assert stage.loaded("ridge").instance_group[0].count == 1


def test_a_model_may_be_named_like_its_pipeline(stage):
    """The name is the front's, so the model stands beside it."""
    done = stage.promote(stage.world.write_spec({"name": "ridge"}))

    assert done.receipt.members["ridge"]["model"] == "ridge.model"
    assert stage.store.config("ridge").platform == "ensemble"


def test_a_model_named_like_a_block_of_the_pipeline_is_refused(stage):
    """Its folder would be the block's."""
    stage.world.register("locate.fuse", Ridge())
    members = {"odd": "models:/locate.fuse@champion", "knn": "models:/knn@champion"}

    with pytest.raises(PipelineError, match="would meet the pipeline's own"):
        stage.promote(stage.world.write_spec({"members": members}))


def test_a_pipeline_is_not_named_like_a_model_that_another_serves(stage):
    stage.promote()

    with pytest.raises(BreakingChange, match="forest is the name of a pipeline, and of one of its models"):
        stage.promote(stage.world.write_spec({"name": "forest"}))


def test_what_a_killed_promotion_left_goes_with_the_next_one(stage):
    """An ensemble without a receipt, half a version, half a configuration."""
    stage.promote()
    stray = stage.store.config("locate.r1")
    stray.name = "locate.r7"
    stage.store.write_ensemble(stray)
    (stage.store.models / "ridge" / ".9.partial").mkdir()
    (stage.store.models / "ridge" / ".config.pbtxt.abc").touch()

    stage.new_ridge(alpha=50.0)
    done = stage.promote()

    assert done.release == 2
    assert "locate.r7" not in stage.models()
    assert not list(stage.store.models.glob("ridge/.*"))


def test_plan_writes_nothing(world):
    """It needs no server, makes no store, and says which versions would serve."""
    made = plan(load_pipeline(world.spec), world.store, world.registry)

    assert (made.release, made.exists, made.serving) == (1, False, None)
    assert made.members == {"ridge": (None, 1), "forest": (None, 1), "knn": (None, 1)}
    assert not world.store.root.exists()


def test_without_a_server_nothing_is_exported(world):
    """The sentence comes at once, not after minutes of work."""
    with Control("grpc://127.0.0.1:9") as control, pytest.raises(ServerUnreachable, match="127.0.0.1:9"):
        promote(load_pipeline(world.spec), world.store, world.registry, control)

    assert not Path(world.store.root).exists()


def test_members_that_are_not_sure_of_themselves_need_known_cases(stage):
    """Neither a covariance of their own nor cases to measure one on: said before anything is served."""
    page = load_pipeline(stage.world.spec).spec
    without = {key: value for key, value in page.items() if key not in {"calibration", "gate"}}
    stage.world.spec.write_text(json.dumps(without))

    with pytest.raises(CalibrationError, match="member ridge gives no covariance.*calibration"):
        stage.promote()

    assert stage.models() == []


class Narrow:
    """Answers the world's own example rows with a model that wants one column more."""

    def __init__(self, model):
        self.model = model

    def predict(self, rows):
        return self.model.predict(np.hstack([rows, rows[:, :1]]))


def _wide(facts, model, wide):
    from mlflow.models import infer_signature

    example = wide[:4]
    return {**facts, "signature": infer_signature(example, model.predict(example)), "input_example": example}


def test_a_full_store_keeps_the_old_release_serving(mounted):
    """On a real file system with no room left: one sentence, and the same command works once there is."""
    stage, disk = mounted
    stage.promote()
    stage.new_ridge(alpha=50.0)
    filler = disk / "filler"
    with pytest.raises(OSError, match="No space left"):
        filler.write_bytes(bytes(8 << 20))

    with pytest.raises(StoreError, match="No space left on device.*nothing that is served has changed"):
        stage.promote()
    during = stage.ask(draw(1, seed=9).features[0])
    filler.unlink()
    after = stage.promote()

    assert during.release == 1
    assert after.changed
    assert stage.ask(draw(1, seed=9).features[0]).release == after.release


def test_a_read_only_store_keeps_the_old_release_serving(mounted):
    """On a real read-only file system: one sentence, and what serves goes on."""
    stage, disk = mounted
    stage.promote()
    stage.new_ridge(alpha=50.0)
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)

    with pytest.raises(StoreError, match="Read-only file system"):
        stage.promote()
    during = stage.ask(draw(1, seed=9).features[0])
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)

    assert during.release == 1
    assert stage.promote().changed


@pytest.fixture
def mounted(world, tmp_path):
    """A stage whose store is a file system of its own, of 8 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    tried = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", disk], capture_output=True)
    if tried.returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        with Stage(world, Store(disk / "store"), log=tmp_path / "triton.log") as stage:
            yield stage, disk
    finally:
        subprocess.run(["umount", "-l", disk], check=True)
