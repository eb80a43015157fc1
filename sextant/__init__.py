"""
Error ellipses, fusion, votes and calibration: NumPy and geographiclib, no I/O.

``fuse`` itself is in ``sextant.fuse``: a name cannot be both a function and its module.
"""

from __future__ import annotations

from sextant.answers import ErrorEllipse, Fix, Label, Record, from_tensors, kind
from sextant.binomial import coverage_interval, realised_coverage
from sextant.circular import circular_probability, circular_radius, drms
from sextant.confidence import counted_confidence, fitted_temperature, prediction_sets
from sextant.conform import conformal_radius, conformal_rank, coverage, mahalanobis_scores
from sextant.dawid_skene import DawidSkene, dawid_skene_vote, fit_dawid_skene
from sextant.ellipse import Ellipse, confidence_ellipse, mahalanobis_radius, probability_within, small_sample_radius
from sextant.errors import SextantError
from sextant.fuse import Fused, residual_covariance
from sextant.gaussian import energy_score, negative_log_likelihood, probability_integral
from sextant.geodesy import karcher_mean, to_east_north, to_latitude_longitude, transport
from sextant.outline import ellipse_outline
from sextant.plane import covariance_intersection, geometric_median, inverse_variance, moment_match
from sextant.reliability import brier_score, estimated_calibration_error, expected_calibration_error
from sextant.scores import Scores, evaluate
from sextant.tensors import Tensor
from sextant.vote import Poll, plurality, soft_vote

__all__ = [
    "DawidSkene",
    "Ellipse",
    "ErrorEllipse",
    "Fix",
    "Fused",
    "Label",
    "Poll",
    "Record",
    "Scores",
    "SextantError",
    "Tensor",
    "brier_score",
    "circular_probability",
    "circular_radius",
    "confidence_ellipse",
    "conformal_radius",
    "conformal_rank",
    "counted_confidence",
    "covariance_intersection",
    "coverage",
    "coverage_interval",
    "dawid_skene_vote",
    "drms",
    "ellipse_outline",
    "energy_score",
    "estimated_calibration_error",
    "evaluate",
    "expected_calibration_error",
    "fit_dawid_skene",
    "fitted_temperature",
    "from_tensors",
    "geometric_median",
    "inverse_variance",
    "karcher_mean",
    "kind",
    "mahalanobis_radius",
    "mahalanobis_scores",
    "moment_match",
    "negative_log_likelihood",
    "plurality",
    "prediction_sets",
    "probability_integral",
    "probability_within",
    "realised_coverage",
    "residual_covariance",
    "small_sample_radius",
    "soft_vote",
    "to_east_north",
    "to_latitude_longitude",
    "transport",
]
