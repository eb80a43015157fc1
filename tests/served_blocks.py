"""Blocks as models of a running Triton, asked over plain gRPC, as no client of ours would."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tritonclient.grpc import InferInput
from tritonclient.utils import InferenceServerException

from block_doors import RefusedError
from sextant.blocks import BLOCKS
from sextant.tensors import triton_type
from sextant_export.config import block_config, write_config
from sextant_export.pipeline import Serving

COMMITTED = Path(__file__).parents[1] / "model_repository"


class ServedBlock:
    """The committed *block* of a Triton, once for each set of its parameters, as a release would write it."""

    def __init__(self, triton, store, block, max_batch_size):
        self._triton, self._models, self._block = triton, store / "models", block
        self._serving, self._loaded = Serving(max_batch_size=max_batch_size), {}

    def __call__(self, parameters):
        """The name of the model with these *parameters*, which is loaded."""
        key = json.dumps(parameters)
        if key not in self._loaded:
            self._loaded[key] = f"{self._block}_{len(self._loaded)}"
            self._load(self._loaded[key], parameters)
        return self._loaded[key]

    def _load(self, name, parameters):
        place = copy_committed(self._block, self._models / name)
        (place / "1" / "parameters.json").write_text(json.dumps(parameters))
        config = block_config(name, BLOCKS[self._block](parameters), self._serving, [1])
        write_config(config, place / "config.pbtxt")
        self._triton.load(name)


def copy_committed(block, place):
    """*block* as it is committed, at *place*."""
    shutil.copytree(COMMITTED / block, place, ignore=shutil.ignore_patterns("__pycache__"))
    return place


def infer(client, model, tensors):
    """All outputs by name; RefusedError with the server's sentence."""
    inputs = []
    for name, array in tensors.items():
        inputs.append(InferInput(name, array.shape, triton_type(array.dtype)))
        inputs[-1].set_data_from_numpy(array)
    try:
        result = client.infer(model, inputs)
    except InferenceServerException as error:
        raise RefusedError(error.message()) from error
    return {output.name: result.as_numpy(output.name) for output in result.get_response().outputs}
