"""
Where files lie: in a folder of this machine, or in a bucket of an object store, by fsspec.

Both kinds promise the same: what was delivered lies there byte by byte, because it was read back, and nobody who looks
sees the half of it. In an object store every object appears whole by itself. On a disk it takes a rename, from a folder
beside what is looked at: of a whole new model, of a whole new version, or of one file.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

import fsspec
from fsspec.callbacks import Callback

from sextant.errors import MissingExtra, SextantError, StoreError
from sextant_export.store import CONFIG, sync

EXTRAS: Mapping[str, str] = MappingProxyType({"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"})
"""What of an URL stands before ``://``, and the extra that brings the library for it."""

OPTIONS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {"s3": {"max_concurrency": 2}, "s3a": {"max_concurrency": 2}}
)
"""What is not left to a library: s3fs would hold twenty parts of 50 MiB in memory."""

BLOCK = 1 << 24
ATTEMPTS = 2
PARTIAL = ".partial"
STAMPS = ("size", "ETag", "etag", "md5Hash", "mtime", "ino")

Told: TypeAlias = Callable[[int], None]
"""Who is told of every so many more bytes that went."""


class Place:
    """An object store: the objects of the file system *fs* below *root*; *url* is what people call it."""

    def __init__(self, fs: Any, root: str, url: str) -> None:
        self.fs, self.root, self.url = fs, root.rstrip("/"), url.rstrip("/")

    @contextmanager
    def reached(self) -> Iterator[None]:
        """Turn what a storage's library raises into one ``StoreError`` that names the place."""
        try:
            yield
        except SextantError:
            raise
        except Exception as error:  # each library has classes of its own, and none in common
            raise StoreError(
                f"the copy {self.url} cannot be read or written: {error} ({type(error).__name__}); what it holds can "
                "be loaded as it stands: check address and credentials, then run the same command again"
            ) from error

    def files(self, folder: str) -> dict[str, str]:
        """The files below *folder* by their names seen from there, each with its stamp; none where it is not there."""
        top = self.path(folder)
        self.fs.invalidate_cache()
        found = self.fs.find(top, detail=True)
        return {name.removeprefix(f"{top}/"): _stamp(facts) for name, facts in found.items()}

    def digest(self, name: str) -> str:
        """SHA-256 of the file *name* as it lies there, read block by block."""
        with self.fs.open(self.path(name), "rb", block_size=BLOCK, cache_type="none") as stream:
            return _sha256(stream)

    def read(self, name: str) -> bytes | None:
        """What the small file *name* holds; None where there is none."""
        self.fs.invalidate_cache()
        try:
            return bytes(self.fs.cat_file(self.path(name)))
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes) -> None:
        """Make *content* the small file *name*, in one step."""
        self.fs.pipe_file(self.path(name), content)

    def touch(self, name: str) -> None:
        """Give the file *name* a newer time stamp."""
        self.write(name, self.fs.cat_file(self.path(name)))

    def remove(self, folder: str, names: Sequence[str]) -> None:
        """Delete the files *names* of *folder*, in this order."""
        for name in names:
            self.fs.rm_file(self.path(f"{folder}/{name}"))

    def remove_folder(self, folder: str) -> None:
        """Delete all of *folder*, the configuration first: without one it is no model."""
        names = self.files(folder)
        self.remove(folder, sorted(names, key=lambda name: name != CONFIG))

    def units(self, folder: str, names: Sequence[str]) -> list[tuple[str, list[str]]]:  # noqa: ARG002  a disk's question
        """What of *names* in *folder* appears at once: each unit's name and the files that it is made of."""
        return [(name, [name]) for name in names]

    def deliver(self, folder: str, unit: str, files: Mapping[str, Path], told: Told) -> dict[str, tuple[str, str]]:  # noqa: ARG002
        """Put the *files* of one *unit* into *folder*; gives of each the digest and the stamp that it has there."""
        return {name: self.put(f"{folder}/{name}", source, told) for name, source in files.items()}

    def put(self, name: str, source: Path, told: Told) -> tuple[str, str]:
        """
        Make *name* what *source* is, and read it back; gives its digest and its stamp.

        ``StoreError`` where twice other bytes came back than were sent.
        """
        path = self.path(name)
        for _ in range(ATTEMPTS):
            self.fs.put_file(str(source), path, callback=_Told(told))
            stamp = _stamp(self.fs.info(path))
            came, sent = self.digest(name), digest_of(source)
            if came == sent:
                return came, stamp
        raise StoreError(
            f"{self.url}/{name}: expected the bytes with SHA-256 {sent[:16]}, got {came[:16]} back, "
            f"{ATTEMPTS} times: do not trust this storage, look at it; what is served has not changed"
        )

    def path(self, name: str) -> str:
        """*name* in the words of the file system."""
        return f"{self.root}/{name}"


class Disk(Place):
    """A folder of this machine, or of one that is mounted here."""

    def write(self, name: str, content: bytes) -> None:
        """Make *content* the small file *name*, in one step."""
        aside = self._aside(name)
        aside.mkdir(parents=True, exist_ok=True)
        (aside / "content").write_bytes(content)
        self._place(aside / "content", name)
        aside.rmdir()

    def touch(self, name: str) -> None:
        """Give the file *name* a newer time stamp."""
        Path(self.path(name)).touch()

    def remove(self, folder: str, names: Sequence[str]) -> None:
        """Delete the files *names* of *folder*, and the folders that are empty without them."""
        super().remove(folder, names)
        for name in names:
            for parent in [*Path(name).parents][:-1]:
                _remove_empty(Path(self.path(f"{folder}/{parent}")))

    def remove_folder(self, folder: str) -> None:
        """Take *folder* away in one step, then delete it."""
        if Path(self.path(folder)).is_dir():
            aside = self._fresh(folder)
            Path(self.path(folder)).rename(aside / "gone")
            shutil.rmtree(aside)

    def units(self, folder: str, names: Sequence[str]) -> list[tuple[str, list[str]]]:
        """A model that is not there is one unit, named ``.``; so is each of its versions that is not there."""
        place = Path(self.path(folder))
        units: dict[str, list[str]] = {}
        for name in names:
            version = name.partition("/")[0]
            new = version.isdigit() and not (place / version).exists()
            units.setdefault("." if not place.is_dir() else version if new else name, []).append(name)
        return list(units.items())

    def deliver(self, folder: str, unit: str, files: Mapping[str, Path], told: Told) -> dict[str, tuple[str, str]]:
        """Put the *files* beside *folder*, see them to the disk, then rename the *unit* into its place."""
        aside = self._fresh(folder)
        try:
            sent = super().deliver(f"{PARTIAL}/{folder}", unit, files, told)
            for name in files:
                sync(aside / name)
            self._place(aside / unit, f"{folder}/{unit}")
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        return sent

    def put(self, name: str, source: Path, told: Told) -> tuple[str, str]:
        """Make *name* what *source* is, its folders too."""
        Path(self.path(name)).parent.mkdir(parents=True, exist_ok=True)
        put = super().put(name, source, told)
        told(source.stat().st_size)
        return put

    def _fresh(self, name: str) -> Path:
        """An empty folder on the same disk, outside what a Triton looks at; what a killed process left goes."""
        aside = self._aside(name)
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        return aside

    def _aside(self, name: str) -> Path:
        return Path(self.path(f"{PARTIAL}/{name}"))

    def _place(self, made: Path, name: str) -> None:
        place = Path(self.path(name))
        place.parent.mkdir(parents=True, exist_ok=True)
        made.rename(place)


class _Told(Callback):  # type: ignore[misc]  # fsspec has no types
    """fsspec's way of telling how many bytes went, to ours."""

    def __init__(self, told: Told) -> None:
        super().__init__()
        self._told = told

    def relative_update(self, inc: int = 1) -> None:
        """So many more bytes went."""
        self._told(inc)


def open_place(url: str, options: Mapping[str, Any]) -> Place:
    """
    The place at *url*: a folder, ``file://...``, ``s3://bucket/prefix`` or ``gs://bucket/prefix``.

    *options* are fsspec's storage options; what they leave out, credentials above all, the storage's library finds in
    its usual environment. ``MissingExtra`` where that library is not installed. Nothing is asked of the storage yet.
    """
    scheme = url.partition("://")[0] if "://" in url else "file"
    try:
        asked = {**OPTIONS.get(scheme, {}), **options, "skip_instance_cache": True}
        fs, root = fsspec.core.url_to_fs(url, **asked)
    except (ImportError, ValueError) as error:
        if isinstance(error, ImportError) and scheme in EXTRAS:
            raise MissingExtra(EXTRAS[scheme], f"a copy of the store at {url}") from error
        raise StoreError(
            f"{url}: expected a folder, file://..., s3://bucket/prefix or gs://bucket/prefix ({error})"
        ) from error
    return (Disk if scheme in {"file", "local"} else Place)(fs, root, url)


def digest_of(path: Path) -> str:
    """SHA-256 of a file's bytes; read again only where its size, inode or times say that it was written since."""
    status = path.stat()
    return _read(path, (status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns))


@lru_cache(maxsize=4096)
def _read(path: Path, _: tuple[int, ...]) -> str:
    with path.open("rb") as stream:
        return _sha256(stream)


def _sha256(stream: Any) -> str:
    total = hashlib.sha256()
    while block := stream.read(BLOCK):
        total.update(block)
    return total.hexdigest()


def _stamp(facts: Mapping[str, Any]) -> str:
    """What tells one content of a file from the next without reading it: an ETag, or size, time and inode."""
    return json.dumps([facts[key] for key in STAMPS if key in facts], default=str)


def _remove_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
