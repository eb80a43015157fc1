"""The Python processes of a Triton on this machine: those that are gone, and the NumPy of those that live."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf import json_format

from sextant_cli.doctor.check import Check
from sextant_cli.doctor.finding import CRITICAL, Finding
from sextant_cli.doctor.server.process import option, process_of, stubs_of
from sextant_cli.doctor.server.triton import Triton
from sextant_server.installation import CONTAINER_HOME
from sextant_server.layout import BackendFolder
from sextant_server.stubs import expected, living_stubs, missing

# NumPy 2 moved its core; what a process has mapped says which one it computes with.
_NUMPY_2 = re.compile(r"\S+/numpy/_core/_multiarray_umath\S+")
_READS_NUMPY_2 = (2, 52)


def _dead(triton: Triton) -> Iterator[Finding]:
    process = process_of(triton)
    folder = Path(option(process, "backend-directory") or CONTAINER_HOME / "backends")
    served = [(_as_dict(config), versions) for config, versions in triton.loaded]
    wanted = expected(served, BackendFolder(folder, temporary=False).runs_in_stub)
    living = living_stubs(process.pid)
    gone = {model: names for model, of in wanted.items() if (names := missing(of, living))}
    still_ready = {state.name for state in triton.door.index() if state.ready} if gone else set()
    for model in sorted(gone.keys() & still_ready):  # what was unloaded between two looks is no dead one
        yield Finding(
            severity=CRITICAL,
            found=f"model {model} is READY, and its Python process {', '.join(gone[model])} has ended",
            why="Triton starts it no second time, and every request that goes to it fails",
            change=f"read the server's log for the cause, then unload and load {model}, or restart the server",
        )


def _numpy(triton: Triton) -> Iterator[Finding]:
    if tuple(map(int, re.findall(r"\d+", triton.said_version)[:2])) >= _READS_NUMPY_2:
        return
    for stub in stubs_of(triton):
        if found := _NUMPY_2.search(Path(f"/proc/{stub.pid}/maps").read_text(encoding="utf-8", errors="replace")):
            yield Finding(
                severity=CRITICAL,
                found=f"process {stub.pid} ({stub.cmdline()[-2]}) computes with NumPy 2: {found[0]}",
                why=f"the Python backend of Triton {triton.version} silently corrupts tensors under NumPy 2",
                change="pip install 'numpy>=1.26,<2' in the environment whose python3 is first on the server's PATH, "
                "and restart it",
            )


def _as_dict(config: Any) -> dict[str, Any]:
    said: dict[str, Any] = json_format.MessageToDict(config, preserving_proto_field_name=True)
    return said


DEAD = Check("dead-processes", "Is a model READY whose Python process has ended?", _dead)
NUMPY = Check("numpy-served", "Do the server's Python processes compute with a NumPy that it can read?", _numpy)
