"""Triton's log: a file, and what its errors say in plain words."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Said by every server without a GPU, and meaning nothing there.
_HARMLESS = ("CudaDriverHelper", "NVML", "DCGM", "unable to create stream", "failed to load all models")

_TAIL_BYTES = 256 * 1024

_LINE = re.compile(r'^E\d{4} \S+\s+\d+ \S+\] "?(.*?)"?$')
_STATUS = re.compile(r"^(Internal|Invalid argument|Not found|Unavailable|Unsupported|Unknown|Already exists): ")
_FRAME = re.compile(r"\nAt:\n\s+(\S+)\((\d+)\)")
_TAKEN = re.compile(r"failed to start .* service: .* already in use")


@dataclass(frozen=True, slots=True)
class TritonLog:
    """What one server has written to *path*; the log of the run before lies beside it as ``<name>.1``."""

    path: Path

    def begin(self) -> None:
        """Set the run before aside and begin an empty file that only this user reads."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            self.path.replace(self.path.with_name(f"{self.path.name}.1"))
        self.path.touch(mode=0o600)

    @property
    def tail(self) -> str:
        """Its last 256 KiB: a chatty model can write a log of any size."""
        with self.path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            return file.read().decode(errors="replace")

    @property
    def drained(self) -> bool:
        """Whether the server takes no more requests, and none is in a queue; one may still be computed."""
        return "All models are stopped, unloading models" in self.tail

    @property
    def unloaded(self) -> bool:
        """Whether every model has answered, finalized and ended."""
        return "Found 0 live models" in self.tail

    @property
    def port_taken(self) -> bool:
        """Whether the server ended because somebody else listens there."""
        return _TAKEN.search(self.tail) is not None

    def errors(self) -> list[str]:
        """Its errors in plain words, oldest first."""
        return list(errors(self.tail))

    def last_errors(self, count: int = 3) -> str:
        """The last *count* errors, a line each, and where to read more."""
        return "\n".join([*self.errors()[-count:], f"(log: {self.path})"])


def errors(text: str) -> Iterator[str]:
    r"""
    The errors in a log, without time stamps and without those that mean nothing.

    >>> list(errors('E1122 15:19:14.820612 6663 http_server.cc:47] "no such thing"\nI1122 all is well'))
    ['no such thing']
    """
    for line in text.splitlines():
        found = _LINE.match(line)
        if found and not any(words in found[1] for words in _HARMLESS):
            yield plain(found[1].replace("\\n", "\n"))


def plain(reason: str) -> str:
    r"""
    Triton's reason as a person would say it: no status code, no Python stack, but the line that failed.

    >>> plain("Internal: ValueError: no weights\n\nAt:\n  /m/1/model.py(12): initialize\n  <frozen>(1): f\n")
    'ValueError: no weights (/m/1/model.py, line 12)'
    """
    sentence = _STATUS.sub("", reason.partition("\n\nAt:\n")[0]).strip()
    frame = _FRAME.search(reason)
    return f"{sentence} ({frame[1]}, line {frame[2]})" if frame else sentence
