"""A store is sound, or ``verify`` says what is not: one changed byte, one file too many, one too few."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from made_releases import make, serve
from sextant.errors import StoreError
from sextant_export.config import CANDIDATE, Configs, onnx_config, tensorrt_config
from sextant_export.evidence import proof_path
from sextant_export.journal import note
from sextant_export.pipeline import Serving
from sextant_export.receipt import read_receipt, receipt_path, write_receipt
from sextant_export.seals import require_sound, with_seals
from sextant_export.store import TWIN, Candidate, Store
from sextant_export.verification import verify
from sextant_export.verification.finding import KINDS

HASH = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def release(store, number, **facts):
    """Release *number*, sealed and served."""
    receipt = with_seals(store, make(store, number, **facts))
    serve(store, receipt)
    return read_receipt(store, receipt.pipeline, number)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two pipelines that share a member: r1 and r2 of one, r1 of the other."""
    store = Store(tmp_path_factory.mktemp("made") / "store").prepare()
    release(store, 1, forest=3)
    release(store, 2, forest=4)
    release(store, 1, forest=4, pipeline="rooms")
    return store


@pytest.fixture
def store(made, tmp_path):
    """A copy of its own for each test."""
    return Store(shutil.copytree(made.root, tmp_path / "store"))


def said(store, pipeline=None):
    return [(finding.kind, finding.where) for finding in verify(store, pipeline)]


def first(store):
    return verify(store)[0]


def every_file(store):
    return sorted(path for path in store.root.rglob("*") if path.is_file())


def test_a_sound_store_has_no_finding(store):
    """Nor has a part of it."""
    assert verify(store) == verify(store, "rooms") == ()


def test_one_changed_byte_in_any_file_is_found(store):
    """Version, configuration, receipt, evidence, even the file that keeps a folder: its first byte, and one inside."""
    files = every_file(store)
    missed = []
    for path in files:
        whole = path.read_bytes()
        for place in (0, len(whole) // 2):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            if path.relative_to(store.root).as_posix() not in {finding.where for finding in verify(store)}:
                missed.append((path, place))
        path.write_bytes(whole)

    assert len(files) > 15
    assert missed == []
    assert verify(store) == ()


def test_a_receipt_in_another_layout_is_not_the_one_that_was_written(store):
    """Its content is sealed; that no byte was changed is more."""
    path = receipt_path(store, "locate", 1)
    path.write_text(path.read_text().replace('": 1', '":  1', 1))

    assert said(store) == [("receipt", "releases/locate/r1.json")]


@pytest.mark.parametrize("file", ["models/forest/4/model.onnx", "releases/locate/r2.proof.npz"])
def test_a_missing_file_is_found(store, file):
    """What a release is made of, and what proved it."""
    (store.root / file).unlink()

    assert said(store) == [("missing", file)]


def test_a_missing_version_is_told_with_the_releases_that_need_it(store):
    """So that whoever restores it knows what to make anew."""
    shutil.rmtree(store.models / "forest" / "4")

    assert first(store).where == "models/forest/4/model.onnx"
    assert "locate.r2, rooms.r1" in first(store).what


@pytest.mark.parametrize(
    "file",
    [
        "stray.txt",
        "intruder/1/model.py",
        "forest/notes.txt",
        "forest/3/extra.py",
        "forest/9/model.onnx",
        "forest/configs/other.pbtxt",
        "locate/1/model.py",
    ],
)
def test_a_file_that_no_receipt_knows_is_found(store, file):
    """Triton loads what stands in its repository, and Python imports what stands beside it."""
    path = store.models / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("print('hello')")

    kind, where = said(store)[0]

    assert kind == "unexpected"
    assert path.is_relative_to(store.root / where)


def test_a_link_is_no_file(store):
    """What it points to may change at any time."""
    graph = store.models / "forest" / "3" / "model.onnx"
    graph.rename(store.root / "elsewhere.onnx")
    graph.symlink_to(store.root / "elsewhere.onnx")

    assert said(store) == [("missing", "models/forest/3/model.onnx"), ("unexpected", "models/forest/3/model.onnx")]


@pytest.mark.parametrize(
    "left",
    [
        "models/forest/.5.partial/model.onnx",
        "models/forest/.config.pbtxt.x1",
        "releases/.forest.a1.partial/config.pbtxt",
        "releases/locate/.r3.json.partial",
        "releases/locate/r3.proof.npz",
    ],
)
def test_what_a_killed_writer_left_is_found(store, left):
    """Nothing reads it, and it takes up room."""
    path = store.root / left
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()

    (found,) = verify(store)

    assert found.kind == "left over"
    assert path.is_relative_to(store.root / found.where)


def test_notes_among_the_receipts_are_nobodys_business(store):
    """Journals and leases stand there too."""
    (store.releases / "locate" / "notes.txt").touch()
    (store.releases / "locate" / ".lease").touch()

    assert verify(store) == ()


def change(store, model, edit):
    config = store.config(model)
    edit(config)
    store.write_configs(Configs(config))


def test_a_setting_that_no_receipt_knows_is_found(store):
    """Two releases may differ in them, and one of them must have said it."""
    change(store, "forest", lambda config: setattr(config, "max_batch_size", 9))

    assert said(store) == [("configuration", "models/forest/config.pbtxt")]
    assert "max_batch_size" in first(store).what


def test_a_policy_without_a_version_that_is_wired_is_found(store):
    """The next load of it would break a release."""
    change(store, "forest", lambda config: config.version_policy.specific.versions.remove(3))

    assert "does not serve version 3" in first(store).what


def test_a_policy_with_more_than_is_wired_is_left_over(store):
    """As an interrupted promotion leaves it."""
    change(store, "locate.scale", lambda config: None)
    release(store, 3, forest=4)
    store.widen("locate.scale", 1)

    assert said(store) == [("left over", "models/locate.scale/config.pbtxt")]


def test_a_front_that_is_wired_otherwise_than_it_claims_is_found(store):
    """It says r2 and asks the member of r1."""
    change(store, "locate", lambda config: setattr(config.ensemble_scheduling.step[0], "model_version", 3))

    assert said(store)[0] == ("configuration", "models/locate/config.pbtxt")
    assert "not the ensemble of locate.r2" in first(store).what


def test_a_front_of_a_release_without_a_receipt_is_found(store):
    """Nobody can say what it should be; models are not called strangers while a receipt is missing its word."""
    receipt_path(store, "locate", 2).write_text("{}")

    kinds = said(store)

    assert kinds[:2] == [("receipt", "releases/locate/r2.json"), ("configuration", "models/locate/config.pbtxt")]
    assert "unexpected" not in dict(kinds)


def test_a_front_of_a_release_that_never_passed_is_found(store):
    """It is served all the same."""
    write_receipt(store, read_receipt(store, "locate", 2).ended("refused"))

    assert "serves r2, which its receipt calls refused" in first(store).what


def test_a_canary_that_was_killed_is_left_over(store):
    """Its front is a router, in a version of its own beside the ensemble's."""
    front = store.config("locate")
    router = ModelConfig(name="locate", backend="python", input=front.input, output=front.output)
    router.parameters[CANDIDATE].string_value = "1"
    store.add_version("locate", 1700000000, lambda folder: (folder / "model.py").touch())
    store.write_configs(Configs(router))

    assert said(store) == [("left over", "models/locate/1700000000"), ("left over", "models/locate/config.pbtxt")]


def test_a_front_that_is_gone_is_found(store):
    """Its release serves, by its receipt."""
    store.remove("locate")

    assert said(store) == [("configuration", "models/locate/config.pbtxt")]


def test_one_pipeline_alone_is_verified(store):
    """With the members that it shares, and without what is wrong elsewhere."""
    (store.models / "locate.scale" / "1" / "model.onnx").write_text("changed")
    (store.models / "stray").touch()

    assert said(store, "rooms") == []
    assert said(store, "locate") == [("changed", "models/locate.scale/1/model.onnx")]


def test_a_shared_member_is_everybodys(store):
    """Damage to it is damage to both."""
    (store.models / "forest" / "4" / "model.onnx").write_text("changed")

    assert said(store, "rooms") == said(store, "locate") == [("changed", "models/forest/4/model.onnx")]


def test_the_worst_comes_first(store):
    """A receipt before a file, a file before a leftover."""
    (store.releases / ".x.partial").touch()
    (store.models / "forest" / "3" / "model.onnx").write_text("changed")
    receipt_path(store, "rooms", 1).write_text("{}")

    kinds = [kind for kind, _ in said(store)]

    assert kinds == sorted(kinds, key=KINDS.index)
    assert (kinds[0], kinds[-1]) == ("receipt", "left over")


@pytest.mark.parametrize("outcome", ["refused", "removed"])
def test_a_release_that_is_no_more_needs_no_files(store, outcome):
    """Its models may be gone; what is left of them is still what it was."""
    refused = with_seals(store, make(store, 3, forest=5))
    write_receipt(store, refused.ended(outcome))
    store.remove("locate.r3")
    store.narrow()
    shutil.rmtree(store.models / "forest" / "5")

    assert verify(store) == ()

    (store.models / "locate.scale" / "3" / "model.onnx").write_text("changed")
    assert said(store) == [("changed", "models/locate.scale/3/model.onnx")]


def test_a_version_that_was_made_anew_is_what_the_release_that_is_there_says(store):
    """What a removed one had under the same number is history."""
    removed = with_seals(store, make(store, 3, forest=5))
    history = {"forest/5": {"model.onnx": HASH, "gone.bin": HASH}}
    write_receipt(store, replace(removed, digests={**removed.digests, **history}).ended("removed"))
    store.remove("locate.r3")

    release(store, 4, forest=5)

    assert verify(store) == ()


def test_a_pruned_release_needs_no_files(store):
    """The journal says so before they go."""
    note(store, "locate", "pruned", 1)
    store.remove("locate.r1")
    store.narrow()
    shutil.rmtree(store.models / "forest" / "3")
    shutil.rmtree(store.models / "locate.scale" / "1")
    proof_path(store, "locate", 1).unlink()

    assert verify(store) == ()


def test_a_receipt_without_seals_is_said_to_have_none(store):
    """It can be read and rolled back to; its files cannot be verified."""
    write_receipt(store, replace(read_receipt(store, "locate", 1), digests={}, evidence=None))

    assert said(store) == [("unsealed", "releases/locate/r1.json")]
    require_sound(store, read_receipt(store, "locate", 1))


def test_a_twin_is_verified_as_its_model_is(store):
    """Gone, or saying what no receipt says."""
    twins = tensorrt_config("oak", [], [], Serving(), [1], {}), onnx_config("oak", [], [], Serving(), [1])
    store.publish(Candidate(model="oak", version=1, configs=Configs(*twins), write=lambda at: (at / "a.plan").touch()))
    receipt = read_receipt(store, "locate", 2)
    texts = [text_format.MessageToString(twin) for twin in twins]
    changed = {"models": (*receipt.models, ("oak", 1)), "configs": {**receipt.configs, "oak": texts}}
    write_receipt(store, with_seals(store, replace(receipt, **changed)))
    assert verify(store) == ()

    twin = store.models / "oak" / TWIN
    twin.write_text(twin.read_text().replace("onnxruntime", "onnxruntimf"))
    assert said(store) == [("configuration", "models/oak/configs/embedded.pbtxt")]
    twin.unlink()
    assert said(store) == [("configuration", "models/oak/configs/embedded.pbtxt")]


def test_a_place_without_a_store_is_said(tmp_path):
    """As is a pipeline that it has not."""
    with pytest.raises(StoreError, match="is no store"):
        verify(Store(tmp_path))


def test_a_pipeline_that_is_not_there_is_guessed(store):
    """A word misspelt is no empty answer."""
    with pytest.raises(StoreError, match="did you mean 'rooms'"):
        verify(store, "room")
