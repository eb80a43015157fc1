"""What the server needs to know of a store: its model repository, and the models in it."""

from __future__ import annotations

import fcntl
import os
import re
from pathlib import Path

from sextant.errors import LaunchRefused
from sextant_server.address import stored_address

# A front is an ensemble, or a router between two releases, which says in its parameters which one it tries.
_FRONT = re.compile(r'^\s*platform\s*:\s*"ensemble"|^\s*key\s*:\s*"candidate"', re.MULTILINE)


def open_store(store: str | os.PathLike[str]) -> Path:
    """
    *store* as an absolute path with a ``models/`` folder; made, for this user alone, where nothing is yet.

    Raises LaunchRefused for a folder that holds something else.
    """
    folder = Path(store).absolute()
    models = folder / "models"
    try:
        if folder.is_dir() and not models.is_dir() and any(folder.iterdir()):
            raise LaunchRefused(f"{folder} holds no models/, so it is no store: name a store, or a new folder")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        models.mkdir(exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise LaunchRefused(f"{folder} cannot be written, and the server's address and log go there")
    except OSError as error:
        raise LaunchRefused(f"{folder} cannot be used as a store: {error.strerror}") from error
    return folder


def claim(store: Path) -> int:
    """
    The right to serve *store*, as a file descriptor: it ends when that is closed, or this process ends.

    One server a store: two would write one log, and a promotion would reach only one of them.
    """
    descriptor = os.open(store, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        address = stored_address(store)
        where = f", at {address.grpc} by process {address.pid}" if address else ""
        raise LaunchRefused(f"{store} is served already{where}: stop that first, or name another folder") from error
    return descriptor


def every_model(store: Path) -> tuple[str, ...]:
    """The names of all models in *store*, sorted."""
    return tuple(sorted(config.parent.name for config in store.glob("models/*/config.pbtxt")))


def ensembles(store: Path) -> tuple[str, ...]:
    """The names of all pipelines and releases in *store*, routers included, sorted; each is loaded with its models."""
    return tuple(name for name in every_model(store) if _FRONT.search(_config(store, name)))


def _config(store: Path, model: str) -> str:
    return (store / "models" / model / "config.pbtxt").read_text(encoding="utf-8", errors="replace")
