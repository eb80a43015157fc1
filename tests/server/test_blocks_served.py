"""The third door into a block: the same promises, asked of a real Triton."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from block_doors import FUSE, RefusedError, fused, members
from block_promises import PROMISES
from served_blocks import copy_committed, infer
from sextant.blocks import BLOCKS
from sextant_export.config import block_config, write_config
from sextant_export.pipeline import Serving

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def triton_store(triton_store):
    """The blocks as they are committed."""
    for block in BLOCKS:
        copy_committed(block, triton_store / "models" / block)
    return triton_store


@pytest.fixture(scope="module")
def door(triton, triton_store, client):
    """Asks a block with its parameters, loading a model for each pair that has not been asked before."""
    loaded = {}

    def ask(block, parameters, tensors):
        key = (block, json.dumps(parameters))
        if key not in loaded:
            loaded[key] = f"{block}_{len(loaded)}"
            write_model(triton_store / "models", loaded[key], block, parameters)
            describe(triton_store / "models", loaded[key], block, parameters)
            triton.load(loaded[key])
        return infer(client, loaded[key], tensors)

    return ask


def write_model(models, name, block, parameters):
    shutil.copytree(models / block, models / name, ignore=shutil.ignore_patterns("__pycache__"))
    config = models / name / "config.pbtxt"
    config.write_text(config.read_text().replace(f'name: "{block}"', f'name: "{name}"', 1))
    (models / name / "1" / "parameters.json").write_text(json.dumps(parameters))


def describe(models, name, block, parameters):
    """Where its parameters make a block take or give other tensors, the configuration is that of the instance."""
    instance, committed = BLOCKS[block](parameters), BLOCKS[block]
    sides = [(instance.inputs, committed.inputs), (instance.outputs, committed.outputs)]
    if any({tensor[:2] for tensor in own} != {tensor[:2] for tensor in usual} for own, usual in sides):
        config = block_config(name, instance, Serving(max_batch_size=64), [1])
        write_config(config, models / name / "config.pbtxt")


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_a_block_keeps_its_promise_in_triton(door, promise):
    promise(door)


@pytest.mark.parametrize(
    ("block", "tensors", "output"),
    [
        ("scale", {"features": np.array([[1, -1, 2, 3]], np.float32)}, [[1, 0, 2, 3]]),
        ("fuse", members([48, 11], [48, 11], [48, 11]), [[48, 11]]),
        ("ellipse", fused(), [[48, 11]]),
    ],
)
def test_the_committed_blocks_load_and_answer_as_they_stand(client, block, tensors, output):
    answer = infer(client, block, tensors)

    assert next(iter(answer.values())).tolist() == pytest.approx(np.array(output), abs=1e-9)


@pytest.mark.parametrize("block", sorted(BLOCKS))
def test_triton_says_of_a_block_what_the_block_says_of_itself(client, block):
    config = client.get_model_config(block).config

    for declared, described in zip(
        [*BLOCKS[block].inputs, *BLOCKS[block].outputs], [*config.input, *config.output], strict=True
    ):
        assert declared.name == described.name
        assert declared.dims == tuple(described.dims)
        assert getattr(described, "optional", False) == declared.optional


def test_in_a_crowd_only_the_bad_request_fails(client, door):
    """Sixty at once, gathered into dynamic batches by Triton; each gets its own answer or its own refusal."""
    parameters = {"width": 2, "missing": 100}
    door("scale", parameters, {"features": np.zeros((1, 2), np.float32)})

    def ask(value):
        try:
            answer = door("scale", parameters, {"features": np.array([[value, 100]], np.float32)})
        except RefusedError as refusal:
            return str(refusal)
        return answer["scaled"].tolist()

    values = [float(value) if value % 10 else np.nan for value in range(60)]
    with ThreadPoolExecutor(16) as crowd:
        answers = list(crowd.map(ask, values))

    for value, answer in zip(values, answers, strict=True):
        if np.isnan(value):
            assert "got nan in row 0, column 0" in answer
        else:
            assert answer == [[value, 0.0]]


def test_a_parameter_that_is_wrong_stops_the_load_with_its_sentence(triton, triton_store):
    write_model(triton_store / "models", "misspelt", "fuse", {**FUSE, "gaet": 0.99})

    with pytest.raises(Exception, match="gaet: unknown; did you mean 'gate'"):
        triton.load("misspelt")
