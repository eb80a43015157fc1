"""Why this machine cannot run the embedded Triton, one sentence a reason, each with what to do."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from sextant.errors import LaunchRefused
from sextant_server.installation import Installation

# Triton 2.51 hands these paths to a shell without quotes, and waits for ever if that breaks.
_UNSAFE = re.compile(r"""[\s;|&$`<>()\[\]{}\\"'*?~#!]""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What the embedded Triton asks of a machine."""

    system: str
    processor: str
    python: tuple[int, int]
    numpy: str | None
    libpython: Path | None

    @classmethod
    def here(cls) -> Machine:
        """This machine, as the running interpreter sees it."""
        return cls(
            system=platform.system(),
            processor=platform.machine(),
            python=(sys.version_info.major, sys.version_info.minor),
            numpy=_numpy(),
            libpython=find_libpython(),
        )


def refuse(found: Iterator[str]) -> None:
    """Raise LaunchRefused with every reason *found*, if there is one."""
    if reasons := list(found):
        raise LaunchRefused("\n".join(reasons))


def foreign(machine: Machine) -> Iterator[str]:
    """Why no embedded Triton was ever built for *machine*, if none was."""
    if (machine.system, machine.processor) != ("Linux", "x86_64"):
        yield (
            "the embedded Triton runs on Linux x86-64 only, and this is "
            f"{machine.system} {machine.processor}: use NVIDIA's container"
        )


def problems(machine: Machine, installation: Installation, paths: Mapping[str, Path]) -> Iterator[str]:
    """Every reason not to launch *installation*; *paths* have the reader's names for them ("the store", ...)."""
    yield from _python_problems(machine, installation)
    for what, path in paths.items():
        if unsafe(str(path)):
            yield (
                f"{what} is at '{path}', and Triton starts Python models through a shell that breaks on "
                "spaces and on any of ;|&$`<>()[]{}\\\"'*?~#!: move it, or link to it from a plain path"
            )


def _python_problems(machine: Machine, installation: Installation) -> Iterator[str]:
    python = _dotted(machine.python)
    if not installation.takes_numpy_2 and not (3, 10) <= machine.python <= (3, 12):
        yield f"the embedded Triton runs on Python 3.10 to 3.12, and this is {python}: make a venv with one"
        return
    if machine.python != installation.stub_python:
        yield (
            f"this tritonserver runs models in Python {_dotted(installation.stub_python)}, and this is "
            f"Python {python}: install Sextant under that one, or name another server with --triton-home"
        )
    elif machine.libpython is None:
        yield (
            f"this Python has no shared library libpython{python}.so.1.0, and Triton's Python backend needs "
            f"it: install it (Debian, Ubuntu: apt install libpython{python}), or use a Python built with "
            "--enable-shared"
        )
    yield from numpy_problems(machine, installation)


def numpy_problems(machine: Machine, installation: Installation) -> Iterator[str]:
    """Why *installation* would corrupt tensors under the NumPy of *machine*, or find none."""
    if machine.numpy is None:
        yield "NumPy is not installed: pip install 'numpy>=1.26,<2'"
    elif not installation.takes_numpy_2 and int(machine.numpy.partition(".")[0]) >= 2:
        yield (
            f"NumPy {machine.numpy} is installed, and this Triton silently corrupts tensors under NumPy 2: "
            "pip install 'numpy>=1.26,<2'"
        )


def unsafe(text: str) -> bool:
    """Whether *text* holds a space or a character that a shell gives a meaning to."""
    return _UNSAFE.search(text) is not None


def find_libpython() -> Path | None:
    """The running interpreter's shared library, or one of the same Python installed beside it, if any."""
    name = f"libpython{sys.version_info.major}.{sys.version_info.minor}.so.1.0"
    folders = [
        str(sysconfig.get_config_var("LIBDIR")),
        f"{sys.base_prefix}/lib",
        *os.environ.get("LD_LIBRARY_PATH", "").split(":"),
    ]
    candidates = (Path(folder) / name for folder in folders if folder)
    return next((path for path in candidates if path.exists()), None) or _in_linker_cache(name)


def _in_linker_cache(name: str) -> Path | None:
    try:
        cache = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=False).stdout
    except OSError:
        return None
    lines = (line.split("=>") for line in cache.splitlines())
    return next((Path(line[1].strip()) for line in lines if len(line) == 2 and line[0].split()[0] == name), None)


def _dotted(python: tuple[int, int]) -> str:
    return f"{python[0]}.{python[1]}"


def _numpy() -> str | None:
    try:
        return version("numpy")
    except PackageNotFoundError:
        return None
