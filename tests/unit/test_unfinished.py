"""Staging that ends in the middle, by an error or by a kill, leaves nothing in the store for long."""

from __future__ import annotations

import json

import pytest

from made_releases import make, served
from sextant.errors import StoreError
from sextant_export.evidence import proof_path
from sextant_export.store import Store
from sextant_export.unfinished import NOTE, all_or_none, clear_unfinished, unfinished
from sextant_export.verification import verify


@pytest.fixture
def store(tmp_path):
    """One release, which serves."""
    store = Store(tmp_path / "store").prepare()
    served(store, 1)
    return store


def files(store):
    return {path.relative_to(store.root).as_posix() for path in store.root.rglob("*") if path.name != ".lease"}


def found(store):
    """Where `verify` finds what, by the kind of it."""
    kinds = {finding.kind: set() for finding in verify(store)}
    for finding in verify(store):
        kinds[finding.kind].add(str(finding.where))
    return kinds


def stage(store, then):
    """A second release with a new version of a member, *then* before its receipt is written."""
    before = {model: store.versions(model) for model in store.configs()}
    with all_or_none(store, "locate", 2, [("forest", 2), ("locate.scale", 2)]):
        make(store, 2, forest=2)
        assert {model: store.versions(model) for model in store.configs()} != before
        (store.releases / "locate" / "r2.json").unlink()
        store.remove("locate.r2")
        then()


def test_an_error_leaves_nothing(store):
    before, policy = files(store), store.twins("forest")

    def full():
        raise StoreError("no room")

    with pytest.raises(StoreError, match="no room"):
        stage(store, full)

    assert files(store) == before
    assert store.twins("forest") == policy


def test_a_kill_leaves_what_whoever_comes_next_takes_out(store):
    """Until then `verify` says that its writer is at work, or was killed."""
    before, said = files(store), found(store)
    stage(store, lambda: None)
    (store.releases / "locate" / NOTE).write_text(
        json.dumps({"release": 2, "versions": [["forest", 2], ["locate.scale", 2]]})
    )
    (store.releases / "locate" / ".r2.json.partial").touch()
    proof_path(store, "locate", 2).touch()

    assert unfinished(store) == {("forest", 2), ("locate.scale", 2)}
    assert found(store)["left over"] == {
        "models/forest/2",
        "models/forest/config.pbtxt",
        "models/locate.scale/2",
        "models/locate.scale/config.pbtxt",
        "releases/locate/.r2.json.partial",
        f"releases/locate/{NOTE}",
        "releases/locate/r2.proof.npz",
    }
    assert "unexpected" not in found(store)
    clear_unfinished(store, "locate")

    assert (files(store), found(store)) == (before, said)


def test_what_somebody_else_has_come_to_need_stays(store):
    """Another pipeline was promoted meanwhile with the same version of a member."""
    make(store, 2, forest=2)
    (store.releases / "locate" / NOTE).write_text(json.dumps({"release": 3, "versions": [["forest", 2]]}))

    clear_unfinished(store, "locate")

    assert 2 in store.versions("forest")
    assert unfinished(store) == set()


@pytest.mark.parametrize("content", ["", "{}", '{"release": 2'], ids=["empty", "other", "cut off"])
def test_a_note_that_was_cut_off_says_nothing(store, content):
    """It was written before anything was staged."""
    before = files(store)
    (store.releases / "locate" / NOTE).write_text(content)

    clear_unfinished(store, "locate")

    assert files(store) == before
