"""
A LightGBM model, native or of its scikit-learn API, as a graph that takes every branch as LightGBM does.

A native booster answers what its predict gives: the probability, the number, or the chances of each class.  An
``LGBMClassifier`` answers its label as ``prediction`` and ``probabilities`` beside it.
"""

from __future__ import annotations

from typing import Any

import onnx

from sextant_export.converters.tabular import graph_of, loaded, own_answers, require_package
from sextant_export.original import Original
from sextant_export.registry import Artifact
from sextant_export.signature import Signature


def convert(artifact: Artifact, signature: Signature | None) -> onnx.ModelProto:  # noqa: ARG001 - the model knows
    """
    The graph ``features`` FP32 (B, width) -> ``prediction``, and ``probabilities`` of a classifier.

    ``ConversionError`` names the objective or kind of tree that is not known; ``MissingExtra`` the package.
    """
    from sextant_export.converters.lightgbm_model import read

    return graph_of(artifact, read(_load(artifact)))


def original(artifact: Artifact) -> Original:
    """Its own answers, the probabilities of a classifier among them."""
    return own_answers(artifact, _load(artifact))


def _load(artifact: Artifact) -> Any:
    require_package("lightgbm")
    return loaded(artifact, lambda mlflow, path: mlflow.lightgbm.load_model(path))
