"""A fix as RFC 7946 features."""

from __future__ import annotations

from math import hypot, sqrt
from typing import TYPE_CHECKING, Any

from sextant.ellipse import confidence_ellipse
from sextant.outline import ellipse_outline

if TYPE_CHECKING:
    from sextant.answers import ErrorEllipse, Fix

# A plane Gaussian means little where the earth curves under it.
_LARGE_M = 500_000.0


def feature_collection(fix: Fix) -> dict[str, Any]:
    """The point of a fix, then its ellipses from the most to the least confident, as a map is painted."""
    outermost_first = sorted(fix.ellipses, key=lambda ellipse: -ellipse.confidence_level)
    point = {"type": "Point", "coordinates": [fix.longitude, fix.latitude]}
    features = [
        _feature(point, _spread(fix)),
        *(ellipse_feature(fix, ellipse) for ellipse in outermost_first),
    ]
    return {"type": "FeatureCollection", "features": features}


def ellipse_feature(fix: Fix, ellipse: ErrorEllipse) -> dict[str, Any]:
    """One ellipse of a fix as a polygon with its axes, its level and how its size was found."""
    outline = ellipse_outline(fix.latitude, fix.longitude, *ellipse[1:])
    properties = _spread(fix)
    deviation_m = properties["sd_major_m"]
    return _feature(
        outline,
        {
            **ellipse._asdict(),
            "area_m2": ellipse.area_m2,
            "scale_method": "conformal" if fix.calibrated else "chi2",
            "scale_factor": ellipse.semi_major_m / deviation_m if deviation_m else None,
            "large": ellipse.semi_major_m > _LARGE_M,
            **properties,
        },
    )


def _spread(fix: Fix) -> dict[str, Any]:
    unit = confidence_ellipse(fix.covariance, 1.0)
    sd_east_m, sd_north_m = sqrt(fix.covariance[0][0]), sqrt(fix.covariance[1][1])
    return {
        "latitude": fix.latitude,
        "longitude": fix.longitude,
        "sd_major_m": float(unit.semi_major_m),
        "sd_minor_m": float(unit.semi_minor_m),
        "sd_east_m": sd_east_m,
        "sd_north_m": sd_north_m,
        "drms_m": hypot(sd_east_m, sd_north_m),
        "covariance_enu_m2": [list(row) for row in fix.covariance],
        "degenerate": fix.degenerate,
        "multimodal": fix.multimodal,
        "calibrated": fix.calibrated,
        "between_share": fix.between_share,
        "members_used": fix.members_used,
        "release": fix.release,
    }


def _feature(geometry: dict[str, Any], properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Feature", "geometry": geometry, "properties": properties}
