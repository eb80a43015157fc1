"""
A store: a folder that every Triton can load at every instant.

Theory of operation
-------------------
``models/`` is the Triton model repository and ``releases/`` holds the receipts. Triton may look at ``models/`` between
any two system calls, and a crash may end us between any two, so only four kinds of step are ever taken there, each of
them one rename:

1. a new model appears, whole, with its configuration and its first version;
2. a new version directory appears in a model, whole (``.7.partial`` beside it until then: Triton ignores names that
   are not numbers). It is never overwritten: the same number with other bytes is refused;
3. a ``config.pbtxt`` is replaced. All versions of a model share it, so only what may change from release to release
   stands in it: the version policy and the serving settings. Changed inputs or outputs are refused;
4. a model is moved out, whole.

A version policy is widened *before* the ensemble that pins the new version appears, and narrowed only *after* the
ensemble that pinned the old one is gone. What is pinned is read from the ensembles themselves, so nothing can drift.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import stat
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sextant.errors import BreakingChange, SextantError, StoreError
from sextant_export.config import read_config, write_config

CONFIG = "config.pbtxt"


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One model version to publish: *write* fills an empty directory with its files."""

    model: str
    version: int
    config: Any
    write: Callable[[Path], None]


@dataclass(frozen=True)
class Store:
    """The folder *root* with its ``models/`` and ``releases/``; both are made when absent."""

    root: Path

    @property
    def models(self) -> Path:
        """The Triton model repository: nothing but models in it."""
        return self.root / "models"

    @property
    def releases(self) -> Path:
        """The receipts, a folder for each pipeline."""
        return self.root / "releases"

    def prepare(self) -> Store:
        """Make the folders, readable by their owner alone, because a model repository is code."""
        if "://" in str(self.root):
            raise StoreError(f"the store {self.root} is a URL: this version publishes to folders only")
        with writing(self.root):
            self.models.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.releases.mkdir(parents=True, exist_ok=True)
        return self

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Be the only writer until the ``with`` block ends; what a killed writer left is cleared away first."""
        lock = os.open(self.releases, os.O_RDONLY)
        try:
            self._claim(lock)
            self._clear_away()
            yield
        finally:
            os.close(lock)

    def config(self, model: str) -> Any | None:
        """The configuration of *model*, or None where the store has no such model."""
        path = self.models / model / CONFIG
        return read_config(path) if path.is_file() else None

    def configs(self) -> dict[str, Any]:
        """Every model's configuration, by name."""
        paths = self.models.glob(f"*/{CONFIG}") if self.models.is_dir() else ()
        return {path.parent.name: read_config(path) for path in sorted(paths)}

    def ensembles(self) -> dict[str, Any]:
        """Every ensemble in the store, releases and fronts, by name."""
        return {name: config for name, config in self.configs().items() if config.platform == "ensemble"}

    def settings(self) -> dict[str, Any]:
        """The configurations of what ensembles are made of, by name: what releases share."""
        return {name: config for name, config in self.configs().items() if config.platform != "ensemble"}

    def pinned(self) -> dict[str, set[int]]:
        """The versions of each model that some ensemble in the store is wired to."""
        pins: dict[str, set[int]] = {}
        for ensemble in self.ensembles().values():
            for step in ensemble.ensemble_scheduling.step:
                pins.setdefault(step.model_name, set()).add(step.model_version)
        return pins

    def graph(self, model: str, version: int) -> Path | None:
        """The ONNX file of a member's version that is in the store already, or None."""
        path = self.models / model / str(version) / "model.onnx"
        return path if path.is_file() else None

    def served_release(self, pipeline: str) -> int | None:
        """The release that the front of *pipeline* is wired to, or None before the first promotion."""
        front = self.config(pipeline)
        return int(front.parameters["release"].string_value or 0) or None if front else None

    def check(self, candidate: Candidate) -> None:
        """Raise :class:`~sextant.errors.BreakingChange` where :meth:`publish` would; changes nothing."""
        present = self.config(candidate.model)
        if present is not None:
            refuse_breaking(present, candidate.config)

    def write_config(self, config: Any) -> None:
        """Replace the configuration of a model in one step."""
        with writing(self.models / config.name):
            write_config(config, self.models / config.name / CONFIG)

    def publish(self, candidate: Candidate) -> bool:
        """
        Put *candidate* in its place and its version in the policy; True where its model is new.

        :class:`~sextant.errors.BreakingChange` where inputs or outputs differ from the model's,
        :class:`~sextant.errors.StoreError` where the version is there with other bytes.
        """
        present = self.config(candidate.model)
        with writing(self.models / candidate.model):
            if present is None:
                self._appear(candidate)
            else:
                self._join(candidate, present)
        return present is None

    def widen(self, model: str, version: int) -> None:
        """Put *version*, which is in the store, into the policy of *model*."""
        config = self.config(model)
        if config is None or not (self.models / model / str(version)).is_dir():
            raise StoreError(f"{self.models} has no {model} version {version} any more: promote again to make it anew")
        versions = set(config.version_policy.specific.versions)
        if version not in versions:
            self.write_config(with_versions(config, versions | {version}))

    def write_ensemble(self, config: Any) -> None:
        """Put an ensemble in its place, or replace its configuration; its one version is an empty directory."""
        if self.config(config.name) == config:
            return
        with writing(self.models / config.name):
            if (self.models / config.name / CONFIG).is_file():
                write_config(config, self.models / config.name / CONFIG)
            else:
                self._appear(Candidate(model=config.name, version=1, config=config, write=_keep))

    def remove(self, model: str) -> None:
        """Take *model* out of the repository in one step, then delete it; nothing happens where it is not there."""
        place = self.models / model
        if place.is_dir():
            with writing(place):
                aside = self._aside(model)
                place.rename(aside)
                shutil.rmtree(aside)

    def narrow(self) -> None:
        """Drop from every version policy what no ensemble pins any more; loaded servers notice at their next load."""
        for model, versions in self.pinned().items():
            config = self.config(model)
            if config is not None and set(config.version_policy.specific.versions) != versions:
                self.write_config(with_versions(config, versions))

    def _appear(self, candidate: Candidate) -> None:
        aside = self._aside(candidate.model)
        try:
            fill(aside / str(candidate.version), candidate.write)
            write_config(candidate.config, aside / CONFIG)
            aside.rename(self.models / candidate.model)
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def _join(self, candidate: Candidate, present: Any) -> None:
        refuse_breaking(present, candidate.config)
        place = self.models / candidate.model / str(candidate.version)
        partial = place.with_name(f".{candidate.version}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        try:
            fill(partial, candidate.write)
            if not place.exists():
                partial.rename(place)
            elif digest(partial) != digest(place):
                raise StoreError(_other_bytes(candidate))
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        config = merged(present, candidate.config, candidate.version)
        if config != present:
            self.write_config(config)

    def _claim(self, lock: int) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreError(f"another promotion is at work on {self.root}: run this again after it") from error

    def _clear_away(self) -> None:
        with writing(self.root):
            for left in (*self.releases.glob(".*.partial"), *self.models.glob("*/.*.partial")):
                shutil.rmtree(left)
            for left in self.models.glob(f"*/.{CONFIG}.*"):
                left.unlink()

    def _aside(self, model: str) -> Path:
        """A fresh name on the same file system but outside ``models/``, where a rename is one step."""
        return self.releases / f".{model}.{uuid.uuid4().hex}.partial"


def digest(path: Path) -> str:
    """
    SHA-256 over the names and bytes of a file or of a folder's files, so that one changed byte shows.

    What Python and the store leave beside a model's files (``__pycache__``) does not count.
    """
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if _counts(p))
    total = hashlib.sha256()
    for file in files:
        total.update(f"{file.relative_to(path).as_posix()}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                total.update(block)
    return total.hexdigest()


def with_versions(config: Any, versions: set[int]) -> Any:
    """A copy of *config* whose policy serves exactly *versions*."""
    copy = type(config)()
    copy.CopyFrom(config)
    copy.version_policy.specific.versions[:] = sorted(versions)
    return copy


def merged(present: Any, config: Any, version: int) -> Any:
    """
    *config* for a model that other releases, perhaps other pipelines, use too.

    Their versions stay in the policy and their batches still fit; the other serving settings are those of the release
    published last, for Triton keeps one configuration for all versions of a model.
    """
    copy = with_versions(config, {*present.version_policy.specific.versions, version})
    copy.max_batch_size = max(present.max_batch_size, config.max_batch_size)
    return copy


def refuse_breaking(present: Any, config: Any) -> None:
    """Raise :class:`~sextant.errors.BreakingChange` where inputs or outputs differ."""
    for side in ("input", "output"):
        was, becomes = (_tensors(getattr(c, side)) for c in (present, config))
        if was != becomes:
            raise BreakingChange(
                f"{config.name}: its {side}s would change from {was} to {becomes}, and the releases being served "
                "rely on them: register the new model, or name the new pipeline, under a new name"
            )


def fill(directory: Path, write: Callable[[Path], None]) -> None:
    """Make *directory*, let *write* fill it, and see its bytes to the disk before anything is renamed."""
    directory.mkdir(parents=True)
    write(directory)
    for path in directory.rglob("*"):
        if path.is_file():
            sync(path)


def sync(path: Path) -> None:
    """Wait until the bytes of *path* are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Turn the operating system's refusals (full, read-only, not ours) into one sentence that names *place*."""
    try:
        yield
    except SextantError:
        raise
    except OSError as error:
        raise StoreError(
            f"cannot write {place}: {error.strerror or error}; nothing that is served has changed: "
            "make room or give this user the right to write there, then run the same command again"
        ) from error


def _tensors(tensors: Any) -> list[str]:
    return sorted(f"{t.name} {_type_name(t)}{list(t.dims)}" for t in tensors)


def _type_name(tensor: Any) -> str:
    enum = tensor.DESCRIPTOR.fields_by_name["data_type"].enum_type
    return str(enum.values_by_number[tensor.data_type].name).removeprefix("TYPE_")


def _counts(path: Path) -> bool:
    return "__pycache__" not in path.parts and stat.S_ISREG(path.lstat().st_mode)


def _keep(directory: Path) -> None:
    (directory / ".keep").write_text(
        "Triton wants a version directory even of an ensemble, and git drops empty ones.\n"
    )


def _other_bytes(candidate: Candidate) -> str:
    return (
        f"{candidate.model} version {candidate.version} is already in the store with other bytes, and a version is "
        "written once: it probably came from another registry; use a store of its own for each registry, "
        "or register the model again for a new version number"
    )
