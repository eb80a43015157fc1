"""What a pipeline answers, typed: a fix, a label or a record for each row that was asked."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from math import pi
from typing import Any, Literal, NamedTuple, TypeAlias

from numpy.typing import NDArray

from sextant.errors import ParametersError

Kind: TypeAlias = Literal["position", "label", "record", "tensors"]
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

    def ellipse(self, confidence_level: float) -> ErrorEllipse:
        """The ellipse at *confidence_level*; ``ValueError`` with the levels that are served for any other."""
        for ellipse in self.ellipses:
            if abs(ellipse.confidence_level - confidence_level) < 1e-9:
                return ellipse
        served = ", ".join(f"{level:g}" for level in self.confidence_levels)
        raise ParametersError(f"no ellipse at {confidence_level:g}: this pipeline answers {served}")

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


@dataclass(frozen=True, slots=True)
class Label:
    """
    A class and how sure it is.

    *probabilities* are one a class, *agreement* is the winner's share of the votes, *confidence* the
    calibrated probability of being right, 0-100, and *tied* says that another label took as much.
    """

    label: str | int
    probabilities: tuple[float, ...]
    agreement: float
    confidence: float
    tied: bool
    release: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """The same in plain JSON values."""
        return {**asdict(self), "probabilities": list(self.probabilities)}


@dataclass(frozen=True, slots=True)
class Record:
    """
    A structured answer and how sure it is.

    *agreement* is one a field; *confidence* the calibrated probability of the record being right, 0-100;
    *record_supported* says that at least one sample said exactly this record.
    """

    record: Any
    agreement: Any
    confidence: float
    record_supported: bool
    samples_used: int
    tier: str
    cost: float
    seeds: tuple[int, ...]
    release: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """The same in plain JSON values."""
        return {**asdict(self), "seeds": list(self.seeds)}


def kind(names: Collection[str]) -> Kind:
    """
    What a pipeline with outputs of these *names* answers.

    >>> kind(["position", "covariance", "confidence_level", "ellipse"]), kind(["scores"])
    ('position', 'tensors')
    """
    if {"position", "covariance", "confidence_level", "ellipse"} <= set(names):
        return "position"
    if {"label", "probabilities", "agreement"} <= set(names):
        return "label"
    return "record" if {"record", "agreement"} <= set(names) else "tensors"


def from_tensors(tensors: Mapping[str, NDArray[Any]]) -> list[Fix] | list[Label] | list[Record]:
    """
    One typed answer for each row of a pipeline's output *tensors*.

    ``ValueError`` where their names belong to no typed answer.
    """
    answers = kind(tensors.keys())
    if answers == "position":
        return _fixes(tensors)
    if answers == "label":
        return _labels(tensors)
    if answers == "record":
        return _records(tensors)
    raise ParametersError(f"no typed answer has the tensors {', '.join(sorted(tensors))}")


def _fixes(tensors: Mapping[str, NDArray[Any]]) -> list[Fix]:
    """By columns, for this is what a caller waits for: 64 fixes in 0.2 ms."""
    latitude, longitude = tensors["position"].T.tolist()
    covariance, levels = tensors["covariance"], tensors["confidence_level"]
    rows = zip(
        latitude,
        longitude,
        zip(map(tuple, covariance[:, 0].tolist()), map(tuple, covariance[:, 1].tolist()), strict=True),
        map(tuple, levels.tolist()),
        _ellipses(levels, tensors["ellipse"]),
        *(_scalars(tensors, name, default) for name, default in _FIX_DEFAULTS),
        strict=True,
    )
    return list(map(_fix, rows))


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


def _labels(tensors: Mapping[str, NDArray[Any]]) -> list[Label]:
    columns = zip(
        map(_text, _scalars(tensors, "label")),
        map(tuple, tensors["probabilities"].tolist()),
        _scalars(tensors, "agreement"),
        _scalars(tensors, "confidence"),
        _scalars(tensors, "tied"),
        _scalars(tensors, "release"),
        strict=True,
    )
    return [Label(*row) for row in columns]


def _records(tensors: Mapping[str, NDArray[Any]]) -> list[Record]:
    columns = zip(
        map(json.loads, _scalars(tensors, "record")),
        map(json.loads, _scalars(tensors, "agreement")),
        _scalars(tensors, "confidence"),
        _scalars(tensors, "record_supported"),
        _scalars(tensors, "samples_used"),
        map(_text, _scalars(tensors, "tier", "")),
        _scalars(tensors, "cost", 0.0),
        map(tuple, tensors["seeds"].tolist()),
        _scalars(tensors, "release"),
        strict=True,
    )
    return [Record(*row) for row in columns]


def _scalars(tensors: Mapping[str, NDArray[Any]], name: str, default: Any = None) -> list[Any]:
    """One plain value a row: tensors of one value may come as ``(B,)`` or ``(B, 1)``."""
    if name in tensors:
        values: list[Any] = tensors[name].reshape(-1).tolist()
        return values
    return [default] * len(next(iter(tensors.values())))


def _text(value: Any) -> Any:
    return value.decode("utf-8") if isinstance(value, bytes) else value
