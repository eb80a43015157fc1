"""
A store: a folder that every Triton can load at every instant.

Theory of operation
-------------------
``models/`` is the Triton model repository and ``releases/`` holds the receipts. Triton may look at ``models/`` between
any two system calls, and a crash may end us between any two, so only six kinds of step are ever taken there, each of
them one rename:

1. a new model appears, whole, with its configuration and its first version;
2. a new version directory appears in a model, whole (``.7.partial`` beside it until then: Triton ignores names that
   are not numbers). It is never overwritten: the same number with other bytes is refused;
3. a ``config.pbtxt`` is replaced, or its twin ``configs/embedded.pbtxt``. All versions of a model share them, so only
   what may change from release to release stands in them: the version policy and the serving settings. What a version
   being served could not be loaded with is refused (:mod:`sextant_export.joining`);
4. a TensorRT plan for one more kind of GPU joins a version; no server looks for it until the configuration names it;
5. a model is moved out, whole;
6. a version directory that no policy names any more is moved out of its model, whole.

A twin appears before the configuration it stands in for and goes after it, so that a server always finds one that it
can load. A crash between the two leaves their policies apart; whoever is next to write makes both serve all that
either did.

A front is version 1 of its model while it is an ensemble, and a higher one while it is a router between two releases:
the router's version directory appears (2), then the one configuration that makes it the front (3), and back; what the
front does not name any more leaves it (6).  A router pins nothing, because the two releases that it asks do.

A version policy is widened *before* the ensemble that pins the new version appears, and narrowed only *after* the
ensemble that pinned the old one is gone. What is pinned is read from the ensembles themselves, so nothing can drift.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import stat
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sextant.errors import SextantError, StoreError
from sextant_export.config import EMBEDDED, Configs, candidate_of, read_config, release_of, write_config
from sextant_export.joining import merged, refuse_unloadable

CONFIG = "config.pbtxt"
TWIN = f"configs/{EMBEDDED}.pbtxt"
WAIT_S, PAUSE_S = 120.0, 0.02
KEEP, KEPT = ".keep", "Triton wants a version directory even of an ensemble, and git drops empty ones.\n"
PLAN, NOTE = ".plan", ".json"
"""A TensorRT plan, and what stands after its name for the note of what it is."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One model version to publish: *write* fills an empty directory with its files."""

    model: str
    version: int
    configs: Configs
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
        """
        Be the only writer until the ``with`` block ends; what a killed writer left is cleared away first.

        Another writer is waited for, ``StoreError`` after ``WAIT_S``. Long work, as a promotion is, writes in several
        such blocks.
        """
        lock = os.open(self.releases, os.O_RDONLY)
        try:
            self._claim(lock)
            self._clear_away()
            yield
        finally:
            os.close(lock)

    def config(self, model: str) -> Any | None:
        """The main configuration of *model*, or None where the store has no such model."""
        path = self.models / model / CONFIG
        return read_config(path) if path.is_file() else None

    def twins(self, model: str) -> Configs | None:
        """The configuration of *model* with its twin, or None where the store has no such model."""
        main, twin = self.config(model), self.models / model / TWIN
        return None if main is None else Configs(main, read_config(twin) if twin.is_file() else None)

    def configs(self) -> dict[str, Any]:
        """Every model's main configuration, by name."""
        paths = self.models.glob(f"*/{CONFIG}") if self.models.is_dir() else ()
        return {path.parent.name: read_config(path) for path in sorted(paths)}

    def ensembles(self) -> dict[str, Any]:
        """Every ensemble in the store, releases and fronts, by name."""
        return {name: config for name, config in self.configs().items() if config.platform == "ensemble"}

    def settings(self) -> dict[str, Configs]:
        """The configurations of what ensembles are made of, by name: what releases share."""
        names = (name for name, config in self.configs().items() if not _is_front(config))
        return {name: twins for name in names if (twins := self.twins(name))}

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
        return release_of(front) if front else None

    def check(self, candidate: Candidate) -> None:
        """Raise :class:`~sextant.errors.BreakingChange` where :meth:`publish` would; changes nothing."""
        present = self.twins(candidate.model)
        if present is not None:
            refuse_unloadable(present, candidate.configs, candidate.version, self.models / candidate.model)

    def write_configs(self, configs: Configs) -> bool:
        """Replace the configuration of a model and its twin, each in one step; False where both were so already."""
        place = self.models / configs.name
        present = self.twins(configs.name)
        with writing(place):
            if configs != present:
                _write_twins(configs, place)
        return configs != present

    def publish(self, candidate: Candidate) -> bool:
        """
        Put *candidate* in its place and its version in the policy; True where its model is new.

        :class:`~sextant.errors.BreakingChange` where inputs or outputs differ from the model's,
        :class:`~sextant.errors.StoreError` where the version is there with other bytes.
        """
        present = self.twins(candidate.model)
        with writing(self.models / candidate.model):
            if present is None:
                self._appear(candidate)
            else:
                self._join(candidate, present)
        return present is None

    def widen(self, model: str, version: int) -> None:
        """Put *version*, which is in the store, into the policy of *model*."""
        configs = self.twins(model)
        if configs is None or not (self.models / model / str(version)).is_dir():
            raise StoreError(f"{self.models} has no {model} version {version} any more: promote again to make it anew")
        self.write_configs(configs.with_versions({*configs.versions, version}))

    def write_ensemble(self, config: Any) -> None:
        """Put an ensemble in its place, or replace its configuration; its one version is an empty directory."""
        if self.config(config.name) == config:
            return
        with writing(self.models / config.name):
            if (self.models / config.name / CONFIG).is_file():
                write_config(config, self.models / config.name / CONFIG)
            else:
                self._appear(Candidate(model=config.name, version=1, configs=Configs(config), write=_keep))

    def add_version(self, model: str, version: int, write: Callable[[Path], None]) -> None:
        """Put a *version* that no policy names yet into *model*, which is there, in one step; *write* fills it."""
        place = self.models / model / str(version)
        partial = place.with_name(f".{version}.partial")
        with writing(place):
            shutil.rmtree(partial, ignore_errors=True)
            fill(partial, write)
            partial.rename(place)

    def touch(self, model: str) -> None:
        """Give the configuration of *model* a newer time stamp, for a server that took a change for none."""
        os.utime(self.models / model / CONFIG)

    def remove(self, model: str) -> None:
        """Take *model* out of the repository in one step, then delete it; nothing happens where it is not there."""
        self._move_out(self.models / model)

    def remove_version(self, model: str, version: int) -> None:
        """Take a *version* that no policy names any more out of *model* in one step, then delete it."""
        configs = self.twins(model)
        if configs is not None and version in configs.versions:
            raise StoreError(f"{model} version {version} is still in the version policy: narrow that before it goes")
        self._move_out(self.models / model / str(version))

    def versions(self, model: str) -> set[int]:
        """The versions of *model* whose directories are in the store, served or not."""
        place = self.models / model
        return {int(path.name) for path in place.iterdir() if path.name.isdigit()} if place.is_dir() else set()

    def narrow(self) -> None:
        """Drop from every version policy what no ensemble pins any more; loaded servers notice at their next load."""
        for model, versions in self.pinned().items():
            configs = self.twins(model)
            if configs is not None:
                self.write_configs(configs.with_versions(versions))

    def _move_out(self, place: Path) -> None:
        if place.is_dir():
            with writing(place):
                aside = self._aside(place.relative_to(self.models).as_posix().replace("/", "."))
                place.rename(aside)
                shutil.rmtree(aside)

    def _appear(self, candidate: Candidate) -> None:
        aside = self._aside(candidate.model)
        try:
            fill(aside / str(candidate.version), candidate.write)
            _write_twins(candidate.configs, aside)
            aside.rename(self.models / candidate.model)
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def _join(self, candidate: Candidate, present: Configs) -> None:
        model = self.models / candidate.model
        refuse_unloadable(present, candidate.configs, candidate.version, model)
        place = model / str(candidate.version)
        partial = place.with_name(f".{candidate.version}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        try:
            fill(partial, candidate.write)
            if place.exists():
                _add_plans(candidate, partial, place)
            else:
                partial.rename(place)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        self.write_configs(merged(present, candidate.configs, candidate.version))

    def _claim(self, lock: int) -> None:
        deadline = time.monotonic() + WAIT_S
        while True:
            with suppress(BlockingIOError):
                return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if time.monotonic() > deadline:
                raise StoreError(f"another process has been writing {self.root} for {WAIT_S:g} s: run this again later")
            time.sleep(PAUSE_S)

    def _clear_away(self) -> None:
        with writing(self.root):
            for left in (*self.releases.glob(".*.partial"), *self.models.glob("*/.*.partial")):
                shutil.rmtree(left)
            for left in (*self.models.glob(f"*/.{CONFIG}.*"), *self.models.glob("*/configs/.*.pbtxt.*")):
                left.unlink()
            for configs in self.settings().values():
                if configs.embedded is not None:
                    self.write_configs(configs.with_versions(configs.versions))

    def _aside(self, name: str) -> Path:
        """A fresh name on the same file system but outside ``models/``, where a rename is one step."""
        return self.releases / f".{name}.{uuid.uuid4().hex}.partial"


def digest(path: Path) -> str:
    """
    SHA-256 over the names and bytes of a file or of a folder's files, so that one changed byte shows.

    What Python and the store leave beside a model's files (``__pycache__``) does not count.
    """
    files = [path] if path.is_file() else files_of(path)
    total = hashlib.sha256()
    for file in files:
        total.update(f"{file.relative_to(path).as_posix()}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                total.update(block)
    return total.hexdigest()


def _write_twins(configs: Configs, model: Path) -> None:
    """The twin before what it stands in for, and away after it: whichever a server takes, it can load."""
    twin = model / TWIN
    if configs.embedded is not None:
        twin.parent.mkdir(exist_ok=True)
        write_config(configs.embedded, twin)
    write_config(configs.main, model / CONFIG)
    if configs.embedded is None:
        twin.unlink(missing_ok=True)


def _add_plans(candidate: Candidate, partial: Path, place: Path) -> None:
    """
    Move what *place* has not yet from *partial*: plans for more kinds of GPU, each after the note beside it.

    Everything else must be the same in both, byte by byte.
    """
    there, comes = ({path.relative_to(top): path for path in files_of(top)} for top in (place, partial))
    new = [name for name, path in comes.items() if name not in there or digest(there[name]) != digest(path)]
    gone = [name for name in there.keys() - comes.keys() if not _plan(name).endswith(PLAN)]
    if gone or any(not _plan(name).endswith(PLAN) or Path(_plan(name)) in there for name in new):
        raise StoreError(_other_bytes(candidate))
    for name in sorted(new, key=lambda name: name.suffix == PLAN):
        comes[name].replace(place / name)


def _plan(name: Path) -> str:
    """The plan that a file of this name is, or is the note of."""
    return str(name).removesuffix(NOTE)


def files_of(directory: Path) -> list[Path]:
    """Every regular file under *directory*, in order, but what Python leaves beside them (``__pycache__``)."""
    return sorted(path for path in directory.rglob("*") if _counts(path))


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


def _counts(path: Path) -> bool:
    return "__pycache__" not in path.parts and stat.S_ISREG(path.lstat().st_mode)


def _is_front(config: Any) -> bool:
    """Whether it is wired to others: a release, or a front, which is a router while it tries one."""
    return config.platform == "ensemble" or candidate_of(config) is not None


def _keep(directory: Path) -> None:
    (directory / KEEP).write_text(KEPT, encoding="utf-8")


def _other_bytes(candidate: Candidate) -> str:
    return (
        f"{candidate.model} version {candidate.version} is already in the store with other bytes, and a version is "
        "written once: it probably came from another registry or an earlier Sextant; use a store of its own for each, "
        "or register the model again for a new version number"
    )
