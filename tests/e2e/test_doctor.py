"""``sextant doctor`` on a promoted pipeline: what the command says while all is well, and what when it is not."""

from __future__ import annotations

import json

import pytest

from promotion_stage import Stage, resumed
from sextant_cli.command import run

pytestmark = pytest.mark.e2e

ACCEPTED = ("--skip", "version", "--skip", "cores-served")
"""What of the embedded Triton on a small machine is known, and accepted for development."""


@pytest.fixture(scope="module")
def served(first_world, kept, tmp_path_factory):
    """A stage whose first release serves, for all that look at it."""
    with Stage(resumed(first_world, kept / "served", tmp_path_factory.mktemp("examined"))) as stage:
        yield stage


@pytest.fixture
def doctor(served, capsys, monkeypatch):
    """Runs the command on the served world; gives its exit code, and what it printed as an object."""
    monkeypatch.chdir(served.world.root)
    for variable in ("SEXTANT_SERVER", "SEXTANT_STORE", "SEXTANT_TOKEN", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(variable, raising=False)
    served.store.root.chmod(0o700)

    def look(*options):
        code = run(["doctor", "--store", "store", "--registry", "sqlite:///mlflow.db", "--json", *options])
        return code, json.loads(capsys.readouterr().out or "null")

    return look


def test_a_promoted_pipeline_passes_but_for_the_version_of_the_embedded_triton(served, doctor):
    """Its control APIs ask for the token, it serves what the store says, and nothing was changed by looking."""
    before = served.loaded("locate"), served.models()

    code, said = doctor()
    accepted, _ = doctor(*ACCEPTED)

    assert (code, accepted) == (1, 0)
    assert [found["check"] for found in said["findings"] if found["severity"] != "note"] == ["version"]
    assert {each["check"] for each in said["passed"]} >= {
        "open-control",
        "drift",
        "dead-processes",
        "models",
        "metrics",
    }
    assert said["not_made"] == []
    assert (served.loaded("locate"), served.models()) == before


def test_a_wrong_token_shows_nothing_that_it_would_open(served, doctor):
    """Its findings are those of anybody; what the token would show is not passed."""
    code, said = doctor("--token", "wrong", *ACCEPTED)

    assert code == 0
    assert {each["check"] for each in said["not_made"]} >= {"models", "drift", "dead-processes", "cores-served"}
    assert "open-control" in {each["check"] for each in said["passed"]}


def test_a_server_that_lost_a_model_has_drifted(served, doctor):
    """It comes last, because nobody loads it again."""
    served.control.unload("ridge")

    code, said = doctor(*ACCEPTED)

    (drift,) = [found for found in said["findings"] if found["check"] == "drift"]
    assert code == 1
    assert drift["severity"] == "warning"
    assert drift["found"].startswith("locate: it does not serve ridge version 1, locate.r1 version 1, locate version 1")
