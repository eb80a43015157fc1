"""Which tritonserver: the one named, NVIDIA's container's own, or the ``nvidia-pytriton`` wheel's."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from sextant.errors import LaunchRefused, MissingExtra

CONTAINER_HOME = Path("/opt/tritonserver")
HOME_VARIABLE = "SEXTANT_TRITON_HOME"
STUB = "triton_python_backend_stub"
WHEEL_VERSION = (2, 51)

_LIBPYTHON = re.compile(rb"libpython3\.(\d+)\.so")


@dataclass(frozen=True, slots=True)
class Installation:
    """A tritonserver on this machine: *home* holds ``bin/``, ``backends/`` and ``caches/``."""

    home: Path
    stub: Path
    libraries: tuple[Path, ...]
    version: tuple[int, int]

    @property
    def executable(self) -> Path:
        """The server itself."""
        return self.home / "bin" / "tritonserver"

    @property
    def backends(self) -> Path:
        """Where its backends lie, one folder each."""
        return self.home / "backends"

    @property
    def caches(self) -> Path:
        """Where its response caches lie, one folder each."""
        return self.home / "caches"

    @property
    def stub_python(self) -> tuple[int, int]:
        """
        The Python its stub was linked against.

        Read from the file itself: running it to ask would need that very libpython.
        """
        found = _LIBPYTHON.search(self.stub.read_bytes())
        return (3, int(found[1])) if found else (0, 0)

    @property
    def takes_numpy_2(self) -> bool:
        """Whether its Python backend reads NumPy 2 arrays; before 2.52 it corrupts them, silently."""
        return self.version >= (2, 52)

    @property
    def traces_safely(self) -> bool:
        """Whether it has NVIDIA's mend (server, pull request 8144) of a trace that frees its mutex while it is held."""
        return self.version >= (2, 58)


def find_installation(
    triton_home: str | os.PathLike[str] | None = None,
    *,
    environment: Mapping[str, str] = os.environ,
    container_home: Path = CONTAINER_HOME,
) -> Installation:
    """
    The tritonserver to run: *triton_home*'s, else ``SEXTANT_TRITON_HOME``'s, else NVIDIA's container's,
    else the wheel's.

    Raises LaunchRefused if the named folder holds none, MissingExtra if there is none anywhere.
    """
    named = triton_home or environment.get(HOME_VARIABLE)
    if named:
        return _at(Path(named).absolute())
    if (container_home / "bin" / "tritonserver").exists():
        return _at(container_home)
    return _in_wheel()


def _at(home: Path) -> Installation:
    stubs = (home / "python_backend_stubs" / _running_python() / STUB, home / "backends" / "python" / STUB)
    stub = next((path for path in stubs if path.exists()), None)
    if not (home / "bin" / "tritonserver").exists():
        raise LaunchRefused(f"{home} holds no bin/tritonserver: name the folder that does, like {CONTAINER_HOME}")
    if stub is None:
        raise LaunchRefused(f"{home} has no Python backend for Python {_running_python()}")
    return Installation(home, stub, libraries=(home / "lib",), version=_version(home))


def _in_wheel() -> Installation:
    spec = find_spec("pytriton")
    if spec is None or spec.origin is None:
        raise MissingExtra("server", "the embedded Triton")
    package = Path(spec.origin).parent
    home = package / "tritonserver"
    return Installation(
        home,
        home / "python_backend_stubs" / _running_python() / STUB,
        libraries=(package.parent / "nvidia_pytriton.libs",),
        version=WHEEL_VERSION,
    )


def _version(home: Path) -> tuple[int, int]:
    """A home that does not say its version is treated as the oldest one supported."""
    try:
        major, minor, *_ = (home / "TRITON_VERSION").read_text(encoding="utf-8").split(".")
        return int(major), int(minor)
    except (OSError, ValueError):
        return WHEEL_VERSION


def _running_python() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"
