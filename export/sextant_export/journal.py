"""
The journal of a pipeline: what became of its releases, in the order in which it came.

A receipt says what a release is; the journal says what was done with it, so a rollback can be seen long after. It is
``releases/<pipeline>/journal.jsonl``: each line one JSON object, appended whole by one system call, never changed. A
line that a crash or a full disk cut off says nothing, and the next one begins on a line of its own.
"""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sextant.errors import StoreError
from sextant_export.lines import append_line
from sextant_export.store import Store, writing

MADE, SERVED, ROLLED_BACK, REFUSED = "made", "served", "rolled back", "refused"
CANARY, REMOVED, PRUNED, TOLD = "canary", "removed", "pruned", "told"
EVENTS = (MADE, SERVED, ROLLED_BACK, REFUSED, CANARY, REMOVED, PRUNED, TOLD)
"""
What may become of a release: it was made; it was flipped to; it was flipped back to; a gate, a load or a proof refused
it; a canary gave its verdict; its pipeline was removed; its files were pruned; MLflow was told that it serves.
"""
FLIPS = frozenset({SERVED, ROLLED_BACK})


@dataclass(frozen=True, kw_only=True)
class Event:
    """What happened to a *release* at a moment (*at*, UTC), with the *facts* that whoever noted it thought of."""

    at: str
    event: str
    release: int
    facts: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """One flat object, as it stands in its line."""
        return {"at": self.at, "event": self.event, "release": self.release, **self.facts}


def note(store: Store, pipeline: str, event: str, release: int, **facts: Any) -> Event:
    """
    Append to the journal of *pipeline* that *event*, one of ``EVENTS``, happened to *release* now.

    *facts* are what JSON can say. ``StoreError`` where the line cannot be written.
    """
    if event not in EVENTS:
        raise ValueError(f"expected one of {', '.join(EVENTS)}, got {event!r}")
    noted = Event(at=now(), event=event, release=release, facts=facts)
    path = journal_path(store, pipeline)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _append(path, json.dumps(noted.to_dict()).encode() + b"\n")
    return noted


def read_journal(store: Store, pipeline: str) -> tuple[Event, ...]:
    """Everything that was noted of *pipeline*, oldest first; nothing where there is no journal."""
    path = journal_path(store, pipeline)
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from error
    return tuple(_parsed(lines))


def pruned(store: Store, pipeline: str) -> set[int]:
    """The releases of *pipeline* whose files were taken out of the store for good."""
    return {each.release for each in read_journal(store, pipeline) if each.event == PRUNED}


def since_flip(store: Store, pipeline: str, release: int) -> tuple[Event, ...]:
    """The flip to *release* and what was noted since; nothing where another one was flipped to last, or none."""
    journal = read_journal(store, pipeline)
    last = max((place for place, event in enumerate(journal) if event.event in FLIPS), default=None)
    return () if last is None or journal[last].release != release else journal[last:]


def journal_path(store: Store, pipeline: str) -> Path:
    """Where the journal of *pipeline* stands, beside its receipts."""
    return store.releases / pipeline / "journal.jsonl"


def now() -> str:
    """This moment, in UTC, to the second."""
    return dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds")


def _append(path: Path, line: bytes) -> None:
    file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        append_line(file, line)
        os.fsync(file)
    finally:
        os.close(file)


def _parsed(lines: list[bytes]) -> Iterator[Event]:
    """The events of *lines*; one that is no whole object was cut off."""
    for line in lines:
        with suppress(ValueError, KeyError, TypeError):
            said = dict(json.loads(line))
            at, event, release = str(said.pop("at")), str(said.pop("event")), int(said.pop("release"))
            yield Event(at=at, event=event, release=release, facts=said)
