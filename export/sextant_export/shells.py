"""The blocks' Triton shells, as committed in ``model_repository/``, for copying into a store."""

from __future__ import annotations

import shutil
from pathlib import Path

from sextant.errors import StoreError


def shells() -> Path:
    """The folder of shells: beside this file in an installed wheel, at the root of a checkout."""
    for place in (Path(__file__).parent, Path(__file__).parents[2]):
        if (place / "model_repository").is_dir():
            return place / "model_repository"
    raise StoreError("the blocks' shells (model_repository/) are not installed: install triton-sextant again")


def copy_shell(block: str, directory: Path) -> None:
    """
    Copy the shell of *block* into the version directory *directory*.

    The empty file ``__pycache__`` keeps Python from writing a folder of that name there, which Triton would take for a
    changed version and load again.
    """
    shutil.copyfile(shells() / block / "1" / "model.py", directory / "model.py")
    (directory / "__pycache__").touch()
