from __future__ import annotations

import json
from pathlib import Path

import pytest

from sextant.blocks import BLOCKS
from sextant_export.config import block_config, read_config
from sextant_export.pipeline import Serving
from sextant_export.shells import write_block

COMMITTED = Path(__file__).parents[2] / "model_repository"


def test_every_block_has_a_shell_and_no_shell_is_without_a_block():
    """``pyfunc`` and ``route`` are no steps of a pipeline: one stands in for a member, one for a front."""
    assert {folder.name for folder in COMMITTED.iterdir()} == {*BLOCKS, "pyfunc", "route"}


@pytest.mark.parametrize("name", sorted(BLOCKS))
def test_a_committed_config_is_the_one_that_is_built(name):
    built = block_config(name, BLOCKS[name], Serving(max_batch_size=64), [1])

    assert read_config(COMMITTED / name / "config.pbtxt") == built


@pytest.mark.parametrize("name", sorted(BLOCKS))
def test_committed_parameters_make_a_block(name):
    parameters = json.loads((COMMITTED / name / "1" / "parameters.json").read_text(encoding="utf-8"))

    assert BLOCKS[name](parameters)


@pytest.mark.parametrize("name", sorted(BLOCKS))
def test_a_version_of_a_block_is_its_shell_and_its_parameters(name, tmp_path):
    """And a file where Python would put a folder, which Triton would take for a changed version."""
    folder = tmp_path / "models" / name / "1"

    write_block(name, {"width": 3}, folder)

    assert sorted(path.name for path in folder.iterdir()) == ["__pycache__", "model.py", "parameters.json"]
    assert (folder / "__pycache__").is_file()
    assert (folder / "model.py").read_bytes() == (COMMITTED / name / "1" / "model.py").read_bytes()
    assert (folder / "parameters.json").read_text(encoding="utf-8") == '{\n  "width": 3\n}\n'
