"""
What was tried once and refused: a set of inputs, by its identity, with the reason.

``releases/<pipeline>/refused.json`` outlives whoever wrote it, so that a watch which starts again does not try what
broke the last time. Receipts alone cannot say it: of a model that does not convert there is no receipt.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sextant_export.journal import now
from sextant_export.store import Store, sync, writing

KEPT = 100
"""So many refusals of one pipeline are remembered, the newest."""


def refused(store: Store, pipeline: str, identity: str) -> str | None:
    """Why the inputs of this *identity* were refused; None where they were not."""
    reason = _read(_path(store, pipeline)).get(identity, {}).get("reason")
    return None if reason is None else str(reason)


def remember(store: Store, pipeline: str, identity: str, reason: str) -> None:
    """The inputs of this *identity* were refused, for this *reason*."""
    _put(_path(store, pipeline), identity, {"at": now(), "reason": reason})


def count_loss(store: Store, pipeline: str, identity: str) -> int:
    """A server stopped serving the candidate of this *identity* while it was tried; gives how often that was so now."""
    path = _path(store, pipeline)
    times = int(_read(path).get(identity, {}).get("lost", 0)) + 1
    _put(path, identity, {"at": now(), "lost": times})
    return times


def forget(store: Store, pipeline: str, identity: str) -> None:
    """The inputs of this *identity* serve: whatever was said of them holds no more."""
    path = _path(store, pipeline)
    known = _read(path)
    if identity in known:
        _write(path, {key: value for key, value in known.items() if key != identity})


def _path(store: Store, pipeline: str) -> Path:
    return store.releases / pipeline / "refused.json"


def _put(path: Path, identity: str, facts: Mapping[str, Any]) -> None:
    others = {key: value for key, value in _read(path).items() if key != identity}
    newest = dict(list(others.items())[-KEPT + 1 :])
    _write(path, {**newest, identity: facts})


def _read(path: Path) -> dict[str, Mapping[str, Any]]:
    """What is remembered; a file that is no whole JSON remembers nothing, and costs one more try."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _write(path: Path, known: Mapping[str, Mapping[str, Any]]) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
        sync(partial)
        partial.replace(path)
