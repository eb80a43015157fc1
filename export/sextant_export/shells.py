"""The blocks' Triton shells, as committed in ``model_repository/``, and how a version of one is written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sextant.errors import StoreError


def shells() -> Path:
    """The folder of shells: beside this file in an installed wheel, at the root of a checkout."""
    for place in (Path(__file__).parent, Path(__file__).parents[2]):
        if (place / "model_repository").is_dir():
            return place / "model_repository"
    raise StoreError("the blocks' shells (model_repository/) are not installed: install triton-sextant again")


def write_block(block: str, parameters: Mapping[str, Any], directory: Path) -> None:
    """
    Put the shell of *block* and its complete *parameters* into the version directory *directory*, made where needed.

    The empty file ``__pycache__`` keeps Python from writing a folder of that name there, which Triton would take for a
    changed version and load again.
    """
    directory.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(shells() / block / "1" / "model.py", directory / "model.py")
    (directory / "__pycache__").touch()
    (directory / "parameters.json").write_text(json.dumps(parameters, indent=2) + "\n", encoding="utf-8")
