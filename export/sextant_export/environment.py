"""
A model's own environment as an archive that Triton's Python backend unpacks and starts the model in.

It is laid out as a virtual environment, but holds no interpreter: the backend brings its own, and needs of the folder
``bin/activate``, a ``python3`` to find ``pyvenv.cfg`` beside, and the packages.  So nothing in it names the machine it
was built on, it holds no links, which Triton refuses since 26.06, and it may be built for another Python than runs
here.  The same packages make the same bytes.
"""

from __future__ import annotations

import gzip
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import sextant
from sextant.environment import Wanted
from sextant.errors import ConversionError

ARCHIVE = "environment.tar.gz"
PYTHON = "3.12"
"""The Python of NVIDIA's container, and where it stands there."""
HOME = "/usr/bin"

_ACTIVATE = """\
# Triton sources this up to 25.08, and after that only looks that it is there.
VIRTUAL_ENV="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
export VIRTUAL_ENV PATH="$VIRTUAL_ENV/bin:$PATH"
unset PYTHONHOME
"""
_INTERPRETER = """\
#!/bin/sh
# The server's own Python with these packages; Triton does not run this, it looks beside it.
PYTHONPATH="$(cd "$(dirname "$0")/.." && pwd)/lib/python{python}/site-packages" exec {home}/python{python} "$@"
"""


def build_archive(wanted: Wanted, place: Path, *, python: str = PYTHON, home: str = HOME) -> Path:
    """
    The archive *place* with the packages *wanted*, MLflow and Sextant's block, for the *python* that stands in *home*.

    ``ConversionError`` where pip cannot bring them as wheels: nothing is compiled, for it would be for this machine.
    """
    with tempfile.TemporaryDirectory(prefix="sextant-environment-", dir=place.parent) as folder:
        root = Path(folder)
        packages = root / f"lib/python{python}/site-packages"
        _install(list(_requirements(wanted)), packages, python)
        shutil.copytree(Path(sextant.__file__).parent, packages / "sextant", ignore=_LEFT)
        _lay_out(root, python, home)
        partial = place.with_name(f".{place.name}.partial")
        _pack(root, partial)
        return partial.replace(place)


_LEFT = shutil.ignore_patterns("__pycache__")


def _requirements(wanted: Wanted) -> Iterator[str]:
    """What the model was logged with, and what the block stands on where that does not bring it."""
    from packaging.requirements import InvalidRequirement, Requirement

    named = set()
    for line in wanted.requirements:
        try:
            named.add(Requirement(line).name.lower())
        except InvalidRequirement:
            raise ConversionError(f"its requirement {line!r} names no package that an archive could hold") from None
        yield line
    if not named & {"mlflow", "mlflow-skinny"}:
        yield f"mlflow-skinny=={version('mlflow-skinny')}"
    yield from sorted({"geographiclib", "numpy", "packaging", "pandas", "pyyaml"} - named)


def _install(requirements: list[str], packages: Path, python: str) -> None:
    wheels = ("--only-binary", ":all:", "--python-version", python, "--implementation", "cp")
    quiet = ("--quiet", "--no-input", "--no-compile", "--disable-pip-version-check", "--no-warn-conflicts")
    command = [sys.executable, "-m", "pip", "install", *quiet, *wheels, "--target", str(packages), *requirements]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        why = (said or ["?"])[-1].removeprefix("ERROR: ")
        raise ConversionError(f"pip cannot bring the model's packages for Python {python}: {why}")
    shutil.rmtree(packages / "bin", ignore_errors=True)  # commands, which name this machine's Python


def _lay_out(root: Path, python: str, home: str) -> None:
    (root / "bin").mkdir()
    (root / "bin" / "activate").write_text(_ACTIVATE, encoding="utf-8")
    interpreter = root / "bin" / "python3"
    interpreter.write_text(_INTERPRETER.format(python=python, home=home), encoding="utf-8")
    interpreter.chmod(0o755)
    page = f"home = {home}\ninclude-system-site-packages = false\nversion = {python}\n"
    (root / "pyvenv.cfg").write_text(page, encoding="utf-8")


def _pack(root: Path, place: Path) -> None:
    """Every file of *root*, in order, without times and owners."""
    with (
        place.open("wb") as raw,
        gzip.GzipFile("", "wb", 6, raw, mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for path in sorted(root.rglob("*")):
            archive.add(path, path.relative_to(root).as_posix(), recursive=False, filter=_plain)


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname = 0, 0, 0, "", ""
    entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
    return entry
