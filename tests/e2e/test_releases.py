"""The releases of a pipeline through their life: told, compared, pruned, and gone back to, on a running Triton."""

from __future__ import annotations

import json
import shutil
import threading
from dataclasses import dataclass, field, replace

import pytest
from click.testing import CliRunner
from sklearn.linear_model import Ridge

from sextant.errors import SextantError, StoreError
from sextant_cli.verbs.diff import diff
from sextant_cli.verbs.history import history
from sextant_cli.verbs.prune import prune
from sextant_cli.verbs.status import status
from sextant_client import Client
from sextant_export.pipeline import load_pipeline
from sextant_promote.control import Control
from sextant_promote.promotion import promote, rollback
from sextant_server import EmbeddedTriton
from small_world import World, draw

pytestmark = pytest.mark.e2e

ROW = draw(1, seed=9).features[0]
MEMBERS = {"members": {"ridge": "models:/ridge@champion", "knn": "models:/knn@champion"}}


@dataclass
class Story:
    """What was said and answered while four releases were promoted, one rolled back, one pruned."""

    world: World
    said: dict[str, str] = field(default_factory=dict)
    answered: set[int] = field(default_factory=set)
    failures: list[SextantError] = field(default_factory=list)

    def run(self, verb, *words):
        """The output of *verb* on the story's store."""
        return CliRunner().invoke(verb, [*words, "--store", str(self.world.store.root)]).output

    def tell(self, control):
        """Promote, roll back, prune under a caller that never pauses, roll back again."""
        for alpha in (None, 20.0, 30.0, 40.0):
            if alpha is not None:
                self.world.register("ridge", Ridge(alpha=alpha))
            promote(load_pipeline(self.world.spec), self.world.store, self.world.registry, control)
        rollback(self.world.store, "locate", control)
        server = ["--server", control.url, "--token", control._metadata[0][1]]
        self.said["status"] = self.run(status, *server)
        self.said["history"] = self.run(history, "locate")
        self.said["diff"] = self.run(diff, "locate", "r2", "4")
        with Callers(self, control.url):
            self.said["prune"] = self.run(prune, "locate", "--keep", "1", *server)
        self.said["json"] = self.run(status, "--json", *server)
        self.ready = control.ready()
        self.back = rollback(self.world.store, "locate", control)
        with pytest.raises(StoreError) as refused:
            rollback(self.world.store, "locate", control, 1)
        self.said["refused"] = str(refused.value)
        with Client(control.url) as client:
            self.last = client.pipeline("locate")(ROW).release


class Callers:
    """Two callers that ask without a pause while the block runs."""

    def __init__(self, story, url):
        self.story, self.url, self.stopped, self.asking = story, url, threading.Event(), threading.Event()
        self.threads = [threading.Thread(target=self.call) for _ in range(2)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        self.asking.wait(60)

    def __exit__(self, *exception):
        self.stopped.set()
        for thread in self.threads:
            thread.join()

    def call(self):
        with Client(self.url) as client:
            while not self.stopped.is_set():
                try:
                    self.story.answered.add(client.pipeline("locate")(ROW).release)
                except SextantError as error:
                    self.story.failures.append(error)
                self.asking.set()


@pytest.fixture(scope="module")
def story(first_world, tmp_path_factory):
    """Told once, on a Triton of its own."""
    root = tmp_path_factory.mktemp("releases")
    shutil.copyfile(first_world.root / "mlflow.db", root / "mlflow.db")
    world = replace(first_world, root=root)
    world.write_spec(MEMBERS)
    story = Story(world)
    with EmbeddedTriton(world.store.root) as triton, Control(triton.address.grpc, triton.address.token) as control:
        story.tell(control)
        triton.check()
    return story


def test_pruning_drops_no_request(story):
    """The release that serves goes on answering, and is the only one that does."""
    assert story.failures == []
    assert story.answered == {3}


def test_what_nobody_needs_is_in_no_server_and_not_in_the_store(story):
    """Only version 1 of the one member was the first release's alone."""
    store = story.world.store

    assert store.versions("ridge") == {2, 3, 4}
    assert store.versions("knn") == {1}
    assert story.ready["ridge"] <= {2, 3, 4}
    assert story.ready["locate.fuse"] <= {2, 3, 4}


def test_a_kept_release_is_a_rollback_away_and_a_pruned_one_is_refused_with_the_cure(story):
    assert (story.back.release, story.last) == (2, 2)
    assert "r1 of locate was pruned" in story.said["refused"]
    assert "ridge version 1 and knn version 1 and run `sextant promote`" in story.said["refused"]


def test_what_the_verbs_say(story):
    """Status, history, difference and pruning, of the same releases."""
    said = story.said
    releases = json.loads(said["json"])["pipelines"][0]["releases"]

    assert "locate: r3 serves since 20" in said["status"]
    assert "gates: coverage of the 95% ellipse 0." in said["status"]
    assert said["history"].startswith("locate: r3 serves since 20")
    assert "ridge version 4, knn version 1" in said["history"]
    assert "  ridge.version: 2 -> 4\n" in said["diff"]
    assert "knn.version" not in said["diff"]
    assert said["prune"].startswith("locate: keeps r2, r3, r4; gone: r1\n1 release, ")
    assert [(each["release"], each["pruned"]) for each in releases] == [(4, False), (3, False), (2, False), (1, True)]
