"""
The result log: what is served, asked the same known cases again and again, and every answer written down.

``results/<pipeline>.jsonl`` in the store holds one JSON object a line, appended whole by one system call. At
``LARGEST`` bytes it becomes ``<pipeline>.jsonl.1``, in place of the one before. A line that a crash cut off says
nothing, and the next one begins on a line of its own.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields
from itertools import chain, islice
from pathlib import Path
from typing import Any

from sextant_export.lines import append_line
from sextant_export.store import Store, writing

LARGEST = 50_000_000


@dataclass(frozen=True, kw_only=True)
class Result:
    """
    What one known case was answered.

    *at* is UTC; *release* the one that answered, by its own word where it has one; *versions* and *steps* are the
    MLflow versions and training steps of its members, *server* the Triton, *case* the row in the known cases.
    *prediction* and *expected* are a label, or latitude and longitude. A label is *correct* where it is the expected
    one, a position where the truth lies in its largest ellipse; *inside* says so for each confidence level, and
    *error_m* how far off it is. *error* is the sentence of a case without an answer.
    """

    at: str
    case: int
    expected: Any
    server: str
    release: int | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    steps: Mapping[str, int | None] = field(default_factory=dict)
    prediction: Any = None
    correct: bool | None = None
    error_m: float | None = None
    inside: Mapping[str, bool] = field(default_factory=dict)
    latency_ms: float | None = None
    error: str | None = None


def append_results(store: Store, pipeline: str, results: Iterable[Result], *, largest: int = LARGEST) -> None:
    """Append a line for each of *results*; ``StoreError`` where they cannot be written."""
    path = results_path(store, pipeline)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(path, largest) as file:
            for result in results:
                append_line(file, json.dumps(asdict(result)).encode() + b"\n")
            os.fsync(file)


def read_results(store: Store, pipeline: str, *, last: int = 1000) -> tuple[Result, ...]:
    """The *last* results of *pipeline*, oldest first; nothing where there is no log. Lines cut off are passed over."""
    newest = list(islice(_newest_first(results_path(store, pipeline)), last))
    return tuple(reversed(newest))


def results_path(store: Store, pipeline: str) -> Path:
    """Where the result log of *pipeline* stands."""
    return store.root / "results" / f"{pipeline}.jsonl"


@contextmanager
def _alone(path: Path, largest: int) -> Iterator[int]:
    """The log, open and locked: two who find it full would else move it away twice, and lose the one before."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            if _moved(file, path):
                continue
            if os.fstat(file).st_size < largest:
                yield file
                return
            path.replace(_before(path))
        finally:
            os.close(file)


def _moved(file: int, path: Path) -> bool:
    """Whether another file stands there since this one was opened."""
    try:
        return not os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return True


def _newest_first(path: Path) -> Iterator[Result]:
    """Only what is asked for is parsed: the log is long, and its end is what is looked at."""
    known = {each.name for each in fields(Result)}
    for line in chain.from_iterable(map(_lines, (path, _before(path)))):
        with suppress(ValueError, TypeError, AttributeError):
            said = json.loads(line)
            yield Result(**{name: value for name, value in said.items() if name in known})


def _lines(path: Path) -> Iterator[bytes]:
    """The newest first."""
    with suppress(FileNotFoundError):
        yield from reversed(path.read_bytes().split(b"\n"))


def _before(path: Path) -> Path:
    return path.with_name(f"{path.name}.1")
