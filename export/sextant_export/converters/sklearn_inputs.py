"""What a graph of a scikit-learn estimator takes: one matrix of numbers, or its columns apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from onnx import TensorProto
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, StringTensorType
from sklearn.base import BaseEstimator, TransformerMixin, is_classifier
from sklearn.compose import ColumnTransformer
from sklearn.cross_decomposition import PLSRegression
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.linear_model._base import LinearClassifierMixin, LinearModel
from sklearn.linear_model._glm.glm import _GeneralizedLinearRegressor
from sklearn.naive_bayes import ComplementNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor, NearestNeighbors
from sklearn.preprocessing import PowerTransformer

from sextant.columns import Column
from sextant.errors import ConversionError
from sextant_export.converters.selection import selects_by_name
from sextant_export.converters.sklearn_parts import HISTOGRAMS, TREES
from sextant_export.converters.tabular import is_matrix
from sextant_export.signature import MATRIX, Signature

_LINEAR = (LinearModel, _GeneralizedLinearRegressor, PLSRegression)
_FELT = (
    GaussianProcessClassifier,
    GaussianProcessRegressor,
    *_LINEAR,
    LinearClassifierMixin,
    LogisticRegression,
    ComplementNB,
    PowerTransformer,
)
"""Whose sums cancel, so that float32 is felt in the answer."""
_JUMPING = (*TREES, *HISTOGRAMS, KNeighborsClassifier, KNeighborsRegressor, NearestNeighbors)
"""Whose answer jumps, so that a last place that a step before them loses is felt."""

KINDS = {
    "BOOL": TensorProto.BOOL,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "FP16": TensorProto.FLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BYTES": TensorProto.STRING,
}


@dataclass(frozen=True, kw_only=True)
class Taken:
    """One input: *name* as the estimator knows it, *tensor* as it is served, its served *kind*, and its *width*."""

    name: str
    tensor: str
    kind: int
    width: int

    def inside(self, kind: int) -> Any:
        """What skl2onnx is told of it where numbers are of *kind*."""
        if self.kind == TensorProto.STRING:
            return StringTensorType([None, self.width])
        return {TensorProto.FLOAT: FloatTensorType, TensorProto.DOUBLE: DoubleTensorType}[kind]([None, self.width])


def inputs_of(estimator: Any, signature: Signature, *, wide: bool) -> tuple[Taken, ...]:
    """
    What the graph takes.

    Rows of numbers are one ``features`` FP32, or FP64 where the signature is of float64 rows and *wide* says that the
    estimator needs them.  Where a column is no number, or is selected by its name, each is an input of its own type.
    """
    if is_matrix(signature) and not _selects_by_name(estimator):
        return (_matrix(estimator, signature, wide=wide),)
    if signature.form == "columns":
        return tuple(_apart(column) for column in signature.inputs)
    (column, *others) = signature.inputs
    if signature.form == "array" and not others and column.type == "string" and len(column.dims) == 1:
        return (Taken(name=MATRIX, tensor=column.tensor, kind=TensorProto.STRING, width=column.dims[0]),)
    came = ", ".join(f"{column.name} {column.type} {[-1, *column.dims]}" for column in signature.inputs)
    raise ConversionError(
        f"a scikit-learn model takes rows of one array, or a table, and its signature is of {came}: "
        "log it with signature=infer_signature(rows, predictions)"
    )


def needs_wide_rows(estimator: Any) -> bool:
    """Whether float32 rows would be felt: by Gaussian processes and linear regressions, whatever their numbers are."""
    if is_classifier(estimator):
        return False
    return any(isinstance(part, (GaussianProcessRegressor, *_LINEAR)) for part in parts(estimator))


def needs_wide_sums(estimator: Any) -> bool:
    """Whether float32 arithmetic would be felt in the answer, or turn a row at a threshold to the other side."""
    found = list(parts(estimator))
    if any(isinstance(part, _FELT) or getattr(part, "method", None) == "isotonic" for part in found):
        return True
    steps = any(isinstance(part, TransformerMixin) and not isinstance(part, _JUMPING) for part in found)
    return any(isinstance(part, _JUMPING) or type(part).__module__.startswith(_BOOSTERS) for part in found) and steps


_BOOSTERS = ("lightgbm", "xgboost")


def parts(estimator: Any) -> Iterator[Any]:
    """The estimator and every fitted or given one inside it; of what is calibrated scikit-learn makes no estimator."""
    if isinstance(estimator, BaseEstimator) or hasattr(estimator, "calibrators"):
        yield estimator
        inside = () if isinstance(estimator, TREES) else tuple(vars(estimator).values())
    elif isinstance(estimator, dict):
        inside = tuple(estimator.values())
    elif isinstance(estimator, list | tuple):
        inside = tuple(estimator)
    else:
        return
    for part in inside:
        yield from parts(part)


def _selects_by_name(estimator: Any) -> bool:
    found = (part for part in parts(estimator) if isinstance(part, ColumnTransformer))
    return any(selects_by_name(columns) for part in found for _, _, columns in getattr(part, "transformers_", ()))


def _matrix(estimator: Any, signature: Signature, *, wide: bool) -> Taken:
    first = signature.inputs[0]
    table = signature.form == "columns"
    width = len(signature.inputs) if table else first.dims[0]
    kind = TensorProto.DOUBLE if wide and not table and first.type == "float64" else TensorProto.FLOAT
    width = width if width > 0 else int(estimator.n_features_in_)
    return Taken(name=MATRIX, tensor=MATRIX if table else first.tensor, kind=kind, width=width)


def _apart(column: Column) -> Taken:
    if column.type in {"json", "binary", "datetime"}:
        raise ConversionError(
            f"the column {column.name!r} is {column.type}, which no ONNX operator reads: log numbers or text in its "
            "place, or serve the model with `flavor: python_function`"
        )
    return Taken(name=column.name, tensor=column.tensor, kind=KINDS[column.served.dtype], width=1)
