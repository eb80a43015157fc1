"""
How good answers are and whether they keep their promise: several ways to combine the same members, judged alike.

Coverage comes with two intervals. The binomial one takes every row for itself; but the rows of one aircraft share its
late report, so the one that draws whole aircraft again and again (bootstrap) is the wider and the more honest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from arrivals import Messages
from sextant.answers import Fix
from sextant.binomial import coverage_interval
from sextant.blocks import BLOCKS
from sextant.conform import mahalanobis_scores
from sextant.ellipse import mahalanobis_radius
from sextant.geodesy import to_east_north
from tdoa import Floats

REDRAWN = 2000


@dataclass(frozen=True)
class Answers:
    """
    What one *rule* answers: *position* ``(N, 2)`` in degrees, *covariance* ``(N, 2, 2)`` in m2 east and north.

    *radii* ``(L,)`` are how many standard deviations the ellipse of each confidence level reaches.
    """

    rule: str
    position: Floats
    covariance: Floats
    radii: Floats


@dataclass(frozen=True)
class Coverage:
    """The *share* of true places inside; *binomial* and *by_aircraft*, between what the true share lies (95 %)."""

    share: float
    binomial: tuple[float, float]
    by_aircraft: tuple[float, float]


@dataclass(frozen=True)
class Judged:
    """Errors in metres; *coverage* by confidence level; *median_area_m2*, of each level's ellipses."""

    rows: int
    aircraft: int
    median_error_m: float
    p95_error_m: float
    coverage: Mapping[str, Coverage]
    median_area_m2: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


def conformal(rule: str, fixes: Sequence[Fix]) -> Answers:
    """Fixes with the ellipses that they were served with."""
    first = fixes[0]
    unit = float(np.sqrt(np.linalg.eigvalsh(np.array(first.covariance))[-1]))
    radii = np.array([ellipse.semi_major_m / unit for ellipse in first.ellipses])
    return Answers(rule, *_moments(fixes), radii)


def at_its_word(rule: str, position: Floats, covariance: Floats, levels: Sequence[float]) -> Answers:
    """Answers whose covariance is believed: chi-square ellipses."""
    return Answers(rule, position, covariance, mahalanobis_radius(np.array(levels)))


def unfused(fixes: Sequence[Fix], levels: Sequence[float]) -> Answers:
    """The fixes' own covariances, taken at their word."""
    return at_its_word("fused, chi-square", *_moments(fixes), levels)


def inverse_variance(members: Mapping[str, Mapping[str, Floats]], levels: Sequence[float]) -> Answers:
    """The members' answers combined as if their errors were independent, by the very block that could be served."""
    block = BLOCKS["fuse"](
        {
            "members": list(members),
            "method": "inverse_variance",
            "members_are_independent": True,
            "frame": "latitude_longitude",
            "gate": None,
            "slots": {f"{word}_{i}": "FP64" for i in range(len(members)) for word in ("member", "covariance")},
        }
    )
    slots = {f"member_{i}": given["position"] for i, given in enumerate(members.values())}
    slots |= {f"covariance_{i}": given["covariance"] for i, given in enumerate(members.values())}
    fused = block(**slots)
    return at_its_word("inverse variance, chi-square", fused["fused_position"], fused["fused_covariance"], levels)


def judge(answers: Answers, messages: Messages, levels: Sequence[float]) -> Judged:
    """*answers* to *messages*, in the same order."""
    offsets = to_east_north(answers.position, messages.truth)
    errors = np.hypot(*offsets.T)
    inside = mahalanobis_scores(offsets, answers.covariance)[:, None] <= answers.radii
    area = np.pi * np.median(np.sqrt(np.linalg.det(answers.covariance))) * answers.radii**2
    return Judged(
        rows=len(errors),
        aircraft=len(np.unique(messages.aircraft)),
        median_error_m=float(np.median(errors)),
        p95_error_m=float(np.quantile(errors, 0.95)),
        coverage={f"{level:g}": _coverage(inside[:, i], messages.aircraft) for i, level in enumerate(levels)},
        median_area_m2={f"{level:g}": float(area[i]) for i, level in enumerate(levels)},
    )


def only(answers: Answers, rows: npt.NDArray[np.bool_]) -> Answers:
    """The same rule on some *rows*."""
    return Answers(answers.rule, answers.position[rows], answers.covariance[rows], answers.radii)


def _coverage(inside: npt.NDArray[np.bool_], aircraft: npt.NDArray[np.int64]) -> Coverage:
    return Coverage(
        share=float(inside.mean()),
        binomial=coverage_interval(int(inside.sum()), len(inside)),
        by_aircraft=_redrawn(inside, aircraft),
    )


def _redrawn(inside: npt.NDArray[np.bool_], aircraft: npt.NDArray[np.int64]) -> tuple[float, float]:
    """Between what 95 % of the shares lie when whole aircraft are drawn again, with a seed."""
    _, whose = np.unique(aircraft, return_inverse=True)
    held, rows = np.bincount(whose, weights=inside), np.bincount(whose)
    drawn = np.random.default_rng(0).integers(len(rows), size=(REDRAWN, len(rows)))
    low, high = np.quantile(held[drawn].sum(axis=1) / rows[drawn].sum(axis=1), [0.025, 0.975])
    return float(low), float(high)


def _moments(fixes: Sequence[Fix]) -> tuple[Floats, Floats]:
    position = np.array([(fix.latitude, fix.longitude) for fix in fixes])
    return position, np.array([fix.covariance for fix in fixes])
