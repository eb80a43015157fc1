"""
Gaussian process classifiers of two classes or more, without an operator that only one ONNX Runtime has.

skl2onnx solves a triangular system inside the graph, knows no third class, and no class that is text.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.polynomial import Chebyshev, Polynomial
from onnx import TensorProto
from scipy.linalg import solve_triangular
from scipy.special import erfcx
from skl2onnx.algebra.onnx_ops import OnnxIdentity
from skl2onnx.common.data_types import DoubleTensorType, guess_proto_type
from skl2onnx.operator_converters._gp_kernels import convert_kernel, convert_kernel_diag
from sklearn.gaussian_process._gpc import COEFS, LAMBDAS

from sextant.errors import ConversionError
from sextant_export.converters.graph_writer import OperatorGraph, choice, whole_labels


def convert_gaussian_classifier(scope: Any, operator: Any, container: Any) -> None:
    """Add the nodes of a fitted GaussianProcessClassifier: each class against the rest."""
    model = operator.raw_operator
    if len(model.classes_) > 2 and model.multi_class == "one_vs_one":
        raise ConversionError("a GaussianProcessClassifier of one_vs_one is not known: fit it with one_vs_rest")
    parts = getattr(model.base_estimator_, "estimators_", [model.base_estimator_])
    process = _Process(scope, operator, container)
    latent, chances = zip(*(process.chance(part) for part in parts), strict=True)
    graph = process.graph
    if len(parts) == 1:
        other = graph.node("Sub", process.constant("one", np.ones(1)), chances[0])
        shares = graph.node("Concat", other, chances[0], axis=1)
        over = graph.node("Greater", latent[0], process.constant("none", np.zeros(1)))
        places = graph.node("Squeeze", graph.cast(over, TensorProto.INT64), process.axis)
    else:
        joined = graph.node("Concat", *chances, axis=1)
        shares = graph.node("Div", joined, graph.node("ReduceSum", joined, process.axis, keepdims=1))
        places = graph.node("ArgMax", joined, axis=1, keepdims=0)
    choice(graph, places, whole_labels(model.classes_), output=operator.outputs[0].full_name)
    graph.cast(shares, guess_proto_type(operator.outputs[1].type), output=operator.outputs[1].full_name)


class _Process:
    """The words for one process of one class: the kernel in the type of the rows, all else in float64."""

    def __init__(self, scope: Any, operator: Any, container: Any) -> None:
        self.graph = OperatorGraph(scope, container)
        self._scope, self._container, self._rows = scope, container, operator.inputs[0]
        self._dtype = np.float64 if isinstance(self._rows.type, DoubleTensorType) else np.float32
        self.axis = self.graph.weight("axis", np.array([1]))

    def constant(self, meaning: str, values: Any) -> str:
        return self.graph.weight(meaning, np.asarray(values, dtype=np.float64))

    def chance(self, part: Any) -> tuple[str, str]:
        """The latent mean (B, 1), and the chance (B, 1) of being of the class."""
        graph, version = self.graph, self._container.target_opset
        words = {"dtype": self._dtype, "optim": None, "op_version": version}
        training = np.asarray(part.X_train_, dtype=self._dtype)
        near = self._named(convert_kernel(part.kernel_, self._rows, x_train=training, **words))
        mean = graph.node("MatMul", near, self.constant("weights", (part.y_train_ - part.pi_)[:, None]))
        half = solve_triangular(part.L_, np.diag(part.W_sr_), lower=True)
        spread = graph.node("MatMul", near, self.constant("half", half.T))
        known = graph.node("ReduceSumSquare", spread, self.axis, keepdims=1)
        prior = self._named(convert_kernel_diag(part.kernel_, self._rows, **words))
        column = graph.node("Reshape", prior, graph.weight("column", np.array([-1, 1])))
        return mean, self._squashed(mean, graph.node("Sub", column, known))

    def _squashed(self, mean: str, variance: str) -> str:
        """Williams and Barber's approximation of the logistic function's mean, as scikit-learn has it."""
        graph = self.graph
        slopes, shares = self.constant("slopes", LAMBDAS.T), self.constant("shares", COEFS / 2)
        doubled = graph.node("Mul", variance, self.constant("two", 2 * LAMBDAS.T**2))
        root = graph.node("Sqrt", graph.node("Add", doubled, self.constant("one", np.ones(1))))
        steep = graph.node("Div", graph.node("Mul", mean, slopes), root)
        total = graph.node("MatMul", self._erf(steep), shares)
        return graph.node("Add", total, self.constant("middle", [COEFS.sum() / 2]))

    def _erf(self, values: str) -> str:
        """
        The error function to 1e-12: ONNX Runtime has it in float32, of which the sum above would leave three places.

        ``erfc(z) = t exp(P(t) - z^2)`` with ``t = 1 / (1 + z / 2)``, and P a polynomial in ``2 t - 1``.
        """
        graph, one, two = self.graph, self.constant("one", 1.0), self.constant("two", 2.0)
        size = graph.node("Abs", values)
        near = graph.node("Reciprocal", graph.node("Add", graph.node("Div", size, two), one))
        place = graph.node("Sub", graph.node("Mul", near, two), one)
        highest, *others = (self.constant("coefficient", value) for value in _ERROR[::-1])
        power = highest
        for coefficient in others:
            power = graph.node("Add", graph.node("Mul", power, place), coefficient)
        rest = graph.node("Exp", graph.node("Sub", power, graph.node("Mul", size, size)))
        whole = graph.node("Sub", one, graph.node("Mul", near, rest))
        return graph.node("Mul", graph.node("Sign", values), whole)

    def _named(self, made: Any) -> str:
        """The name of what skl2onnx's own words *made*, as float64."""
        name = str(self._scope.get_unique_variable_name("kernel"))
        OnnxIdentity(made, output_names=[name], op_version=self._container.target_opset).add_to(
            self._scope, self._container
        )
        return self.graph.cast(name, TensorProto.DOUBLE)


def _error_exponent(place: Any) -> Any:
    near = (place + 1) / 2
    return np.log(erfcx(2 / near - 2) / near)


_series: Any = Chebyshev
_ERROR = _series.interpolate(_error_exponent, 22).convert(kind=Polynomial).coef
