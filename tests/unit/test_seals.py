"""Seals: a release whose files are not what was proven is not loaded, and damage is not sealed anew."""

from __future__ import annotations

from dataclasses import replace

import pytest

from made_releases import make, serve
from sextant.errors import StoreError
from sextant_export.config import Configs, onnx_config, tensorrt_config
from sextant_export.pipeline import Serving
from sextant_export.receipt import read_receipt
from sextant_export.seals import require_sound, sealed, with_seals
from sextant_export.store import Candidate, Store

HASH = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
"""Of a file without a byte."""


@pytest.fixture
def store(tmp_path):
    """Two pipelines that share a member, each sealed and served."""
    store = Store(tmp_path / "store").prepare()
    serve(store, with_seals(store, make(store, 1, forest=3)))
    serve(store, with_seals(store, make(store, 1, forest=3, pipeline="rooms")))
    return store


def test_a_seal_is_what_sha256sum_prints(tmp_path):
    """Of every file but what Python leaves beside it."""
    store = Store(tmp_path).prepare()
    folder = store.models / "forest" / "3"
    (folder / "__pycache__").mkdir(parents=True)
    for name in ("empty", "__pycache__/model.pyc"):
        (folder / name).touch()

    assert sealed(store, [("forest", 3)]) == {"forest/3": {"empty": HASH}}


def planned(version, gpus):
    files = {gpu: f"model.sm{gpu.replace('.', '')}.plan" for gpu in gpus}
    inputs, outputs = [], []
    configs = Configs(
        tensorrt_config("oak", inputs, outputs, Serving(), [version], files),
        onnx_config("oak", inputs, outputs, Serving(), [version]),
    )

    def write(folder):
        (folder / "model.onnx").write_text("graph")
        for name in files.values():
            (folder / name).write_text("plan")
            (folder / f"{name}.json").write_text("note")

    return Candidate(model="oak", version=version, configs=configs, write=write)


def test_a_plan_that_joins_a_version_later_harms_no_seal(store):
    """The release that brings it seals it; the one before does not know it."""
    store.publish(planned(1, ["8.9"]))
    before = replace(read_receipt(store, "locate", 1), digests=sealed(store, [("oak", 1)]))

    store.publish(planned(1, ["8.9", "9.0"]))
    require_sound(store, before)
    (store.models / "oak" / "1" / "model.sm89.plan").write_text("other")

    with pytest.raises(StoreError, match=r"model\.sm89\.plan has other bytes"):
        require_sound(store, before)


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (lambda path: path.write_text("changed"), "other bytes than it had when it was proven for locate.r1"),
        (lambda path: path.unlink(), "is gone, and belongs to locate.r1"),
        (lambda path: path.with_name("extra.py").touch(), "does not belong to locate.r1"),
    ],
    ids=["changed", "missing", "unexpected"],
)
def test_a_release_that_is_not_sound_is_not_loaded(store, harm, sentence):
    """The sentence names the file and says what to do."""
    receipt = read_receipt(store, "locate", 1)
    require_sound(store, receipt)
    harm(store.models / "forest" / "3" / "model.onnx")

    with pytest.raises(StoreError, match=f"locate.r1 is not loaded: .*{sentence}"):
        require_sound(store, receipt)


def test_damage_is_not_sealed_anew(store):
    """A file that changed in the store since another release sealed it is not what this one was proven with."""
    (store.models / "forest" / "3" / "model.onnx").write_text("changed")

    with pytest.raises(StoreError, match=r"forest/3/model\.onnx has other bytes .* for locate.r1"):
        with_seals(store, read_receipt(store, "rooms", 1))
