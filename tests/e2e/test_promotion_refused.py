"""A promotion that must not be: refused, cut off or without a disk, it leaves what serves as it was."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from promotion_stage import Stage
from sextant.errors import (
    BreakingChange,
    ConversionError,
    GateFailed,
    LeaseHeld,
    LoadFailed,
    ParityError,
    PromoteError,
    ReceiptError,
    RegistryError,
    StoreError,
)
from sextant_export.evidence import proof_path
from sextant_export.pipeline import load_pipeline
from sextant_export.receipt import read_receipt, receipt_path
from sextant_export.release import export
from sextant_export.store import Store
from sextant_promote import phases
from sextant_promote.lease import lease
from sextant_promote.status import status
from small_world import draw

pytestmark = pytest.mark.e2e


def test_a_failed_gate_keeps_the_old_release_serving(served):
    """The candidate is gone from store and server, its receipt kept as refused."""
    kept = served.models()
    strict = served.world.write_spec({"gate": {"median_error_m": {"at_most": 0.001}}})

    with pytest.raises(GateFailed, match=r"median_error_m .* \(NOT at most 0.001\)") as failed:
        served.promote(strict)

    assert [result.passed for result in failed.value.results] == [False]
    assert served.ask(draw(1, seed=9).features[0]).release == 1
    assert served.models() == kept
    assert read_receipt(served.store, "locate", 2).outcome == "refused"


def truncate(store, version):
    graph = store.models / "ridge" / str(version) / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:100])


def test_a_member_that_does_not_load_keeps_the_old_release_serving(served, monkeypatch):
    """Its file is truncated in the instant before it is loaded."""
    version = served.new_ridge(alpha=50.0)
    load = phases.load_models

    def damaged(*arguments):
        truncate(served.store, version)
        load(*arguments)

    monkeypatch.setattr(phases, "load_models", damaged)
    with pytest.raises(LoadFailed, match=r"ridge does not load"):
        served.promote()

    assert served.ask(draw(1, seed=9).features[0]).release == 1
    assert list(served.store.config("ridge").version_policy.specific.versions) == [1]
    served.triton.check()


def test_a_member_whose_file_is_not_the_one_that_was_proven_is_not_loaded(served):
    """Truncated between publication and load, as a broken disk or copy would do."""
    version = served.new_ridge(alpha=50.0)
    export(load_pipeline(served.world.spec), served.store, served.world.registry)
    truncate(served.store, version)

    with pytest.raises(StoreError, match=r"ridge/2/model\.onnx has other bytes than it had when it was proven"):
        served.promote()

    assert served.ask(draw(1, seed=9).features[0]).release == 1


def test_a_first_release_that_fails_leaves_the_store_empty(stage):
    """Nothing half published is there for the next start to trip over, and its receipt is no obstacle."""
    strict = stage.world.write_spec({"gate": {"median_error_m": {"at_most": 0.001}}})

    with pytest.raises(GateFailed):
        stage.promote(strict)
    left, ready = stage.models(), stage.control.ready()
    mended = stage.promote(stage.world.write_spec())

    assert (left, ready.get("locate", set())) == ([], set())
    assert mended.changed
    assert stage.ask(draw(1, seed=9).features[0]).release == mended.release


def test_a_changed_input_is_a_breaking_change(served):
    """A member of another width cannot take the place of the one that serves."""
    wide = np.hstack([served.world.training.scaled, served.world.training.scaled[:, :1]])
    model = Ridge().fit(wide, served.world.training.east_north)
    served.world.log(
        "ridge",
        lambda mlflow, **facts: mlflow.sklearn.log_model(model, **_wide(facts, model, wide)),
        Narrow(model),
        "champion",
    )

    with pytest.raises((BreakingChange, RegistryError), match="9|width|takes"):
        served.promote()

    assert served.ask(draw(1, seed=9).features[0]).release == 1


def test_an_edited_receipt_is_not_rolled_back_to(moved):
    """The serving release goes on; status says which receipt was edited."""
    path = receipt_path(moved.store, "locate", 1)
    path.write_text(path.read_text().replace('"name": "locate"', '"name": "lokate"'))

    with pytest.raises(ReceiptError, match=r"r1\.json was changed after it was written"):
        moved.rollback()

    (found,) = status(moved.store, moved.control)
    assert moved.ask(draw(1, seed=9).features[0]).release == 2
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


def test_another_registry_with_the_same_numbers_is_refused(served):
    """Version 2 of another registry is not version 2 of this one: what the store holds is what is proven."""
    other = served.store.models / "ridge" / "2"
    other.mkdir()
    shutil.copyfile(served.store.models / "ridge" / "1" / "model.onnx", other / "model.onnx")
    served.new_ridge(alpha=50.0)

    with pytest.raises(ParityError, match="ridge/2: no proof.*perhaps from another registry"):
        served.promote()

    assert served.ask(draw(1, seed=9).features[0]).release == 1


def test_a_stored_file_that_is_damaged_is_named(served):
    """With the folder to delete."""
    other = served.store.models / "ridge" / "2"
    other.mkdir()
    (other / "model.onnx").write_bytes(b"half a file")
    served.new_ridge(alpha=50.0)

    with pytest.raises(ConversionError, match=r"ridge/2/model\.onnx is no whole ONNX file.*delete its folder"):
        served.promote()


def test_two_promotions_at_once_do_not_mix(stage):
    """The second is told to wait; the first is not disturbed."""
    with lease(stage.store.prepare(), "locate"), pytest.raises(LeaseHeld, match="holds its lease"):
        stage.promote()

    assert stage.promote().changed


def test_a_refused_release_is_not_rolled_back_to(served):
    """It never passed its gates."""
    with pytest.raises(GateFailed):
        served.promote(served.world.write_spec({"gate": {"median_error_m": {"at_most": 0.001}}}))

    with pytest.raises(PromoteError, match=r"r2 of locate never served \(it is refused\)"):
        served.rollback(to=2)

    assert served.ask(draw(1, seed=9).features[0]).release == 1


def test_a_release_that_served_stays_one_when_it_fails_a_gate_later(moved):
    """What a chance failure takes is the promotion, not the way back."""
    from mlflow import MlflowClient

    MlflowClient(moved.world.registry.tracking_uri).set_registered_model_alias("ridge", "champion", "1")
    path = proof_path(moved.store, "locate", 1)
    evidence = path.read_bytes()
    path.write_bytes(evidence[: len(evidence) // 2])

    with pytest.raises(ReceiptError, match="not whole"):
        moved.promote()
    moved.rollback()

    assert read_receipt(moved.store, "locate", 1).outcome == "served"
    assert moved.ask(draw(1, seed=9).features[0]).release == 1


@pytest.mark.parametrize("moment", ["load_front", "wire_front"])
def test_a_flip_that_is_cut_off_is_finished_by_the_next_promotion(served, monkeypatch, moment):
    """Ctrl-C before the front is written, and after: the old release serves on, and the way back is not forgotten."""
    from sextant_promote import front

    served.new_ridge(alpha=50.0)

    def cut_off(*_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(front, moment, cut_off)
    with pytest.raises(KeyboardInterrupt):
        served.promote()
    monkeypatch.undo()
    between = served.ask(draw(1, seed=9).features[0])
    done = served.promote()

    assert between.release == 1
    assert served.ask(draw(1, seed=9).features[0]).release == done.release
    assert served.rollback().release == 1


def test_settings_of_a_refused_release_do_not_stay(served):
    """Shared models go back to what they were."""
    before = served.store.config("ridge")
    strict = {"gate": {"median_error_m": {"at_most": 0.001}}, "serving": {"max_batch_size": 128, "instances": 2}}

    with pytest.raises(GateFailed):
        served.promote(served.world.write_spec(strict))

    assert served.store.config("ridge") == before


def test_a_pipeline_is_not_named_like_a_model_that_another_serves(served):
    with pytest.raises(BreakingChange, match="forest is the name of a pipeline, and of one of its models"):
        served.promote(served.world.write_spec({"name": "forest"}))


def test_what_a_killed_promotion_left_goes_with_the_next_one(served):
    """An ensemble without a receipt, half a version, half a configuration."""
    stray = served.store.config("locate.r1")
    stray.name = "locate.r7"
    served.store.write_ensemble(stray)
    (served.store.models / "ridge" / ".9.partial").mkdir()
    (served.store.models / "ridge" / ".config.pbtxt.abc").touch()

    served.new_ridge(alpha=50.0)
    done = served.promote()

    assert done.release == 2
    assert "locate.r7" not in served.models()
    assert not list(served.store.models.glob("ridge/.*"))


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
