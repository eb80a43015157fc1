from __future__ import annotations

import json
from pathlib import Path

import pytest

from sextant.blocks import BLOCKS
from sextant_export.config import block_config, read_config
from sextant_export.pipeline import Serving

COMMITTED = Path(__file__).parents[2] / "model_repository"


def test_every_block_has_a_shell_and_no_shell_is_without_a_block():
    """``pyfunc`` is no step of a pipeline: it stands in for a member."""
    assert {folder.name for folder in COMMITTED.iterdir()} == {*BLOCKS, "pyfunc"}


@pytest.mark.parametrize("name", sorted(BLOCKS))
def test_a_committed_config_is_the_one_that_is_built(name):
    built = block_config(name, BLOCKS[name], Serving(max_batch_size=64), [1])

    assert read_config(COMMITTED / name / "config.pbtxt") == built


@pytest.mark.parametrize("name", sorted(BLOCKS))
def test_committed_parameters_make_a_block(name):
    parameters = json.loads((COMMITTED / name / "1" / "parameters.json").read_text(encoding="utf-8"))

    assert BLOCKS[name](parameters)
