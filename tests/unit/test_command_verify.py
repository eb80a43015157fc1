"""``sextant verify`` says what it found, and its exit code says whether it found anything."""

from __future__ import annotations

import json

import pytest

from made_releases import make, serve
from sextant_cli.command import run
from sextant_export.seals import with_seals
from sextant_export.store import Store


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = Store(tmp_path / "store").prepare()
    serve(store, with_seals(store, make(store, 1, forest=3)))
    return store


def test_a_sound_store_ends_with_0(store, capsys):
    """One line, on stdout."""
    assert run(["verify", "--store", "store"]) == 0
    assert capsys.readouterr().out == "store: sound, to the byte\n"


def test_a_finding_ends_with_1_and_says_what_to_do(store, capsys):
    """Where, what, and what to do."""
    (store.models / "forest" / "3" / "model.onnx").write_text("changed")

    assert run(["verify", "locate", "--store", "store"]) == 1

    said = capsys.readouterr().out.splitlines()
    assert said[:2] == ["locate in store: 1 finding", "changed"]
    assert said[2].startswith(
        "  models/forest/3/model.onnx has other bytes than when it was proven (locate.r1): restore"
    )


def test_machines_get_the_same(store, capsys):
    """As one JSON object."""
    (store.models / "stray").touch()

    assert run(["verify", "--store", "store", "--json"]) == 1

    said = json.loads(capsys.readouterr().out)
    assert (said["sound"], [found["where"] for found in said["findings"]]) == (False, ["models/stray"])


def test_the_key_that_checks_is_the_one_in_the_settings(store, tmp_path, capsys):
    """A requirement without a signature is a finding."""
    pytest.importorskip("model_signing", reason="the extra signing is not installed")
    (tmp_path / "sextant.toml").write_text('[signing]\npublic_key = "key.pub"\nrequired = true\n')

    assert run(["verify", "--store", "store"]) == 1
    assert "r1.sig does not sign locate.r1 (there is no" in capsys.readouterr().out
