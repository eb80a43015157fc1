"""A store: every step one rename, nothing overwritten, nothing half there."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from sextant.errors import BreakingChange, StoreError
from sextant.tensors import Tensor
from sextant_export.config import ensemble_config, onnx_config
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
        model="forest", version=version, config=config, write=lambda d: (d / "model.onnx").write_text(text)
    )


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
        store.publish(Candidate(model="forest", version=1, config=candidate().config, write=fails))

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


def _mounted(folder: Path, options: str) -> Path:
    folder.mkdir()
    mount = shutil.which("mount")
    tried = mount and subprocess.run([mount, "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True)
    if not tried or tried.returncode:
        pytest.skip("needs the right to mount a small file system")
    return folder
