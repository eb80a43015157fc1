"""A model folder as a Triton repository has it: two rows of 16 numbers in, their sum and difference out."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, helper

NAME = "onnx_float32_int32_int32"
CONFIG = """\
platform: "onnxruntime_onnx"
max_batch_size: 8
version_policy: { latest { num_versions: 1 } }
input: [{ name: "INPUT0" data_type: TYPE_FP32 dims: [16] }, { name: "INPUT1" data_type: TYPE_FP32 dims: [16] }]
output: [{ name: "OUTPUT0" data_type: TYPE_INT32 dims: [16] }, { name: "OUTPUT1" data_type: TYPE_INT32 dims: [16] }]
"""


def sum_and_difference(width: int = 16, batch: str | int = "batch") -> onnx.ModelProto:
    """FP32 INPUT0 and INPUT1, INT32 OUTPUT0 = their sum and OUTPUT1 = their difference."""
    nodes = [
        helper.make_node("Add", ["INPUT0", "INPUT1"], ["sum"]),
        helper.make_node("Sub", ["INPUT0", "INPUT1"], ["difference"]),
        helper.make_node("Cast", ["sum"], ["OUTPUT0"], to=TensorProto.INT32),
        helper.make_node("Cast", ["difference"], ["OUTPUT1"], to=TensorProto.INT32),
    ]
    values = {
        kind: [helper.make_tensor_value_info(f"{side}{i}", kind, [batch, width]) for i in (0, 1)]
        for side, kind in (("INPUT", TensorProto.FLOAT), ("OUTPUT", TensorProto.INT32))
    }
    graph = helper.make_graph(nodes, "sum_and_difference", values[TensorProto.FLOAT], values[TensorProto.INT32])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def write_folder(
    parent: Path, *, config: str | None = CONFIG, versions: tuple[int, ...] = (1,), name: str = NAME
) -> Path:
    """The folder, in *parent*; without *config*, Triton would have to complete one."""
    folder = parent / name
    for version in versions:
        (folder / str(version)).mkdir(parents=True)
        onnx.save(sum_and_difference(), folder / str(version) / "model.onnx")
    folder.mkdir(exist_ok=True, parents=True)
    if config is not None:
        (folder / "config.pbtxt").write_text(config, encoding="utf-8")
    return folder
