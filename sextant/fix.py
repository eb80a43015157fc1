"""The answer of a position pipeline: where, how sure, and by what right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from math import pi, sqrt
from typing import Any, NamedTuple, TypeAlias

from numpy.typing import NDArray

from sextant.circular import circular_radius
from sextant.ellipse import confidence_ellipse
from sextant.errors import ParametersError
from sextant.values import is_level, level_text, scalars, text

Matrix: TypeAlias = tuple[tuple[float, float], tuple[float, float]]


class ErrorEllipse(NamedTuple):
    """
    The region about a fix that holds the truth with probability *confidence_level*.

    Half axes in metres; the bearing of the longer one in degrees clockwise from true north in [0, 180).

    >>> round(ErrorEllipse(0.95, 20.0, 10.0, 45.0).area_m2, 1)
    628.3
    """

    confidence_level: float
    semi_major_m: float
    semi_minor_m: float
    orientation_deg: float

    @property
    def area_m2(self) -> float:
        """The area within, in square metres."""
        return pi * self.semi_major_m * self.semi_minor_m


@dataclass(frozen=True)
class Fix:
    """
    A position and how sure it is.

    Latitude and longitude are in degrees on WGS84; *covariance* is in square metres, east before north.
    *between_share* is the share of the members' disagreement in the variance, and *multimodal* says that
    they see two places; *degenerate* that the ellipse is a line or a point; *calibrated* that its size was
    measured on held-back rows rather than taken from a Gaussian.  *release* is the release that answered.
    *scale_method* says what the ellipses' levels rest on: ``chi2``, a Gaussian of this covariance; ``f``, one
    whose covariance is the spread of few members; ``conformal``, held-back rows.  *members_rejected* are those
    that the others overruled.

    >>> ellipse = ErrorEllipse(0.95, 18.26, 12.09, 25.1)
    >>> fix = Fix(48.0, 11.0, ((30.0, 12.0), (12.0, 50.0)), (0.95,), (ellipse,))
    >>> fix.ellipse(0.95).semi_major_m
    18.26
    """

    latitude: float
    longitude: float
    covariance: Matrix
    confidence_levels: tuple[float, ...]
    ellipses: tuple[ErrorEllipse, ...]
    between_share: float = 0.0
    members_used: int = 1
    degenerate: bool = False
    multimodal: bool = False
    calibrated: bool = False
    release: int | None = None
    scale_method: str = "chi2"
    members_rejected: tuple[str, ...] = ()

    @property
    def drms_m(self) -> float:
        """The root mean square of the distance from the truth, in metres, by the covariance."""
        (east, _), (_, north) = self.covariance
        return sqrt(east + north)

    @property
    def cep50_m(self) -> float:
        """The radius, in metres, of the circle about the fix that holds half of its Gaussian."""
        return self._circle_m(0.5)

    @property
    def r90_m(self) -> float:
        """The radius, in metres, of the circle about the fix that holds 90 % of its Gaussian."""
        return self._circle_m(0.9)

    @property
    def r95_m(self) -> float:
        """The radius, in metres, of the circle about the fix that holds 95 % of its Gaussian."""
        return self._circle_m(0.95)

    def ellipse(self, confidence_level: float) -> ErrorEllipse:
        """The ellipse at *confidence_level*; ``ValueError`` with the levels that are served for any other."""
        for ellipse in self.ellipses:
            if is_level(confidence_level, ellipse.confidence_level):
                return ellipse
        served = ", ".join(map(level_text, self.confidence_levels)) or "none"
        raise ParametersError(f"no ellipse at {level_text(confidence_level)}: this pipeline answers {served}")

    def to_dict(self) -> dict[str, Any]:
        """The same in plain JSON values."""
        ellipses = [{**ellipse._asdict(), "area_m2": ellipse.area_m2} for ellipse in self.ellipses]
        plain = {name: getattr(self, name) for name in _FIX_FIELDS}
        covariance = [list(row) for row in self.covariance]
        return {
            **plain,
            "covariance": covariance,
            "confidence_levels": list(self.confidence_levels),
            "ellipses": ellipses,
            "members_rejected": list(self.members_rejected),
        }

    def to_geojson(self, confidence_level: float | None = None) -> dict[str, Any]:
        """
        RFC 7946: the ellipse at *confidence_level* as a Feature; without one, the point and all ellipses.

        Polygons are cut at the antimeridian; an ellipse too thin to draw is drawn half a metre wide,
        with its true axes among the properties.

        >>> ellipse = ErrorEllipse(0.95, 18.26, 12.09, 25.1)
        >>> fix = Fix(48.0, 11.0, ((30.0, 12.0), (12.0, 50.0)), (0.95,), (ellipse,))
        >>> [feature["geometry"]["type"] for feature in fix.to_geojson()["features"]]
        ['Point', 'Polygon']
        """
        # Only who draws pays for the drawing's imports.
        from sextant import geojson

        if confidence_level is None:
            return geojson.feature_collection(self)
        return geojson.ellipse_feature(self, self.ellipse(confidence_level))

    def to_quakeml(self, confidence_level: float | None = None) -> dict[str, Any]:
        """
        The fields of a QuakeML ``OriginUncertainty``: the ellipse at *confidence_level*, or the surest one.

        Of a *degenerate* fix, the circle about that ellipse.

        >>> ellipse = ErrorEllipse(0.95, 18.26, 12.09, 25.1)
        >>> fields = Fix(48.0, 11.0, ((30.0, 12.0), (12.0, 50.0)), (0.95,), (ellipse,)).to_quakeml()
        >>> fields["maxHorizontalUncertainty"], fields["confidenceLevel"]
        (18.26, 95.0)
        """
        from sextant import standards

        level = max(self.confidence_levels, default=0.95) if confidence_level is None else confidence_level
        return standards.quakeml_origin_uncertainty(self.ellipse(level), degenerate=self.degenerate)

    def to_nmea_gst(self, time: datetime, *, talker: str = "GN") -> str:
        r"""
        The fix's errors as an NMEA 0183 ``GST`` sentence, whose axes are standard deviations (39 %).

        *time* is that of the fix, with its time zone; *talker* the two letters of who speaks: ``GN`` is the one
        that every reader of GST knows, ``IN`` is integrated navigation.

        >>> from datetime import timezone
        >>> fix = Fix(48.0, 11.0, ((30.0, 12.0), (12.0, 50.0)), (), ())
        >>> fix.to_nmea_gst(datetime(2026, 5, 4, 17, 28, 14, tzinfo=timezone.utc))
        '$GNGST,172814.00,,7.458,4.938,25.1,7.071,5.477,*7E\r\n'
        """
        from sextant import standards

        return standards.nmea_gst(self.covariance, time, talker)

    def _circle_m(self, confidence_level: float) -> float:
        unit = confidence_ellipse(self.covariance, 1.0)
        return float(circular_radius(confidence_level, unit.semi_major_m, unit.semi_minor_m))


def fixes(tensors: Mapping[str, NDArray[Any]]) -> list[Fix]:
    """
    One fix for each row of a position pipeline's output *tensors*.

    By columns, for this is what a caller waits for: 64 fixes in 0.2 ms.
    """
    latitude, longitude = tensors["position"].T.tolist()
    covariance, levels = tensors["covariance"], tensors["confidence_level"]
    rows = zip(
        latitude,
        longitude,
        zip(map(tuple, covariance[:, 0].tolist()), map(tuple, covariance[:, 1].tolist()), strict=True),
        map(tuple, levels.tolist()),
        _ellipses(levels, tensors["ellipse"]),
        *(scalars(tensors, name, default) for name, default in _FIX_DEFAULTS),
        _scale_methods(tensors),
        map(_names, scalars(tensors, "members_rejected", "")),
        strict=True,
    )
    return list(map(_fix, rows))


def _scale_methods(tensors: Mapping[str, NDArray[Any]]) -> Iterator[str]:
    """What each says; of a server that does not say it yet, what it can only have been."""
    if "scale_method" in tensors:
        return map(text, scalars(tensors, "scale_method"))
    return ("conformal" if calibrated else "chi2" for calibrated in scalars(tensors, "calibrated"))


def _names(joined: Any) -> tuple[str, ...]:
    return tuple(text(joined).split(",")) if joined else ()


def _fix(row: tuple[Any, ...]) -> Fix:
    """A frozen class fills its fields one by one, the long way round; this fills them at once."""
    fix = object.__new__(Fix)
    vars(fix).update(zip(_FIX_FIELDS, row, strict=True))
    return fix


def _ellipses(levels: NDArray[Any], ellipses: NDArray[Any]) -> Iterator[tuple[ErrorEllipse, ...]]:
    """The ellipses of each row, one a level."""
    axes = ellipses.reshape(-1, 3).T.tolist()
    every = map(ErrorEllipse._make, zip(levels.ravel().tolist(), *axes, strict=True))
    return zip(*[every] * levels.shape[1], strict=True)


_FIX_FIELDS = tuple(field.name for field in fields(Fix))

# In the order of Fix's fields.
_FIX_DEFAULTS: tuple[tuple[str, Any], ...] = (
    ("between_share", 0.0),
    ("members_used", 1),
    ("degenerate", False),
    ("multimodal", False),
    ("calibrated", False),
    ("release", None),
)
