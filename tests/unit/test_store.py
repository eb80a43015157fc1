"""A store: every step one rename, nothing overwritten, nothing half there."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sextant.errors import BreakingChange, StoreError
from sextant.tensors import Tensor
from sextant_export.config import Configs, ensemble_config, onnx_config, tensorrt_config
from sextant_export.pipeline import Serving
from sextant_export.store import Candidate, Store, digest
from sextant_export.wiring import EnsembleStep

X, Y = Tensor("x", "FP32", (4,)), Tensor("y", "FP32", (2,))


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store").prepare()


def candidate(version=1, text="weights", outputs=(Y,), batch=8):
    config = onnx_config("forest", [X], outputs, Serving(max_batch_size=batch), [version])
    return Candidate(
        model="forest", version=version, configs=Configs(config), write=lambda d: (d / "model.onnx").write_text(text)
    )


def planned(version=1, gpus=("8.9",), batch=8, plan="plan"):
    """A version as plans for *gpus*, and the graph beside them."""
    files = {gpu: f"model.sm{gpu.replace('.', '')}.plan" for gpu in gpus}
    serving = Serving(max_batch_size=batch)
    configs = Configs(
        tensorrt_config("forest", [X], [Y], serving, [version], files),
        onnx_config("forest", [X], [Y], serving, [version]),
    )

    def write(directory):
        (directory / "model.onnx").write_text("weights")
        for file in files.values():
            (directory / file).write_text(plan)
            (directory / f"{file}.json").write_text("note")

    return Candidate(model="forest", version=version, configs=configs, write=write)


def served(store):
    """The versions that each of the two configurations serves."""
    twins = store.twins("forest")
    return [list(config.version_policy.specific.versions) for config in twins.twins]


def ensemble(release, version):
    step = EnsembleStep("forest", version, {"x": "x"}, {"y": "y"})
    return ensemble_config(f"locate.r{release}", release, [step], [X], [Y], 8)


def names(store):
    return sorted(str(p.relative_to(store.root)) for p in store.root.rglob("*") if p.is_file())


def test_a_new_model_appears_whole(store):
    """Configuration and version come in one rename; nothing is left beside them."""
    is_new = store.publish(candidate())

    assert is_new
    assert names(store) == ["models/forest/1/model.onnx", "models/forest/config.pbtxt"]


def test_a_second_version_joins_the_first(store):
    """Both are in the policy until an ensemble says which are needed."""
    store.publish(candidate(1))

    is_new = store.publish(candidate(2, "other weights"))

    assert not is_new
    assert list(store.config("forest").version_policy.specific.versions) == [1, 2]


def test_the_same_version_with_the_same_bytes_is_no_change(store):
    """Publishing is idempotent."""
    store.publish(candidate())
    before = (store.models / "forest" / "config.pbtxt").stat().st_mtime_ns

    store.publish(candidate())

    assert (store.models / "forest" / "config.pbtxt").stat().st_mtime_ns == before


def test_the_same_version_with_other_bytes_is_refused(store):
    """A version is written once: another registry's version 1 does not slip in."""
    store.publish(candidate())

    with pytest.raises(StoreError, match="already in the store with other bytes"):
        store.publish(candidate(text="from another registry"))

    assert (store.models / "forest/1/model.onnx").read_text() == "weights"


def test_changed_outputs_are_a_breaking_change(store):
    """The releases that are served rely on the model's outputs."""
    store.publish(candidate())

    with pytest.raises(BreakingChange, match=r"y FP32\[2\].*y FP32\[3\].*new name"):
        store.publish(candidate(2, outputs=[Y._replace(dims=(3,))]))

    assert names(store) == ["models/forest/1/model.onnx", "models/forest/config.pbtxt"]


def test_a_smaller_batch_of_another_pipeline_does_not_shrink_the_model(store):
    """Two pipelines may share a member; the larger batch still fits."""
    store.publish(candidate(1, batch=64))

    store.publish(candidate(2, "other", batch=8))

    assert store.config("forest").max_batch_size == 64


def test_narrowing_keeps_what_an_ensemble_pins(store):
    """A version no release is wired to leaves the policy, not the disk."""
    store.publish(candidate(1))
    store.publish(candidate(2, "other"))
    store.write_ensemble(ensemble(2, version=2))

    store.narrow()

    assert list(store.config("forest").version_policy.specific.versions) == [2]
    assert (store.models / "forest" / "1").is_dir()


def test_widening_asks_for_the_version_directory(store):
    """A rollback to a version that somebody deleted says so."""
    store.publish(candidate(1))

    with pytest.raises(StoreError, match="no forest version 7 any more"):
        store.widen("forest", 7)


def test_the_front_tells_the_served_release(store):
    """What serves is read from the front itself, so it cannot drift."""
    front = ensemble(4, version=1)
    front.name = "locate"
    store.write_ensemble(front)

    assert store.served_release("locate") == 4
    assert store.served_release("other") is None


def test_a_removed_model_is_gone_whole(store):
    """Nothing of it stays in the repository, nor beside it."""
    store.publish(candidate())

    store.remove("forest")

    assert names(store) == []


def test_a_writer_that_fails_leaves_nothing(store):
    """A crash while the files are written is no new version."""

    def fails(directory: Path) -> None:
        (directory / "model.onnx").write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(StoreError, match="No space left on device.*nothing that is served has changed"):
        store.publish(Candidate(model="forest", version=1, configs=candidate().configs, write=fails))

    assert names(store) == []


def test_a_version_killed_half_way_is_written_again(store):
    """What a crash leaves beside the version has a name Triton ignores, and the next run replaces it."""
    store.publish(candidate(1))
    (store.models / "forest" / ".2.partial").mkdir()
    (store.models / "forest" / ".2.partial" / "model.onnx").write_text("ha")

    store.publish(candidate(2, "whole"))

    assert names(store) == [
        "models/forest/1/model.onnx",
        "models/forest/2/model.onnx",
        "models/forest/config.pbtxt",
    ]


def test_a_full_disk_is_one_sentence(tmp_path):
    """On a real file system of 256 KiB: refused, named, and nothing half written."""
    small = _mounted(tmp_path / "small", "size=256k")
    try:
        store = Store(small).prepare()
        with pytest.raises(StoreError, match="No space left on device.*make room"):
            store.publish(candidate(text="w" * 1_000_000))
        assert names(store) == []
    finally:
        subprocess.run(["umount", small], check=True)


def test_a_read_only_store_is_one_sentence(tmp_path):
    """On a real read-only file system: refused, and the sentence says what to do."""
    fixed = _mounted(tmp_path / "fixed", "size=1m")
    try:
        store = Store(fixed).prepare()
        store.publish(candidate(1))
        subprocess.run(["mount", "-o", "remount,ro", fixed], check=True)
        with pytest.raises(StoreError, match="Read-only file system.*give this user the right"):
            store.publish(candidate(2))
        assert list(store.config("forest").version_policy.specific.versions) == [1]
    finally:
        subprocess.run(["umount", fixed], check=True)


def test_a_url_is_refused_in_words():
    """Remote stores come later; until then nobody gets a folder named s3:."""
    with pytest.raises(StoreError, match="folders only"):
        Store("s3://bucket/store").prepare()


def test_a_digest_sees_one_byte_and_one_name(tmp_path):
    """And not what Python leaves beside the files."""
    (tmp_path / "a").write_bytes(b"12")
    first = digest(tmp_path)
    (tmp_path / "__pycache__").touch()
    same = digest(tmp_path)
    (tmp_path / "a").write_bytes(b"13")

    assert first == same
    assert digest(tmp_path) != first


def test_a_twin_stands_beside_the_configuration(store):
    """Servers on which no plan runs are started with its name."""
    store.publish(planned())

    assert names(store) == [
        "models/forest/1/model.onnx",
        "models/forest/1/model.sm89.plan",
        "models/forest/1/model.sm89.plan.json",
        "models/forest/config.pbtxt",
        "models/forest/configs/embedded.pbtxt",
    ]
    assert store.config("forest").platform == "tensorrt_plan"
    assert store.twins("forest").embedded.backend == "onnxruntime"


def test_both_policies_are_widened_and_narrowed(store):
    """Whichever configuration a server reads, it serves the same versions."""
    store.publish(planned(1))
    store.publish(planned(2))
    both = served(store)
    store.write_ensemble(ensemble(2, version=2))
    store.narrow()
    narrowed = served(store)
    store.widen("forest", 1)

    assert (both, narrowed, served(store)) == ([[1, 2]] * 2, [[2]] * 2, [[1, 2]] * 2)


KILLED = """
import os, signal, sys
sys.path[:0] = {path!r}
import test_store as made
from sextant_export import store as module
from pathlib import Path

def dies_after_the_first(config, path, write=module.write_config):
    write(config, path)
    os.kill(os.getpid(), signal.SIGKILL)

store = made.Store(Path({root!r}))
module.write_config = dies_after_the_first
{step}
"""


@pytest.mark.parametrize("step", ["store.publish(made.planned(2))", "store.widen('forest', 3)", "store.narrow()"])
def test_a_crash_between_the_two_files_is_healed_by_the_next_run(store, step):
    """Killed for good after the first of two files, in a process of its own; the next writer makes both the same."""
    store.publish(planned(1))
    store.publish(planned(3))
    store.write_ensemble(ensemble(1, version=1))
    if "narrow" not in step:
        store.narrow()
    path = [str(Path(__file__).parent), *sys.path]
    run = subprocess.run([sys.executable, "-c", KILLED.format(path=path, root=str(store.root), step=step)])
    main, twin = served(store)

    with store.alone():
        healed = served(store)
    store.narrow()

    assert run.returncode == -signal.SIGKILL
    assert main != twin
    assert healed == [sorted({*main, *twin})] * 2
    assert served(store) == [[1], [1]]


def test_a_publication_that_was_killed_between_the_two_files_is_completed_by_the_same_again(store):
    """Without the lock's clearing up, too: the second try reads both and writes both."""
    store.publish(planned(1))
    configs = store.twins("forest")
    store.publish(planned(2))
    (store.models / "forest/config.pbtxt").write_text(str(configs.main))

    store.publish(planned(2))

    assert served(store) == [[1, 2]] * 2


def test_a_plan_for_one_more_gpu_joins_a_version(store):
    """Each host of a mixed fleet builds for its own GPU, and what is there stays as it is."""
    store.publish(planned(1, gpus=("8.9",)))

    store.publish(planned(1, gpus=("9.0",)))

    assert (store.models / "forest/1/model.sm90.plan").is_file()
    assert dict(store.config("forest").cc_model_filenames) == {"8.9": "model.sm89.plan", "9.0": "model.sm90.plan"}


def test_a_note_without_its_plan_is_written_again(store):
    """The plan comes after its note, so a crash between them leaves a note that tells of nothing."""
    store.publish(planned(1))
    (store.models / "forest/1/model.sm90.plan.json").write_text("of a crash")

    store.publish(planned(1, gpus=("8.9", "9.0")))

    assert (store.models / "forest/1/model.sm90.plan.json").read_text() == "note"


def test_another_plan_for_the_same_gpu_is_other_bytes(store):
    """A plan is written once, as everything in a version is."""
    store.publish(planned(1))

    with pytest.raises(StoreError, match="already in the store with other bytes"):
        store.publish(planned(1, plan="another"))


def test_the_graph_alone_of_a_version_with_plans_is_no_change_to_its_files(store):
    """The way back: ``target: onnx`` again serves the graph that lies beside the plans."""
    store.publish(planned(1))

    store.publish(candidate(1))

    assert (store.models / "forest/1/model.sm89.plan").is_file()
    assert store.config("forest").backend == "onnxruntime"
    assert not (store.models / "forest/configs/embedded.pbtxt").exists()


def test_a_served_version_gets_its_plans_by_being_promoted_again(store):
    """The way there, in two steps: first the version that is served, then the next."""
    store.publish(candidate(1))
    with pytest.raises(BreakingChange, match="version 1 has no TensorRT plan.*promote that version with `target: tens"):
        store.publish(planned(2))

    store.publish(planned(1))
    store.publish(planned(2))

    assert served(store) == [[1, 2]] * 2


def test_a_version_without_a_plan_that_others_have_is_refused(store):
    """Servers with such a GPU serve from it, and all versions share the configuration."""
    store.publish(planned(1, gpus=("8.6", "8.9")))

    with pytest.raises(BreakingChange, match=r"version 2 comes without a TensorRT plan for compute capability 8\.6"):
        store.publish(planned(2, gpus=("8.9",)))


def test_a_version_with_a_plan_more_is_welcome(store):
    """Nobody could load the versions before it on such a GPU."""
    store.publish(planned(1, gpus=("8.9",)))

    store.publish(planned(2, gpus=("8.9", "9.0")))

    assert sorted(store.config("forest").cc_model_filenames) == ["8.9", "9.0"]


def test_batches_are_built_into_plans(store):
    """Triton refuses a plan for smaller batches than the configuration says."""
    store.publish(planned(1, batch=8))

    for batch in (4, 16):
        with pytest.raises(BreakingChange, match=r"batches of up to 8 rows.*serving.max_batch_size: 8"):
            store.publish(planned(2, batch=batch))


def test_a_version_of_another_kind_is_refused(store):
    """One configuration has one backend: a Python copy has no graph, and a graph no Python."""
    store.publish(candidate(1))
    python = onnx_config("forest", [X], [Y], Serving(max_batch_size=8), [2])
    python.backend = "python"

    with pytest.raises(BreakingChange, match="served by Triton's onnxruntime backend and would be by python"):
        store.publish(Candidate(model="forest", version=2, configs=Configs(python), write=lambda d: None))


def test_what_would_be_refused_is_refused_by_the_check_alone(store):
    """Before anything is written, of any candidate."""
    store.publish(planned(1, gpus=("8.6", "8.9")))
    before = names(store)

    with pytest.raises(BreakingChange, match="comes without a TensorRT plan"):
        store.check(planned(2, gpus=("8.9",)))

    assert names(store) == before


def test_a_twin_is_of_the_same_model():
    """Two configurations of two models are a mistake of the caller."""
    with pytest.raises(ValueError, match="twins of one model, got forest and other"):
        Configs(planned().configs.main, ensemble_config("other", 1, [], [X], [Y], 8))


def _mounted(folder: Path, options: str) -> Path:
    folder.mkdir()
    mount = shutil.which("mount")
    tried = mount and subprocess.run([mount, "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True)
    if not tried or tried.returncode:
        pytest.skip("needs the right to mount a small file system")
    return folder
