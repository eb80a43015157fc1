"""How good fixes are, told by rows whose true place is known: errors, and whether ellipses keep promise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sextant.answers import Fix
from sextant.conform import mahalanobis_scores
from sextant.ellipse import mahalanobis_radius
from sextant.errors import CalibrationError
from sextant.geodesy import to_east_north
from sextant.tensors import Floats, Mask
from sextant.values import level_text

MICROMETRE = 1e-6


@dataclass(frozen=True)
class Scores:
    """
    What was measured on held-back rows.

    *coverage* is the share of true places inside the ellipse of each confidence level;
    *median_area_m2* is that of the ellipses with the highest level.
    """

    rows: int
    median_error_m: float
    p95_error_m: float
    coverage: dict[float, float]
    median_area_m2: float

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON: confidence levels become strings."""
        return asdict(self) | {"coverage": {level_text(level): share for level, share in self.coverage.items()}}

    def __str__(self) -> str:
        promised = ", ".join(f"{100 * level:.10g}% ellipse holds {share:.1%}" for level, share in self.coverage.items())
        return f"median error {self.median_error_m:.1f} m, 95th percentile {self.p95_error_m:.1f} m; {promised}"


def evaluate(fixes: Sequence[Fix], truth: Floats) -> Scores:
    """
    The scores of *fixes* against *truth*, latitude and longitude ``(N, 2)`` in the same order.

    ``CalibrationError`` where there is nothing to score, or another number of true places.
    """
    offsets = offsets_m(fixes, truth)
    errors = np.linalg.norm(offsets, axis=1)
    levels = fixes[0].confidence_levels
    return Scores(
        rows=len(fixes),
        median_error_m=float(np.median(errors)),
        p95_error_m=float(np.quantile(errors, 0.95)),
        coverage={level: float(inside(fixes, offsets, level).mean()) for level in levels},
        median_area_m2=float(np.median([fix.ellipse(max(levels)).area_m2 for fix in fixes])),
    )


def chi_square_coverage(fixes: Sequence[Fix], truth: Floats) -> dict[float, float]:
    """
    What the coverage would be if each fix's covariance were taken at its word, without calibration.

    The share of true places within the chi-square radius of each confidence level.
    """
    scores = mahalanobis_scores(offsets_m(fixes, truth), np.array([fix.covariance for fix in fixes]))
    return {level: float((scores <= mahalanobis_radius(level)).mean()) for level in fixes[0].confidence_levels}


def offsets_m(fixes: Sequence[Fix], truth: Floats) -> Floats:
    """Geodesic metres east and north from each fix to the true place, ``(N, 2)``."""
    if not len(fixes) or np.shape(truth) != (len(fixes), 2):
        raise CalibrationError(f"expected a true place (2,) for each of {len(fixes)} fixes, got {np.shape(truth)}")
    return to_east_north([(fix.latitude, fix.longitude) for fix in fixes], truth)


def inside(fixes: Sequence[Fix], offsets: Floats, confidence_level: float) -> Mask:
    """
    Which true places lie inside the ellipse as it was served: by its axes and orientation, not by a covariance.

    An ellipse without width is taken a micrometre wide, or rounding alone would empty it.
    """
    ellipses = [fix.ellipse(confidence_level) for fix in fixes]
    major, minor = (
        np.maximum([getattr(ellipse, axis) for ellipse in ellipses], MICROMETRE)
        for axis in ("semi_major_m", "semi_minor_m")
    )
    turn = np.radians([ellipse.orientation_deg for ellipse in ellipses])
    east, north = offsets.T
    along, across = east * np.sin(turn) + north * np.cos(turn), east * np.cos(turn) - north * np.sin(turn)
    within: Mask = (along / major) ** 2 + (across / minor) ** 2 <= 1
    return within
