"""MLflow's own HTTP server: a registry behind it is the same registry, and its webhooks wake a watch."""

from __future__ import annotations

import queue
import threading

import pytest
from mlflow import MlflowClient

from mlflow_server import mlflow_server
from promotion_stage import Stage, resumed
from sextant.errors import RegistryError
from sextant_cli.doctor.settings.registry import REGISTRY
from sextant_cli.doctor.settings.told import Told
from sextant_export.registry import Registry
from sextant_export.settings import Settings
from sextant_promote.bell import Bell
from sextant_promote.fleet import Fleet, Server
from sextant_promote.hooks import Hook
from sextant_promote.watch import Post, watch

pytestmark = pytest.mark.e2e

SECRET = "a secret of the test"
PRIVATE = {"MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true", "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http"}
"""What lets MLflow deliver to this machine, without TLS."""


@pytest.fixture(scope="module")
def moved_world(first_world, kept, tmp_path_factory):
    """A world whose second release serves, and whose first is an alias away."""
    return resumed(first_world, kept / "moved", tmp_path_factory.mktemp("behind"))


@pytest.fixture(scope="module")
def address(moved_world):
    """Where the server of its registry answers."""
    with mlflow_server(moved_world, **PRIVATE) as address:
        yield address


def test_a_registry_behind_http_gives_the_same_artifact(moved_world, address, tmp_path):
    here, remote = moved_world.registry, Registry(address)

    found = remote.resolve("models:/forest@champion")

    assert remote.fetch(found, tmp_path / "a").digest == here.fetch(found, tmp_path / "b").digest
    with pytest.raises(RegistryError, match=r"no registered model 'forst'; did you mean 'forest'?"):
        remote.resolve("models:/forst@champion")


def test_the_doctor_passes_a_registry_on_loopback_that_asks_for_nothing(address, monkeypatch):
    """Beyond loopback it is a finding: whoever may register a model has his code run."""
    told = Told(settings=Settings(), registry=address)
    alone = list(REGISTRY.look(told))
    monkeypatch.setattr("sextant_cli.doctor.settings.registry.loopback", lambda _: False)

    (found,) = REGISTRY.look(told)

    assert alone == []
    assert "answers whoever asks, without credentials, and without TLS" in found.found
    assert "--no-pickle" in found.change


def test_a_webhook_wakes_the_watch(moved_world, address):
    """An alias moves in MLflow's server, which delivers; the watch would have looked an hour later."""
    heard, bell = queue.Queue(), Bell()
    with Stage(moved_world) as stage, Hook("127.0.0.1", 0, SECRET, bell.ring) as hook:
        fleet = Fleet(stage.store, [Server(stage.control)])
        post = Post(store=stage.store, registry=moved_world.registry, fleet=lambda: fleet, told=heard.put, every_s=3600)
        watching = threading.Thread(target=watch, args=([moved_world.spec], post, bell))
        watching.start()
        try:
            client = MlflowClient(address, registry_uri=address)
            client.create_webhook("sextant", hook.url, ["model_version_alias.created"], secret=SECRET)
            client.set_registered_model_alias("ridge", "champion", "1")
            while (notice := heard.get(timeout=150)).event != "rolled back":
                pass
        finally:
            bell.end()
            watching.join()

    assert notice.release == 1
