"""
A server's own copy of the store's models, in a folder or in a bucket, and how it comes to equal the store.

Theory of operation
-------------------
A copy is ``models/``, from which its server loads, and ``digests/``, a note for each model. Receipts stay with the
store: only a promotion reads them. A Triton may look at ``models/`` at every instant and a crash may end us at every
instant, so files travel in this order:

1. version directories, and whatever else configurations may name;
2. the twin, ``configs/embedded.pbtxt``;
3. ``config.pbtxt``;
4. only then does what the store has no more leave the copy.

So a configuration never names what is not there yet, and whatever interrupts this, the next ``bring`` ends it: what
differs is found by comparing, never remembered.

What is compared are SHA-256 digests. To read a gigabyte back for each of them would take minutes, so the note remembers
the digest that was read together with the storage's own stamp of the file (an ETag; on a disk size, time and inode).
While the stamp stands, the digest does; where note or stamp fail, the file itself is read.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from sextant_export.store import CONFIG, NOTE, Store, writing
from sextant_promote.places import digest_of, open_place

Note: TypeAlias = dict[str, tuple[str, str]]
"""Of each file of a model: the SHA-256 that was read, and the storage's stamp when it was."""

Progress: TypeAlias = Callable[[int, int, str], None]
"""Called with the bytes that went, the bytes that will have gone, and what is going."""


def _silent(done: int, total: int, what: str) -> None:
    pass


class StoreCopy:
    """
    The copy at *url*: a folder, ``file://...``, ``s3://bucket/prefix`` or ``gs://bucket/prefix``; made when absent.

    A bucket must be there. *storage_options* are fsspec's (``endpoint_url``, ``profile``, ...); credentials come from
    where the storage's own tools find them, such as ``AWS_ACCESS_KEY_ID``. ``MissingExtra`` where the library for the
    storage is not installed. Every method raises ``StoreError`` where the storage is away or refuses.
    """

    def __init__(self, url: str, storage_options: Mapping[str, Any] | None = None) -> None:
        self.url = url
        self._place = open_place(url, storage_options or {})

    def bring(self, store: Store, model: str, *, progress: Progress = _silent) -> int:
        """
        Make the copy's *model* equal to the *store*'s, absent where it is absent; gives how many files were sent.

        Everything sent is read back and its digest compared: a wrong one is sent once more, then it is ``StoreError``.
        """
        with _alone(store, self.url, model), self._place.reached():
            if not (ours := _sources(store, model)):
                self.remove(model)
                return 0
            held, noted = self._held(model), self._noted(model)
            note = self._read(model, held, noted)
            wanted = [name for name, path in ours.items() if digest_of(path) != note.get(name, ("",))[0]]
            self._send(model, {name: ours[name] for name in sorted(wanted, key=_order)}, note, progress)
            self._drop(model, [name for name in held if name not in ours], {*map(_version, ours)})
            if (now := {name: note[name] for name in ours}) != (note if wanted else noted):
                self._remember(model, now)
            return len(wanted)

    def differing(self, store: Store, *, read: bool = False) -> tuple[str, ...]:
        """
        The models of which a file differs, is missing or is one too many on the copy, in alphabetical order.

        Files whose stamps have not changed since they were digested are taken for what they were, unless *read*.
        """
        with self._place.reached():
            there = self._everything()
            names = sorted(there.keys() | set(_models(store)))
            return tuple(model for model in names if self._differs(store, model, there.get(model, {}), read))

    def remove(self, model: str) -> None:
        """Take *model* out of the copy; nothing happens where it is not there."""
        with self._place.reached():
            self._place.remove_folder(_folder(model))
            self._place.remove_folder(_note_folder(model))

    def touch(self, model: str) -> None:
        """Give the configuration of *model* a newer time stamp, for a server that took a change for none."""
        with self._place.reached():
            self._place.touch(f"{_folder(model)}/{CONFIG}")

    def _differs(self, store: Store, model: str, held: Mapping[str, str], read: bool) -> bool:
        ours = _sources(store, model)
        if ours.keys() != held.keys():
            return True
        there = self._read(model, held, {} if read else self._noted(model))
        return any(digest_of(path) != there[name][0] for name, path in ours.items())

    def _send(self, model: str, files: Mapping[str, Path], note: Note, progress: Progress) -> None:
        total, done = sum(path.stat().st_size for path in files.values()), 0

        def told(more: int) -> None:
            nonlocal done
            done += more
            progress(min(done, total), total, model)

        for unit, names in self._place.units(_folder(model), list(files)):
            note.update(self._place.deliver(_folder(model), unit, {name: files[name] for name in names}, told))
            self._remember(model, note)

    def _drop(self, model: str, names: list[str], kept: set[str]) -> None:
        """The configuration's twin before the versions that only it may still name; then what Python left in these."""
        if names:
            self._place.remove(_folder(model), sorted(names, key=_order, reverse=True))
        for version in {*map(_version, names)} - kept - {""}:
            self._place.remove_folder(f"{_folder(model)}/{version}")

    def _held(self, model: str) -> dict[str, str]:
        return _counting(self._place.files(_folder(model)))

    def _everything(self) -> dict[str, dict[str, str]]:
        """The files of every model on the copy, by one listing."""
        models: dict[str, dict[str, str]] = {}
        for path, stamp in self._place.files("models").items():
            model, _, name = path.partition("/")
            models.setdefault(model, {})[name] = stamp
        return {model: files for model, held in models.items() if (files := _counting(held))}

    def _read(self, model: str, held: Mapping[str, str], noted: Note) -> Note:
        """The digests of the files that are *held*, with their stamps: the *noted* ones where the stamp stands."""
        known = {name: noted[name] for name, stamp in held.items() if name in noted and noted[name][1] == stamp}
        read = (name for name in held if name not in known)
        return known | {name: (self._place.digest(f"{_folder(model)}/{name}"), held[name]) for name in read}

    def _noted(self, model: str) -> Note:
        """What the note says; nothing where there is none, or none that can be read."""
        content = self._place.read(_note(model))
        try:
            return {name: (sha256, stamp) for name, (sha256, stamp) in json.loads(content or b"{}").items()}
        except (ValueError, TypeError, AttributeError):
            return {}

    def _remember(self, model: str, note: Note) -> None:
        self._place.write(_note(model), json.dumps(note, indent=1, sort_keys=True).encode())


@contextmanager
def _alone(store: Store, url: str, model: str) -> Iterator[None]:
    """Wait until nobody else brings *model* to this copy: the later of two would put back what the other read first."""
    path = store.releases / ".copies" / f"{hashlib.sha256(url.encode()).hexdigest()[:12]}.{model}"
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _sources(store: Store, model: str) -> dict[str, Path]:
    """The files of *model* in the store, by their names seen from its folder."""
    top = store.models / model
    return _counting({path.relative_to(top).as_posix(): path for path in sorted(top.rglob("*")) if path.is_file()})


def _models(store: Store) -> list[str]:
    return [path.parent.name for path in store.models.glob(f"*/{CONFIG}")]


def _counting(files: Mapping[str, Any]) -> dict[str, Any]:
    """Those that make a model: not what Python leaves beside it, nor what a writer has under way."""
    return {name: fact for name, fact in files.items() if _counts(name)}


def _counts(name: str) -> bool:
    """
    Whether a file of this *name* belongs to its model.

    >>> [name for name in ("1/.keep", "1/__pycache__/model.pyc", ".2.partial/model.onnx") if _counts(name)]
    ['1/.keep']
    """
    parts = name.split("/")
    return "__pycache__" not in parts and not parts[0].startswith(".") and (parts[0] != "configs" or parts[1][0] != ".")


def _version(name: str) -> str:
    """The folder of a model that a file of this *name* stands in; nothing where it stands in none."""
    return name.rpartition("/")[0].partition("/")[0]


def _order(name: str) -> tuple[int, bool, str]:
    """
    The order in which files travel: a note before the plan that it is of, a configuration after what it names.

    >>> sorted(["config.pbtxt", "configs/embedded.pbtxt", "2/a.plan", "2/a.plan.json"], key=_order)
    ['2/a.plan.json', '2/a.plan', 'configs/embedded.pbtxt', 'config.pbtxt']
    """
    rank = 2 if name == CONFIG else 1 if name.startswith("configs/") else 0
    return rank, not name.endswith(NOTE), name


def _folder(model: str) -> str:
    return f"models/{model}"


def _note_folder(model: str) -> str:
    return f"digests/{model}"


def _note(model: str) -> str:
    return f"{_note_folder(model)}/files.json"
