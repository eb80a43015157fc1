"""Members that become TensorRT plans: a perceptron, a convolution, a forest, and how plans are asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from embedded_models import graph
from sextant_export.copies.tensorrt import planned
from sextant_export.graph_file import GraphFile
from sextant_export.pipeline import Serving, TensorRT

SERVING = Serving(max_batch_size=16)
FLOAT = TensorProto.FLOAT


def rtx(**asked):
    """Plans by the library that compiles on a CPU, for Ada unless *asked* for others."""
    pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed: no plan can be built on a CPU")
    return TensorRT(**{"builder": "tensorrt_rtx", "compute_capabilities": ("8.9",), **asked})


def perceptron(seed=1):
    """Eight numbers in, two out, one hidden layer."""
    rng = np.random.default_rng(seed)
    weights = [_weight("w1", rng.standard_normal((8, 32))), _weight("w2", rng.standard_normal((32, 2)) / 8)]
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["a"], name="first"),
        helper.make_node("Relu", ["a"], ["b"], name="bend"),
        helper.make_node("MatMul", ["b", "w2"], ["y"], name="second"),
    ]
    return graph(nodes, {"x": (FLOAT, ("rows", 8))}, {"y": (FLOAT, ("rows", 2))}, weights)


def convolution(size=("height", "width")):
    """Images of three channels, of any *size*, in; four scores out."""
    rng = np.random.default_rng(2)
    weights = [_weight("k", rng.standard_normal((6, 3, 3, 3)) / 4), _weight("w", rng.standard_normal((6, 4)))]
    nodes = [
        helper.make_node("Conv", ["x", "k"], ["a"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("GlobalAveragePool", ["b"], ["c"]),
        helper.make_node("Flatten", ["c"], ["d"]),
        helper.make_node("MatMul", ["d", "w"], ["y"]),
    ]
    return graph(nodes, {"x": (FLOAT, ("rows", 3, *size))}, {"y": (FLOAT, ("rows", 4))}, weights)


def forest():
    """A scikit-learn forest: one node of ``ai.onnx.ml``."""
    from skl2onnx import to_onnx
    from sklearn.ensemble import RandomForestRegressor

    x = features(50)
    return to_onnx(RandomForestRegressor(3, random_state=0).fit(x, x[:, 0]), x[:1], target_opset=17)


def features(count, width=8, seed=5):
    """Seeded rows."""
    return np.random.default_rng(seed).standard_normal((count, width)).astype(np.float32)


def on_disk(model, folder: Path) -> GraphFile:
    """*model* in the new *folder*."""
    folder.mkdir(parents=True)
    onnx.save(model, folder / "model.onnx")
    return GraphFile(folder / "model.onnx")


def copy_of(model, tmp_path, asked, serving=SERVING, **more):
    """What becomes of *model* where plans are *asked* for."""
    return planned(on_disk(model, tmp_path / "graph"), asked, serving, tmp_path / "plans", **more)


def _weight(name, values):
    return numpy_helper.from_array(np.asarray(values, np.float32), name)
