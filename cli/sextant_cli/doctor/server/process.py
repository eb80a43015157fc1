"""What the process of a Triton on this machine tells: its command line, its Python processes, its files."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import psutil

from sextant_cli.doctor.check import NotMade
from sextant_cli.doctor.server.triton import Triton
from sextant_server.installation import STUB


def option(process: Any, name: str) -> str | None:
    """The value of tritonserver's option ``--name``, the last where it stands twice; None where it does not."""
    line = process.cmdline()
    values = [word.partition("=")[2] for word in line if word.startswith(f"--{name}=")]
    values += [value for word, value in pairwise(line) if word == f"--{name}"]
    return values[-1] if values else None


def process_of(triton: Triton) -> Any:
    """The process; ``NotMade`` where it runs elsewhere, or belongs to somebody else."""
    if triton.door and triton.process is None:
        raise NotMade("no process of this machine that this user may look at listens there")
    return triton.process


def stubs_of(triton: Triton) -> Iterator[Any]:
    """Its Python processes."""
    for child in process_of(triton).children(recursive=True):
        try:
            line = child.cmdline()
        except psutil.Error:
            continue
        if line and line[0].endswith(STUB):
            yield child
