"""Each peer's own virtual environment, made once under ``var/peers`` and kept while its requirements stay the same."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2] / "var" / "peers"
MADE = "requirements.txt"
"""What an environment was made of; it is written last, so one that was interrupted is made again."""


class NotInstalled(Exception):
    """Why an environment could not be made, in pip's last words."""


def environment(name: str, requirements: Sequence[str]) -> Path:
    """The environment *name* with *requirements*, made if it is not there; NotInstalled says why it cannot be."""
    home, asked = ROOT / name, "\n".join((*requirements, sys.version))
    made = home / MADE
    if made.is_file() and made.read_text(encoding="utf-8") == asked:
        return home
    print(f"peers: {name}: installing {', '.join(requirements)} into {home}", file=sys.stderr)
    shutil.rmtree(home, ignore_errors=True)
    home.parent.mkdir(parents=True, exist_ok=True)
    _run(name, [sys.executable, "-m", "venv", str(home)])
    _run(name, [str(home / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", *requirements])
    made.write_text(asked, encoding="utf-8")
    return home


def _run(name: str, command: list[str]) -> None:
    with tempfile.TemporaryFile("w+") as log:
        status = subprocess.run(command, check=False, stdout=log, stderr=log).returncode
        log.seek(0)
        said = log.read().strip().splitlines()
    if status:
        raise NotInstalled(f"{name} cannot be installed: {said[-1] if said else f'pip ended with {status}'}")
