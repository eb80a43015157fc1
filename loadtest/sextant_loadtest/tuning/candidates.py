"""
The models of one release under several settings at once, in a store and on a Triton of their own.

Each setting has an ensemble, wired to copies of the release's members that are configured by it; blocks are as they
are in any release. Files are copied once from the store where they come from, where nothing is written: even a second
name for one would look like a change to the Triton that serves it. The response cache stays out, so that what is
measured is computed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

from sextant_export.config import Configs, set_serving
from sextant_export.pipeline import Serving
from sextant_export.placing import ensemble_of
from sextant_export.receipt import Receipt
from sextant_export.store import Candidate, Store
from sextant_promote.control import Control
from sextant_server import EmbeddedTriton


@dataclass
class Candidates:
    """
    The release of *receipt*, whose files are in the store *source*, as *triton* serves it from the store *own*.

    *control* loads and unloads there; *names* are the ensembles that were made, by their settings, *loaded* those that
    are served.
    """

    receipt: Receipt
    source: Store
    own: Store
    triton: EmbeddedTriton
    control: Control
    names: dict[Serving, str] = field(default_factory=dict)
    loaded: set[Serving] = field(default_factory=set)

    @property
    def url(self) -> str:
        """Where they are asked."""
        return self.triton.address.grpc

    def load(self, setting: Serving) -> str:
        """The ensemble that serves the release by *setting*, loaded; ``LoadFailed`` where that cannot be."""
        name = self.names.setdefault(setting, f"{self.receipt.pipeline}.t{len(self.names) + 1}")
        if setting not in self.loaded:
            self.own.write_ensemble(self._wired(name, setting))
            self.control.load(name)
            self.loaded.add(setting)
        return name

    def unload(self, setting: Serving) -> None:
        """Stop serving what only *setting* needs."""
        if setting not in self.loaded:
            return
        self.loaded.remove(setting)
        name = self.names[setting]
        self.control.unload(name)
        for model, _ in self.receipt.models:
            if model in self._members:
                self.control.unload(f"{name}.{model}")

    def _wired(self, name: str, setting: Serving) -> ModelConfig:
        """The release's ensemble, called *name*, its members published anew with *setting*."""
        ensemble = ensemble_of(self.receipt)
        ensemble.name = name
        for step in ensemble.ensemble_scheduling.step:
            given = setting if step.model_name in self._members else None
            called = f"{name}.{step.model_name}" if given else step.model_name
            self._publish(step.model_name, step.model_version, called, given)
            step.model_name = called
        return ensemble

    def _publish(self, model: str, version: int, called: str, setting: Serving | None) -> None:
        twins = self.source.twins(model)
        if twins is None or version in self.own.versions(called):
            return
        configs = Configs(*(self._configured(twin, called, setting) for twin in twins.with_versions([version]).twins))
        write = partial(shutil.copytree, self._copied(model, version), copy_function=os.link, dirs_exist_ok=True)
        self.own.publish(Candidate(model=called, version=version, configs=configs, write=write))

    def _copied(self, model: str, version: int) -> Path:
        """The files of a version, copied here once for all settings."""
        copy = self.own.root / "files" / model / str(version)
        if not copy.is_dir():
            shutil.copytree(self.source.models / model / str(version), copy, ignore=shutil.ignore_patterns("*.pyc"))
        return copy

    def _configured(self, twin: ModelConfig, called: str, setting: Serving | None) -> ModelConfig:
        config = ModelConfig()
        config.CopyFrom(twin)
        joins = config.HasField("dynamic_batching") or twin.name not in self._never_joined
        config.name = called
        if setting is not None:
            set_serving(config, setting)
            if not joins:
                config.ClearField("dynamic_batching")
        return config

    @property
    def _members(self) -> set[str]:
        """The models that go by the settings of the page: members, and the graph that was made of them."""
        graph = (self.receipt.fused or {}).get("model")
        return {str(fact["model"]) for fact in self.receipt.members.values()} | ({graph} if graph else set())

    @property
    def _never_joined(self) -> set[str]:
        """Members whose answer to a row depends on the rows beside it: Triton joins no requests to them."""
        return {str(fact["model"]) for fact in self.receipt.members.values() if fact.get("row_wise") is False}


@contextmanager
def candidates(receipt: Receipt, source: Store, folder: Path, triton_home: Path | None = None) -> Iterator[Candidates]:
    """The release of *receipt* on a Triton that is started for it, its store in the empty *folder*."""
    own = Store(folder).prepare()
    with (
        EmbeddedTriton(own.root, models=(), triton_home=triton_home) as triton,
        Control(triton.address.grpc, triton.address.token) as control,
    ):
        yield Candidates(receipt=receipt, source=source, own=own, triton=triton, control=control)
