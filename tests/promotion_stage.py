"""A small world with a Triton on its store, and such worlds as promotions have left them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from sklearn.linear_model import Ridge
from tritonclient.grpc.service_pb2 import ModelConfigRequest

from sextant_client import Client
from sextant_export.pipeline import load_pipeline
from sextant_promote.control import Control
from sextant_promote.promotion import promote, rollback
from sextant_server import EmbeddedTriton
from small_world import World


class ServedWorld:
    """A world with a Triton on its store, and the control of it."""

    def __init__(self, world, store=None, log=None):
        self.world, self.store = world, store or world.store
        self.triton = EmbeddedTriton(self.store.root, log=log)

    def __enter__(self):
        self.triton.start()
        self.control = Control(self.triton.address.grpc, self.triton.address.token)
        return self

    def __exit__(self, *exception):
        self.control.close()
        self.triton.stop()


class Stage(ServedWorld):
    """A small world that is promoted, asked and rolled back."""

    def promote(self, pipeline=None):
        return promote(pipeline or load_pipeline(self.world.spec), self.store, self.world.registry, self.control)

    def rollback(self, to=None):
        return rollback(self.store, "locate", self.control, to)

    def ask(self, features):
        with Client(self.triton.address.grpc) as client:
            return client.pipeline("locate")(features)

    def new_ridge(self, alpha):
        return self.world.register("ridge", Ridge(alpha=alpha))

    def loaded(self, model):
        """The configuration that the server goes by, which may lag behind the store's."""
        return self.control._call("ModelConfig", ModelConfigRequest(name=model)).config

    def models(self):
        return sorted(path.name for path in self.store.models.iterdir())


def keep(world: World, folder: Path) -> None:
    """Copy the *world* as it is now to *folder*, which is not there yet."""
    shutil.copytree(world.root, folder, ignore=shutil.ignore_patterns("artifacts", "server.json", "*.log"))


def resumed(world: World, kept: Path, root: Path) -> World:
    """A copy under *root* of the *world* that was *kept*."""
    shutil.copytree(kept, root, dirs_exist_ok=True)
    return replace(world, root=root)


def tell(world: World, kept: Path) -> None:
    """
    Promote the *world* twice, and keep it as it is after each, in ``kept/served`` and ``kept/moved``.

    A test that begins where a promotion ends begins with a copy: the release is loaded as the server starts.
    """
    world.write_spec()
    with Stage(world) as stage:
        stage.promote()
        keep(world, kept / "served")
        stage.new_ridge(alpha=50.0)
        stage.promote()
        keep(world, kept / "moved")
