"""Triton's usual ports, taken by somebody else."""

from __future__ import annotations

from collections.abc import Iterator

import psutil

from sextant_cli.doctor.check import Check
from sextant_cli.doctor.finding import NOTE, Finding
from sextant_cli.doctor.machine.here import Here
from sextant_cli.doctor.network import listening
from sextant_server.ports import USUAL

PROGRAM = "tritonserver"


def _look(_: Here) -> Iterator[Finding]:
    for service, port in USUAL._asdict().items():
        names = {_name(pid) for pid in listening(port).values()} - {PROGRAM}
        for name in sorted(names):
            yield Finding(
                severity=NOTE,
                where=f"port {port}",
                found=f"Triton's usual {service} port is taken by {name}",
                why=f"`sextant serve` takes another; callers that expect {port} ask whatever is behind that program",
                change=f"none, where that is a Triton in a container; else stop it, or sextant serve --{service}-port",
            )


def _name(pid: int | None) -> str:
    try:
        return str(psutil.Process(pid).name()) if pid else "another user's program"
    except psutil.Error:
        return "a program that may not be looked at"


PORTS = Check("ports", "Are Triton's usual ports free, or a Triton's?", _look)
