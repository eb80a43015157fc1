"""The backends a server starts with: the installation's own, and ours where it has none."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from sextant_server.installation import STUB, Installation

OURS = Path(__file__).parent / "backends"

_PREFIX = "sextant-triton-"


@dataclass(frozen=True, slots=True)
class BackendFolder:
    """Where a server finds its backends; *temporary* if the folder was made for that one server."""

    path: Path
    temporary: bool

    def runs_in_stub(self, backend: str) -> bool:
        """Whether *backend* runs models in Python processes: ``python``, or a ``model.py``, no library."""
        folder = self.path / backend
        library = folder / f"libtriton_{backend}.so"
        return backend == "python" or ((folder / "model.py").exists() and not library.exists())

    def remove(self) -> None:
        """Leave nothing of it behind, if it was made for one server."""
        if self.temporary:
            shutil.rmtree(self.path, ignore_errors=True)


def lay_out(installation: Installation) -> BackendFolder:
    """*installation*'s own folder if it is complete, else a new one with its backends, the stub, and ours."""
    own = installation.backends
    if (own / "onnxruntime").exists() and (own / "python" / STUB).exists():
        return BackendFolder(own, temporary=False)
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
    _take(own, folder)
    if not (folder / "python" / STUB).exists():
        _link_or_copy(str(installation.stub), str(folder / "python" / STUB))
    if not (folder / "onnxruntime").exists():
        _take(OURS / "onnxruntime", folder / "onnxruntime")
    return BackendFolder(folder, temporary=True)


def sweep_folders() -> None:
    """Remove the backend folders that killed launchers left behind, and end what still runs from them."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        owner = re.match(rf"{_PREFIX}(\d+)-", folder.name)
        if owner and not Path(f"/proc/{owner[1]}").exists():
            _end_stubs(folder)
            shutil.rmtree(folder, ignore_errors=True)


def _end_stubs(folder: Path) -> None:
    left = [process for process in psutil.process_iter(["exe"]) if (process.info["exe"] or "").startswith(f"{folder}/")]
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=1)


def _take(source: Path, target: Path) -> None:
    """Not symbolic links: Triton follows them, and refuses a library that "escapes backend directory"."""
    shutil.copytree(source, target, copy_function=_link_or_copy, dirs_exist_ok=True)


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or another user's file
        shutil.copy2(source, target)
