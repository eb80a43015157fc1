"""Two of the three doors into a block: the function itself, and its shell over a stand-in for Triton."""

from __future__ import annotations

import json

import numpy as np

import fake_pb_utils
from sextant.backend import Shell
from sextant.blocks import BLOCKS
from sextant.errors import SextantError

FUSE = {
    "members": ["oak", "elm", "ash"],
    "member_covariances": [[[100, 0], [0, 400]], [[225, 50], [50, 100]], [[400, -100], [-100, 225]]],
    "frame": "east_north_m",
    "origin": [48.137, 11.575],
}


class RefusedError(Exception):
    """The sentence a door refused a request with."""


def through_the_function(block, parameters, tensors):
    try:
        return BLOCKS[block](parameters)(**tensors)
    except SextantError as error:
        raise RefusedError(str(error)) from error


def through_the_shell(folder):
    def ask(block, parameters, tensors):
        response = shell(folder, block, parameters).respond([fake_pb_utils.InferenceRequest(tensors)])[0]
        if response.error is not None:
            assert response.error.code() == fake_pb_utils.TritonError.INVALID_ARG
            raise RefusedError(response.error.message())
        return response.arrays()

    return ask


def shell(folder, block, parameters):
    (folder / "1").mkdir(exist_ok=True)
    (folder / "1" / "parameters.json").write_text(json.dumps(parameters), encoding="utf-8")
    name = getattr(block, "__name__", block)
    args = {"model_name": name, "model_repository": str(folder), "model_version": "1"}
    return Shell(fake_pb_utils, args, BLOCKS.get(block, block))


def fused(rows=1, **changed):
    """The inputs of the ellipse block."""
    tensors = {
        "fused_position": np.tile([[48.0, 11.0]], (rows, 1)),
        "fused_covariance": np.tile([[[30.0, 12.0], [12.0, 50.0]]], (rows, 1, 1)),
        "fused_between_share": np.full((rows, 1), 0.25),
        "fused_members_used": np.full((rows, 1), 3, np.int32),
        "fused_multimodal": np.zeros((rows, 1), np.bool_),
    }
    return tensors | changed


def members(*positions):
    """One row of members' answers, as their tensors."""
    return {f"member_{slot}": np.array([place], np.float32) for slot, place in enumerate(positions)}
