"""
A multi-layer perceptron regressor, layer by layer.

skl2onnx ends it in a column whatever the number of targets, so that two rows of two targets come out as four
rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto
from skl2onnx.common.data_types import guess_proto_type, guess_tensor_type

from sextant_export.converters.graph_writer import OperatorGraph

ACTIVATIONS = {"identity": "Identity", "logistic": "Sigmoid", "tanh": "Tanh", "relu": "Relu", "exp": "Exp"}


def perceptron_shape(operator: Any) -> None:
    """The output of one row: as many numbers as a target has."""
    kind = guess_tensor_type(operator.inputs[0].type).__class__
    operator.outputs[0].type = kind([None, operator.raw_operator.n_outputs_])


def convert_perceptron(scope: Any, operator: Any, container: Any) -> None:
    """Add the nodes of a fitted MLPRegressor."""
    model, graph = operator.raw_operator, OperatorGraph(scope, container)
    activations = [model.activation] * (len(model.coefs_) - 1) + [model.out_activation_]
    rows = graph.cast(operator.inputs[0].full_name, TensorProto.FLOAT)
    for weights, bias, activation in zip(model.coefs_, model.intercepts_, activations, strict=True):
        product = graph.node("MatMul", rows, graph.weight("weights", weights.astype(np.float32)))
        total = graph.node("Add", product, graph.weight("bias", bias.astype(np.float32)))
        rows = graph.node(ACTIVATIONS[activation], total)
    graph.cast(rows, guess_proto_type(operator.outputs[0].type), output=operator.outputs[0].full_name)
