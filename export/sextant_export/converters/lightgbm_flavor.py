"""
A LightGBM model, native or of its scikit-learn API, as a graph that takes every branch as LightGBM does.

A native booster answers what its predict gives: the probability, the number, or the chances of each class.  An
``LGBMClassifier`` answers its label as ``prediction`` and ``probabilities`` beside it.
"""

from __future__ import annotations

from typing import Any

import onnx

from sextant_export.converters.boosted import graph_of_boosted
from sextant_export.converters.tabular import gives_probabilities, loaded, native, require_matrix, require_package
from sextant_export.original import Original, pyfunc_original
from sextant_export.registry import Artifact
from sextant_export.signature import Signature


def convert(artifact: Artifact, signature: Signature | None) -> onnx.ModelProto:  # noqa: ARG001 - the model knows
    """
    The graph ``features`` FP32 (B, width) -> ``prediction``, and ``probabilities`` of a classifier.

    ``ConversionError`` names the objective or kind of tree that is not known; ``MissingExtra`` the package.
    """
    from sextant_export.converters.lightgbm_model import read

    boosted = read(_load(artifact))
    require_matrix(artifact, boosted.width)
    return graph_of_boosted(boosted)


def original(artifact: Artifact) -> Original:
    """Its own answers: of a classifier the label and the probabilities, of anything else what pyfunc answers."""
    model = _load(artifact)
    return native(artifact, model, probabilities=True) if gives_probabilities(model) else pyfunc_original(artifact)


def _load(artifact: Artifact) -> Any:
    require_package("lightgbm")
    return loaded(artifact, lambda mlflow, path: mlflow.lightgbm.load_model(path))
