"""A pipeline's steps and small members, as the compiler of graphs sees them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import onnx

from sextant.blocks import BLOCKS
from sextant_export.copies.onnx import OnnxCopy
from sextant_export.fusing.choice import chosen
from sextant_export.fusing.compiler import compiled
from sextant_export.fusing.parts import parts_of
from sextant_export.graph_file import settle
from sextant_export.pipeline import Pipeline
from sextant_export.signature import Feed
from sextant_export.wiring import wire

RANDOM = np.random.default_rng(20260)
ORIGIN = [48.0, 11.0]
OPSETS = {"oak": 13, "elm": 17, "ash": 21}


def page(members=("oak", "elm", "ash"), **changes) -> Pipeline:
    return Pipeline.from_mapping(
        {
            "name": "locate",
            "answer": "position",
            "members": members if isinstance(members, dict) else {name: f"models:/{name}/1" for name in members},
            "steps": [
                {"block": "scale", "with": {"offset": 100.0}},
                "members",
                {"block": "fuse", "with": {"frame": "east_north_m", "origin": ORIGIN}},
                {"block": "ellipse", "with": {"confidence_levels": [0.5, 0.95]}},
            ],
            **changes,
        }
    )


def parsed(text: str, opset: int = 17, **weights) -> onnx.ModelProto:
    graph = onnx.parser.parse_graph(text)
    graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in weights.items())
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=9)


def linear(opset=17, scale=10.0, seed=0) -> onnx.ModelProto:
    """Two numbers of three, by names that every such graph has."""
    weights = np.random.default_rng(seed).normal(0, scale, (3, 2)).astype(np.float32)
    return parsed("net (float[n, 3] x) => (float[n, 2] y) { t1 = MatMul(x, w) y = Identity(t1) }", opset, w=weights)


class Member(SimpleNamespace):
    """A member as the compiler sees it: a copy that was proven on some rows."""

    def __init__(self, name, model, folder, weights=None, **more):
        copy = OnnxCopy(graph=settle(model, weights or folder, folder / name), **more)
        feed: Feed = {tensor.name: RANDOM.uniform(0, 4, (40, 3)).astype(np.float32) for tensor in copy.inputs}
        copied = SimpleNamespace(answer=copy.answer)
        super().__init__(name=name, model_name=name, version=1, copy=copy, copied=copied, feed=feed)
        self.inputs, self.outputs = copy.inputs, copy.outputs


def three_members(folder) -> list[Member]:
    """Of different operator sets."""
    return [Member(name, linear(opset, seed=i), folder) for i, (name, opset) in enumerate(OPSETS.items())]


class Fused:
    """A pipeline's parts, and what is made of them."""

    def __init__(self, pipeline, members, folder, **more):
        measured = {"fuse": {"members": list(pipeline.members)}, "ellipse": {"release": 1}, "scale": {"width": 3}}
        self.parameters = {
            step.block: {**step.parameters, **measured.get(step.block, {}), **more.get(step.block, {})}
            for step in pipeline.blocks
        }
        if "fuse" in self.parameters:
            self.parameters["fuse"]["member_covariances"] = [[[25.0, 3.0], [3.0, 16.0]]] * len(members)
        blocks = {name: BLOCKS[name](given) for name, given in self.parameters.items()}
        self.wiring = wire(pipeline, members, 1, blocks)
        self.parts = parts_of(pipeline, members, blocks, self.parameters, self.wiring)
        self.choice = chosen(self.parts)
        self.folder = folder / "fused"

    def graph(self, wanted=None):
        wanted = wanted or [tensor.name for tensor in self.wiring.outputs]
        return compiled(self.choice.inside, wanted, self.folder).graph
