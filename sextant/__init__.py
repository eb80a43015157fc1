"""
Error ellipses, fusion and calibration: NumPy and geographiclib, no I/O.

``fuse`` itself is in ``sextant.fuse``: a name cannot be both a function and its module.
"""

from __future__ import annotations

from sextant.answers import ErrorEllipse, Fix, Label, Record, from_tensors, kind
from sextant.circular import circular_probability, circular_radius, drms
from sextant.conform import conformal_radius, conformal_rank, coverage, mahalanobis_scores
from sextant.ellipse import Ellipse, confidence_ellipse, mahalanobis_radius, probability_within
from sextant.errors import SextantError
from sextant.fuse import Fused, residual_covariance
from sextant.gaussian import energy_score, negative_log_likelihood, probability_integral
from sextant.geodesy import karcher_mean, to_east_north, to_latitude_longitude, transport
from sextant.outline import ellipse_outline
from sextant.plane import covariance_intersection, geometric_median, inverse_variance, moment_match
from sextant.scores import Scores, evaluate
from sextant.tensors import Tensor

__all__ = [
    "Ellipse",
    "ErrorEllipse",
    "Fix",
    "Fused",
    "Label",
    "Record",
    "Scores",
    "SextantError",
    "Tensor",
    "circular_probability",
    "circular_radius",
    "confidence_ellipse",
    "conformal_radius",
    "conformal_rank",
    "covariance_intersection",
    "coverage",
    "drms",
    "ellipse_outline",
    "energy_score",
    "evaluate",
    "from_tensors",
    "geometric_median",
    "inverse_variance",
    "karcher_mean",
    "kind",
    "mahalanobis_radius",
    "mahalanobis_scores",
    "moment_match",
    "negative_log_likelihood",
    "probability_integral",
    "probability_within",
    "residual_covariance",
    "to_east_north",
    "to_latitude_longitude",
    "transport",
]
