"""Small models for the tests of the embedded Triton: Python from a few lines, ONNX from a few nodes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

SHELL = """
import time
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(pb_utils.get_input_tensor_by_name(request, "x")) for request in requests]

    def answer(self, tensor):
        {line}
        x = tensor.as_numpy()
        return pb_utils.InferenceResponse([pb_utils.Tensor("y", x)])
"""

TENSORS = """
input { name: "x" data_type: TYPE_FP32 dims: [2] }
output { name: "y" data_type: TYPE_FP32 dims: [2] }
"""

ENSEMBLE = """
platform: "ensemble" max_batch_size: 8
ensemble_scheduling {{ step {{
  model_name: "{member}" model_version: 1
  input_map {{ key: "x" value: "x" }} output_map {{ key: "y" value: "y" }}
}} }}
"""


def write_config(store, model, text):
    """``config.pbtxt`` of *model*; gives its version folder."""
    version = Path(store) / "models" / model / "1"
    version.mkdir(parents=True)
    (version.parent / "config.pbtxt").write_text(f'name: "{model}"\n{text}')
    return version


def write_python(store, model, *, line="pass", source=None, instances=1):
    """A model that answers what it was asked, after *line*."""
    group = f"instance_group {{ kind: KIND_CPU count: {instances} }}"
    version = write_config(store, model, f'backend: "python" max_batch_size: 8\n{TENSORS}{group}')
    (version / "model.py").write_text(SHELL.format(line=line) if source is None else source)


def write_ensemble(store, model, member):
    """A pipeline of one step."""
    version = write_config(store, model, ENSEMBLE.format(member=member) + TENSORS)
    (version / ".keep").touch()


def doubling(shape=("rows", 2), kind=TensorProto.FLOAT):
    """A graph whose *y* is twice its *x*."""
    node = helper.make_node("Add", ["x", "x"], ["y"])
    return graph([node], {"x": (kind, shape)}, {"y": (kind, shape)})


def graph(nodes, inputs, outputs, weights=()):
    """An ONNX model of *nodes*; inputs and outputs map a name to (element type, shape)."""
    infos = [
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in tensors.items()]
        for tensors in (inputs, outputs)
    ]
    made = helper.make_graph(nodes, "graph", *infos, initializer=list(weights))
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model


def once_and_twice():
    """Its rows as they came, in ``y``, and doubled, in ``z``."""
    nodes = [helper.make_node("Identity", ["x"], ["y"]), helper.make_node("Add", ["x", "x"], ["z"])]
    shape = (TensorProto.FLOAT, ("rows", 2))
    return graph(nodes, {"x": shape}, {"y": shape, "z": shape})


def write_onnx(store, model, graph_, *, config=TENSORS, batch=8, instances=1, more=""):
    """An ONNX model; gives its version folder."""
    group = f"instance_group {{ kind: KIND_CPU count: {instances} }}"
    text = f'backend: "onnxruntime" max_batch_size: {batch}\n{config}{group}\n{more}'
    version = write_config(store, model, text)
    onnx.save(graph_, version / "model.onnx")
    return version


def ended_process():
    """The id of a process that has ended."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def rows(count, width=2, seed=7):
    """Seeded rows."""
    return np.random.default_rng(seed).standard_normal((count, width)).astype(np.float32)
