"""The committed model repository is what the code writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sextant.blocks import BLOCKS
from sextant.blocks.pyfunc import Pyfunc
from sextant.blocks.route import Route
from sextant.tensors import Tensor
from sextant_export.config import block_config, ensemble_config, read_config
from sextant_export.pipeline import Serving
from sextant_promote.canary.routing import router_config

REPOSITORY = Path(__file__).parents[2] / "model_repository"


@pytest.mark.parametrize("block", sorted(BLOCKS))
def test_a_committed_config_is_the_one_that_is_built(block):
    committed = read_config(REPOSITORY / block / "config.pbtxt")

    assert committed == block_config(block, BLOCKS[block], Serving(), [1])


def test_the_committed_model_of_its_own_python_is_the_one_that_is_built():
    """A smallest MLflow model lies there, so that its shell is loadable as it stands; it is no step of a pipeline."""
    place = REPOSITORY / "pyfunc"
    model = Pyfunc(place / "1" / "artifact", print, json.loads((place / "1" / "parameters.json").read_text()))

    assert read_config(place / "config.pbtxt") == block_config("pyfunc", model, Serving(), [1])


def test_the_committed_router_is_the_one_that_is_built():
    """It stands for the smallest front there is, ``x`` in and ``y`` out, and loads before its two releases do."""
    place = REPOSITORY / "route"
    route = Route(json.loads((place / "1" / "parameters.json").read_text()))
    front = ensemble_config("route", route.serving, [], [Tensor("x", "FP32", (1,))], [Tensor("y", "FP32", (1,))], 64)

    assert read_config(place / "config.pbtxt") == router_config(front, route.candidate, 1)


def test_every_block_has_its_shell_and_nothing_else_lies_there():
    assert sorted(path.name for path in REPOSITORY.iterdir()) == sorted([*BLOCKS, "pyfunc", "route"])
