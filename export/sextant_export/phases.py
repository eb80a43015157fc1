"""
A release, from the registry to the store, phase by phase: ``resolve -> fetch -> convert -> prove -> stage``.

Each phase is a function that takes a :class:`Release` and gives it back with what it found. This process resolves,
fetches and writes the store; what runs the code of models happens in the bench's workshop, a child process. Everything
here only adds to a store: no Triton is asked and nothing that is served changes.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from sextant.errors import StoreError
from sextant_export.config import Configs
from sextant_export.evidence import place_proof
from sextant_export.joining import refuse_breaking
from sextant_export.journal import now
from sextant_export.narration import Narrator, Silence
from sextant_export.pickles import pickles, refuse_pickles, refuse_served_pickles
from sextant_export.pipeline import Pipeline
from sextant_export.placing import front_of, place_again, write_release
from sextant_export.problem import is_name
from sextant_export.receipt import Receipt, write_receipt
from sextant_export.registry import Artifact, RegisteredVersion, Registry
from sextant_export.resolving import find_release, identity, next_release
from sextant_export.resolving import resolve as resolve_members
from sextant_export.seals import with_seals
from sextant_export.store import Candidate, Store, files_of
from sextant_export.unfinished import all_or_none
from sextant_export.work import Brief
from sextant_export.workshop import Limits, Workshop

_WORKPLACE = "sextant-export-"
_WORK = "sextant_export.work:Work"
# What takes seconds to import stays with the fork server for the next export.
_LIBRARIES = {"pytorch": "torch", "xgboost": "xgboost", "lightgbm": "lightgbm"}
TOOLS = ("triton-sextant", "mlflow", "onnx", "onnxruntime", "skl2onnx", "numpy")


@dataclass(frozen=True, kw_only=True)
class Release:
    """
    What is known of a release of *pipeline* so far.

    After ``resolve``: *resolved*, the *identity* and the *number*; *existing* where nothing changed since that release
    was made. After ``fetch``: *artifacts*, and by member which of their files are pickles. After ``convert`` and
    ``prove``: what was made of each member, and what its proof came to, in words. After ``stage``: the *receipt*; what
    it takes before it writes the store is *made* by ``assemble``.
    """

    pipeline: Pipeline
    resolved: Mapping[str, RegisteredVersion] = field(default_factory=dict)
    identity: str = ""
    number: int = 0
    existing: Receipt | None = None
    artifacts: Mapping[str, Artifact] = field(default_factory=dict)
    pickled: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    copies: Mapping[str, str] = field(default_factory=dict)
    proofs: Mapping[str, str] = field(default_factory=dict)
    made: Mapping[str, Any] | None = field(default=None, repr=False)
    receipt: Receipt | None = None

    @property
    def name(self) -> str:
        """The Triton model of this release: ``locate.r3``."""
        return f"{self.pipeline.name}.r{self.number}"

    @property
    def done(self) -> Receipt:
        """The receipt that the last phase left."""
        if self.receipt is None:
            raise RuntimeError(f"{self.name} is not staged")
        return self.receipt


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What phases work with: *folder* is for files under way; *pickle* says whether pickles may be loaded."""

    store: Store
    registry: Registry
    narrator: Narrator
    workshop: Workshop
    folder: Path
    pickle: bool = True


Phase = Callable[[Release, Bench], Release]


@contextmanager
def bench(
    store: Store,
    registry: Registry,
    narrator: Narrator | None = None,
    *,
    limits: Limits | None = None,
    pickle: bool = True,
) -> Iterator[Bench]:
    """A bench for one release; its child process and its folder are gone afterwards."""
    narrator = narrator or Silence()
    with _workplace() as folder, Workshop(limits, narrator) as workshop:
        yield Bench(store=store, registry=registry, narrator=narrator, workshop=workshop, folder=folder, pickle=pickle)


def resolve(release: Release, bench: Bench) -> Release:
    """The versions that the members' URIs mean at this moment, and which release they make."""
    pipeline, store = release.pipeline, bench.store
    with bench.narrator.step("resolve members in the registry") as step:
        resolved = resolve_members(pipeline, bench.registry)
        step.result(", ".join(map(_words, resolved.values())))
    made_from = identity(pipeline, resolved)
    existing = find_release(store, pipeline.name, made_from)
    number = existing.release if existing else next_release(store, pipeline)
    return replace(release, resolved=resolved, identity=made_from, existing=existing, number=number)


def fetch(release: Release, bench: Bench) -> Release:
    """The members' files, here; ``PickleRefused`` where one holds a pickle and none may be loaded."""
    if release.existing:
        if not bench.pickle:
            refuse_served_pickles(release.existing)
        return release
    with bench.narrator.step("fetch") as step:
        artifacts = {name: _fetched(found, bench) for name, found in release.resolved.items()}
        sizes = sum(file.stat().st_size for artifact in artifacts.values() for file in files_of(artifact.path))
        step.result(f"{len(artifacts)} member{'s' if len(artifacts) > 1 else ''}, {sizes / 1e6:,.1f} MB")
        for artifact in artifacts.values() if not bench.pickle else ():
            refuse_pickles(artifact)
    pickled = {name: files for name, artifact in artifacts.items() if (files := pickles(artifact))}
    return replace(release, artifacts=artifacts, pickled=pickled)


def convert(release: Release, bench: Bench) -> Release:
    """The copies of the members; what is a pickle is announced before the first of its bytes is loaded."""
    if release.existing:
        return release
    for name, files in release.pickled.items():
        with bench.narrator.step(f"unpickle {', '.join(files)} of {_words(release.resolved[name])}") as step:
            step.result("runs what was saved there, in a child process within limits")
    _begin(release, bench)
    return replace(release, copies=_each(release, bench, "convert"))


def prove(release: Release, bench: Bench) -> Release:
    """The proofs that the copies answer as the originals do."""
    return release if release.existing else replace(release, proofs=_each(release, bench, "prove parity of"))


def assemble(release: Release, bench: Bench) -> Release:
    """All that is to be staged, calibrated, fused and wired; the part of ``stage`` that only reads the store."""
    if release.existing:
        return release
    return replace(release, made=bench.workshop.call("assemble", about=release.name))


def stage(release: Release, bench: Bench) -> Release:
    """The release in the store; its ensemble comes last: from then on it is there, whole."""
    if release.existing:
        with bench.narrator.step(f"stage {release.name}") as step:
            place_again(bench.store, release.existing)
            step.result("made before, still valid")
        return replace(release, receipt=release.existing)
    made = release.made or assemble(release, bench).made or {}
    with bench.narrator.step(f"stage {release.name}") as step:
        receipt = _stage(release, bench, made)
        step.result(f"{len(receipt.models) + len(receipt.ensembles)} models in {bench.store.models}")
    return replace(release, receipt=receipt)


PHASES: tuple[Phase, ...] = (resolve, fetch, convert, prove, stage)


def _fetched(found: RegisteredVersion, bench: Bench) -> Artifact:
    return bench.registry.fetch(found, bench.folder / f"{found.name}-{found.version}")


def _begin(release: Release, bench: Bench) -> None:
    """The child is told what it needs, and no address of a registry, which may hold a password."""
    nameless = {
        name: replace(artifact, version=replace(artifact.version, source=""))
        for name, artifact in release.artifacts.items()
    }
    brief = Brief(
        pipeline=release.pipeline,
        number=release.number,
        artifacts=nameless,
        store=bench.store,
        folder=bench.folder,
    )
    flavors = {flavor for found in release.resolved.values() for flavor in found.flavors}
    modules = [library for flavor, library in _LIBRARIES.items() if flavor in flavors]
    bench.workshop.begin(_WORK, brief, about=release.name, modules=modules, TMPDIR=str(bench.folder))


def _each(release: Release, bench: Bench, title: str) -> dict[str, str]:
    """Have one member after the other converted or proven; what came of each, in words."""
    said = {}
    for name, found in release.resolved.items():
        with bench.narrator.step(f"{title} {_words(found)}") as step:
            said[name] = str(bench.workshop.call(title.split(maxsplit=1)[0], name, about=str(found)))
            step.result(said[name])
    return said


def _stage(release: Release, bench: Bench, made: Mapping[str, Any]) -> Receipt:
    """Everything that could break a caller or a release is refused before the first of it is published."""
    store, pipeline = bench.store, release.pipeline
    ensemble = text_format.Parse(made["ensemble"], ModelConfig())
    candidates = [_candidate(release, bench, *told) for told in made["candidates"]]
    for candidate in candidates:
        store.check(candidate)
    front = store.config(pipeline.name)
    if front is not None:
        refuse_breaking(front, front_of(ensemble, pipeline.name))
    pins = [(candidate.model, candidate.version) for candidate in candidates]
    with all_or_none(store, pipeline.name, release.number, pins):
        introduced = tuple(candidate.model for candidate in candidates if store.publish(candidate))
        place_proof(store, pipeline.name, release.number, Path(made["evidence"]))
        receipt = with_seals(store, _receipt(release, made, candidates, introduced))
        write_receipt(store, receipt)
    write_release(store, receipt)
    return receipt


def _candidate(release: Release, bench: Bench, model: str, version: int, twins: list[str]) -> Candidate:
    """A model that the child is to write; its name is a folder's, so it is looked at."""
    if not is_name(model):
        raise StoreError(f"{release.name}: {model!r} cannot be a Triton model: letters, digits and . _ - only")
    return Candidate(
        model=model,
        version=int(version),
        configs=Configs(*(text_format.Parse(text, ModelConfig()) for text in twins)),
        write=partial(_write, bench.workshop, model, int(version)),
    )


def _write(workshop: Workshop, model: str, version: int, directory: Path) -> None:
    workshop.call("write", model, version, str(directory.absolute()), about=model)


def _receipt(
    release: Release, made: Mapping[str, Any], candidates: list[Candidate], introduced: tuple[str, ...]
) -> Receipt:
    return Receipt(
        pipeline=release.pipeline.name,
        release=release.number,
        identity=release.identity,
        created=now(),
        spec=json.loads(json.dumps(release.pipeline.spec, default=str)),
        members=made["members"],
        blocks=made["blocks"],
        calibration=made["calibration"],
        models=tuple((candidate.model, candidate.version) for candidate in candidates),
        introduced=introduced,
        ensemble=made["ensemble"],
        configs={model: twins for model, _, twins in made["candidates"]},
        fused=made["fused"],
        cached=release.pipeline.serving.response_cache,
        tools={"python": platform.python_version(), **{tool: installed_version(tool) for tool in TOOLS}},
    )


def _words(found: RegisteredVersion) -> str:
    return f"{found.name} version {found.version}"


@contextmanager
def _workplace() -> Iterator[Path]:
    """A folder for what is fetched, gone afterwards; what killed exports left goes too."""
    for left in Path(tempfile.gettempdir()).glob(f"{_WORKPLACE}*"):
        owner = left.name.removeprefix(_WORKPLACE).partition("-")[0]
        if owner.isdigit() and not Path("/proc", owner).exists():
            shutil.rmtree(left, ignore_errors=True)
    directory = Path(tempfile.mkdtemp(prefix=f"{_WORKPLACE}{os.getpid()}-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
