"""Whether `sextant serve` and the demo can start a Triton on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from sextant_cli.doctor.check import Check
from sextant_cli.doctor.finding import CRITICAL, NOTE, WARNING, Finding
from sextant_cli.doctor.machine.here import Here
from sextant_server.installation import Installation
from sextant_server.preflight import foreign, numpy_problems, problems

_NO_PATHS: Mapping[str, Path] = {}


def _look(here: Here) -> Iterator[Finding]:
    if strange := next(foreign(here.machine), here.absent):
        yield _finding(NOTE, strange, "`sextant serve` and `sextant demo` cannot start here; all else works")
    elif here.installation is not None:
        yield from _of(here, here.installation)


def _of(here: Here, installation: Installation) -> Iterator[Finding]:
    if not os.access(installation.executable, os.X_OK):
        lost = f"{installation.executable} is not there, or not executable: install it again"
        yield _finding(WARNING, lost, "`sextant serve` cannot start")
        return
    corrupting = {*numpy_problems(here.machine, installation)}
    for sentence in problems(here.machine, installation, _NO_PATHS):
        if sentence in corrupting:
            yield _finding(CRITICAL, sentence, "a model would be READY, and answer with other numbers than it computed")
        else:
            yield _finding(WARNING, sentence, "`sextant serve` refuses to start")


def _finding(severity: str, sentence: str, why: str) -> Finding:
    """Preflight's sentences say what is wrong, and after the first colon what to do."""
    found, _, change = sentence.partition(": ")
    return Finding(severity=severity, found=found, why=why, change=change)


EMBEDDED = Check("embedded", "Can the embedded Triton run here: its binary, Python, libpython, NumPy below 2?", _look)
