"""A fix as RFC 7946 features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sextant.covariance import checked_covariance
from sextant.ellipse import confidence_ellipse
from sextant.outline import bounding_box, ellipse_outline

if TYPE_CHECKING:
    from sextant.fix import ErrorEllipse, Fix

# A plane Gaussian means little where the earth curves under it.
_LARGE_M = 500_000.0


def feature_collection(fix: Fix) -> dict[str, Any]:
    """The point of a fix, then its ellipses from the most to the least confident, as a map is painted."""
    outermost_first = sorted(fix.ellipses, key=lambda ellipse: -ellipse.confidence_level)
    point = {"type": "Point", "coordinates": [fix.longitude, fix.latitude]}
    about = _about(fix)
    features = [_feature(point, about), *(_drawn(fix, ellipse, about) for ellipse in outermost_first)]
    return {"type": "FeatureCollection", "features": features}


def ellipse_feature(fix: Fix, ellipse: ErrorEllipse) -> dict[str, Any]:
    """One ellipse of a fix as a polygon with its axes, its level and how its size was found."""
    return _drawn(fix, ellipse, _about(fix))


def _drawn(fix: Fix, ellipse: ErrorEllipse, about: dict[str, Any]) -> dict[str, Any]:
    deviation_m = about["sd_major_m"]
    size = {
        **ellipse._asdict(),
        "confidence": ellipse.confidence_level,
        "area_m2": ellipse.area_m2,
        "scale_method": fix.scale_method,
        "scale_factor": ellipse.semi_major_m / deviation_m if deviation_m else None,
        "large": ellipse.semi_major_m > _LARGE_M,
    }
    outline = ellipse_outline(fix.latitude, fix.longitude, *ellipse[1:])
    return {**_feature(outline, {**size, **about}), "bbox": bounding_box(outline)}


def _about(fix: Fix) -> dict[str, Any]:
    """What is true of the fix at any level."""
    covariance = checked_covariance(fix.covariance)
    unit = confidence_ellipse(covariance, 1.0)
    east_m, north_m = np.sqrt(np.diag(covariance)).tolist()
    rejected = list(fix.members_rejected)
    return {
        "latitude": fix.latitude,
        "longitude": fix.longitude,
        "sd_major_m": float(unit.semi_major_m),
        "sd_minor_m": float(unit.semi_minor_m),
        "sd_east_m": east_m,
        "sd_north_m": north_m,
        "covariance_enu_m2": [list(row) for row in fix.covariance],
        "drms_m": fix.drms_m,
        "cep50_m": fix.cep50_m,
        "r95_m": fix.r95_m,
        "degenerate": fix.degenerate,
        "calibrated": fix.calibrated,
        "members": {"n": fix.members_used + len(rejected), "used": fix.members_used, "rejected": rejected},
        "between_share": fix.between_share,
        "multimodal": fix.multimodal,
        "release": fix.release,
    }


def _feature(geometry: dict[str, Any], properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Feature", "geometry": geometry, "properties": properties}
