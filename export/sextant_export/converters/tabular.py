"""What the flavours of tables share: which inputs a graph takes, and how a native estimator answers them."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import onnx

from sextant.columns import NUMBERS
from sextant.errors import ConversionError, MissingExtra, RegistryError
from sextant_export.converters.boosted import PROBABILITIES, Boosted, graph_of_boosted
from sextant_export.mlflow_calls import quiet_mlflow
from sextant_export.original import Original, first_line, named, pyfunc_original, require_signature
from sextant_export.registry import Artifact
from sextant_export.signature import ANSWER, Arrays, Feed, Signature


def require_package(package: str) -> None:
    """MissingExtra where the *package*, which is the extra's name too, is not installed."""
    if find_spec(package) is None:
        raise MissingExtra(package, f"converting a model of {package}")


def is_matrix(signature: Signature) -> bool:
    """Whether rows of *signature* are rows of numbers: one array of one axis, or a table of numbers."""
    if signature.form == "columns":
        return all(column.type in NUMBERS for column in signature.inputs)
    (column, *others) = signature.inputs
    return signature.form == "array" and not others and len(column.dims) == 1 and column.served.dtype != "BYTES"


def require_matrix(artifact: Artifact, width: int) -> None:
    """ConversionError where the signature is not of rows of *width* numbers, each a feature of the model."""
    signature = artifact.signature
    if signature is None:
        return
    if not is_matrix(signature):
        said = ", ".join(f"{column.name} {column.type}" for column in signature.inputs)
        raise ConversionError(
            f"{artifact.version}: its features are numbers, and its signature is of {said}: "
            "log it with signature=infer_signature(rows, predictions) of the rows it was trained on"
        )
    came = len(signature.inputs) if signature.form == "columns" else signature.inputs[0].dims[0]
    if came not in {width, -1}:
        raise ConversionError(f"{artifact.version}: it was trained on {width} features, and its signature has {came}")


def graph_of(artifact: Artifact, boosted: Boosted) -> onnx.ModelProto:
    """The graph of a model of boosted trees, once its features are what the signature of *artifact* says."""
    require_matrix(artifact, boosted.width)
    return graph_of_boosted(boosted)


def own_answers(artifact: Artifact, model: Any) -> Original:
    """Of a classifier the label and the probabilities, of anything else what pyfunc answers."""
    return native(artifact, model, probabilities=True) if gives_probabilities(model) else pyfunc_original(artifact)


def loaded(artifact: Artifact, load: Callable[[Any, str], Any]) -> Any:
    """The model itself, by *load* of MLflow and the path; it runs what was saved, so the registry must be trusted."""
    try:
        with quiet_mlflow() as mlflow:
            return load(mlflow, str(artifact.path))
    except (ConversionError, MissingExtra):
        raise
    except Exception as error:
        raise ConversionError(f"{artifact.version}: its model cannot be loaded: {first_line(error)}") from error


def native(artifact: Artifact, model: Any, method: str = "predict", *, probabilities: bool = False) -> Original:
    """What *model* answers by *method*, and the probabilities of a classifier beside it."""
    signature = require_signature(artifact)

    def answer(feed: Feed) -> Arrays:
        asked = signature.asked(feed)
        with quiet_mlflow():
            try:
                answers = {ANSWER: getattr(model, method)(asked)}
                if probabilities:
                    answers[PROBABILITIES] = model.predict_proba(asked)
            except Exception as error:
                rows = len(next(iter(feed.values())))
                said = f"{artifact.version}: its own {method} fails on {rows} rows: {first_line(error)}"
                raise RegistryError(said) from error
        return named(answers)

    return answer


def gives_probabilities(model: Any) -> bool:
    """Whether *model* is a classifier of one label a row that says how likely each is."""
    classes = getattr(model, "classes_", None)
    return hasattr(model, "predict_proba") and isinstance(classes, np.ndarray) and classes.ndim == 1
