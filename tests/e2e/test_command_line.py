"""The command, as a person types it: its words, its JSON, its exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient

from sextant_server.address import read_address
from small_world import draw
from typed import typed

pytestmark = pytest.mark.e2e

SEXTANT = Path(sys.executable).with_name("sextant")


class Terminal:
    """Runs the command in a world's folder, with its store and registry named in the environment."""

    def __init__(self, world):
        self.world = world
        self.environment = {"SEXTANT_STORE": "store", "MLFLOW_TRACKING_URI": world.registry.tracking_uri}

    def run(self, *words):
        return typed(*words, folder=self.world.root, environment=self.environment)

    def json(self, *words):
        done = self.run(*words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def serving(self, model):
        """What MLflow says of each version of *model*."""
        client = MlflowClient(self.world.registry.tracking_uri)
        versions = client.search_model_versions(f"name='{model}'")
        return {str(version.version): version.tags["sextant.serving"] for version in versions}

    def serve(self):
        return subprocess.Popen(
            [SEXTANT, "serve"],
            cwd=self.world.root,
            env={**os.environ, **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


@pytest.fixture
def terminal(world):
    return Terminal(world)


@pytest.fixture
def serving(terminal):
    server = terminal.serve()
    assert server.stdout.readline()
    yield server
    server.send_signal(signal.SIGINT)
    server.communicate(timeout=30)


def test_from_check_to_removal(terminal, serving):
    """The whole life of two releases, each verb once, each with its JSON."""
    from sklearn.linear_model import Ridge

    np.save(terminal.world.root / "x.npy", draw(2, seed=9).features)
    checked = terminal.json("check", "locate.yaml")
    planned = terminal.json("plan", "locate.yaml")
    promoted = terminal.json("promote", "locate.yaml")
    asked = terminal.json("ask", "locate", "features=@x.npy")
    terminal.world.register("ridge", Ridge(alpha=50.0))
    terminal.json("promote", "locate.yaml")
    found = terminal.json("status")
    rolled = terminal.json("rollback", "locate")
    already = terminal.run("rollback", "locate", "--to", "r1", "--server", read_address(terminal.world.store.root).grpc)
    misspelled = terminal.run("rollback", "lokate")
    removed = terminal.json("remove", "locate")

    assert (checked["sound"], checked["pipeline"], checked["problems"]) == (True, "locate", [])
    assert checked["remarks"][0].startswith("gate.coverage: counted on the rows that the calibration is made of")
    assert (planned["release"], planned["exists"]) == (1, False)
    assert (promoted["release"], promoted["changed"]) == (1, True)
    assert [fix["release"] for fix in asked] == [1, 1]
    assert found["pipelines"][0]["serving"] == 2
    assert (rolled["release"], rolled["replaced"]) == (1, 2)
    assert (already.stdout, already.returncode) == ("locate: r1 serves already\n", 0)  # its own token is known
    assert (misspelled.returncode, "did you mean 'locate'" in misspelled.stderr) == (1, True)
    assert (removed["models"][0], removed["warnings"]) == ("locate", [])
    assert terminal.serving("ridge") == {"1": "false", "2": "false"}
    assert terminal.json("status")["pipelines"][0]["serving"] is None


def test_it_speaks_in_sentences_too(terminal, serving):
    """Results on stdout, narration on stderr."""
    promoted = terminal.run("promote", "locate.yaml")
    again = terminal.run("promote", "locate.yaml")
    found = terminal.run("status")

    assert promoted.stdout == "locate: serves r1\n"
    assert "prove again through Triton" in promoted.stderr
    assert again.stdout == "locate: r1 already serves this\n"
    assert "locate: r1 serves" in found.stdout


def test_every_problem_of_a_page_is_listed_with_exit_code_1(terminal):
    """Each with its address, and a guess."""
    page = terminal.world.spec.read_text().replace("block: fuse", "block: fues").replace("answer:", "anwser:")
    terminal.world.spec.write_text(page)

    done = terminal.run("check", "locate.yaml")

    assert done.returncode == 1
    assert "did you mean 'answer'?" in done.stdout
    assert "did you mean 'fuse'?" in done.stdout


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["promote", "locate.yaml"], 3, "nothing serves this store: run `sextant serve"),
        (
            ["promote", "locate.yaml", "--server", "grpc://127.0.0.1:9"],
            3,
            "no Triton answers at grpc://127.0.0.1:9",
        ),
        (["plan", "nowhere.yaml"], 1, "nowhere.yaml"),
        (["plan", "locate.yaml", "--registry", "http://127.0.0.1:9"], 3, "127.0.0.1:9"),
        (["rollback", "locate", "--to", "0"], 2, "expected a release like r3 or 3"),
        (["promot"], 2, "No such command"),
        (["ask", "locate", "features=@nowhere.npy", "--server", "grpc://127.0.0.1:9"], 1, "nowhere.npy"),
    ],
    ids=["no server", "server away", "no page", "registry away", "usage", "no verb", "no file"],
)
def test_what_goes_wrong_ends_in_one_sentence_and_its_exit_code(terminal, words, code, sentence):
    """No traceback: 1 your file, 2 usage, 3 out of reach."""
    done = terminal.run(*words)

    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
    assert sentence in done.stderr


def test_debug_prints_the_traceback(terminal):
    """For whoever wants to know where it came from."""
    done = terminal.run("--debug", "plan", "nowhere.yaml")

    assert "Traceback" in done.stderr


def test_ctrl_c_stops_a_server_and_leaves_nothing(terminal):
    """No process, no shared memory, no address file."""
    server = terminal.serve()
    assert server.stdout.readline()
    address = read_address(terminal.world.root / "store")

    server.send_signal(signal.SIGINT)
    server.communicate(timeout=30)

    assert not Path(f"/proc/{address.pid}").exists()
    assert not (terminal.world.root / "store" / "server.json").exists()
