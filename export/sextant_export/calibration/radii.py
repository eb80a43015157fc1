"""The radii that conformal calibration finds, for all rows or for each group, and what a receipt says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite, nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sextant.binomial import realised_coverage
from sextant.conform import conformal_radius, conformal_rank, group_conformal_radii
from sextant.ellipse import mahalanobis_radius
from sextant.groups import Groups
from sextant.tensors import Floats
from sextant_export.calibration.facts import Facts, counted
from sextant_export.calibration.folds import Judged
from sextant_export.known_cases import KnownCases


def group_parameter(per: Mapping[str, Any], cases: KnownCases) -> dict[str, Any]:
    """
    The parameter ``groups`` of ``ellipse``, without its radii, that *per* comes to for *cases*.

    Groups by column are the words found in it, numbers in their order.
    """
    if per["by"] != "column":
        return dict(per)
    words = set() if cases.apart is None else set(cases.apart.tolist())
    return {**per, "values": sorted(words, key=_natural)}


def fitted_radii(
    scores: Floats,
    levels: Sequence[float],
    judged: Judged,
    groups: Mapping[str, Any] | None,
    place: NDArray[np.intp],
) -> tuple[dict[str, Any], Facts]:
    """
    What ``ellipse`` takes so that it holds each of *levels*, by the *scores* (N,) of known cases, and the facts.

    Each group of the block's parameter *groups* by itself, where it is given; *place* (N,) is each case's.  *judged*
    are the cases by what other folds teach.
    """
    if groups is not None:
        return _apart(scores, levels, judged, groups, place)
    radii = [conformal_radius(scores, level) for level in levels]
    return {"radii": radii}, {"levels": promises(levels, radii, judged)}


def _apart(
    scores: Floats, levels: Sequence[float], judged: Judged, parameter: Mapping[str, Any], place: NDArray[np.intp]
) -> tuple[dict[str, Any], Facts]:
    names = Groups(parameter).names
    radii = group_conformal_radii(scores, place, names, levels)
    groups = {
        name: {"rows": int(np.sum(place == i)), "levels": promises(levels, radii[i].tolist(), judged.of(place == i))}
        for i, name in enumerate(names)
    }
    facts = {
        "per": {key: value for key, value in parameter.items() if key != "values"},
        "groups": groups,
        "levels": {f"{level:g}": {"rows": scores.size, **judged.coverage(i)} for i, level in enumerate(levels)},
    }
    return {"groups": {**parameter, "radii": radii.tolist()}}, facts


def promises(levels: Sequence[float], radii: Sequence[float], judged: Judged) -> Facts:
    """
    What is promised at each of *levels*, and on how many rows' word.

    *coverage* is that of each fold by the radius that the others set, with its 95 % interval: on the very rows that set
    a radius it is the rank among them, whatever they are.  *realised_coverage* is where the coverage of new rows lies
    for nine of ten such calibrations, if they are like these; of rows that belong together nobody can say.
    """
    rows = judged.fold.size
    return {
        f"{level:g}": {
            "radius": radius,
            "rank": conformal_rank(rows, level),
            "rows": rows,
            **judged.coverage(i),
            **({"realised_coverage": list(realised_coverage(rows, level))} if judged.alone else {}),
        }
        for i, (level, radius) in enumerate(zip(levels, radii, strict=True))
    }


def grouped(parameter: Mapping[str, Any], fused: Mapping[str, NDArray[Any]], cases: KnownCases) -> NDArray[np.intp]:
    """The group of each of *cases*, as serving will find it from the *fused* tensors."""
    return Groups(parameter).of(fused["fused_position"], fused["fused_covariance"], cases.apart)


def gaussian_coverage(scores: Floats, levels: Sequence[float]) -> Facts:
    """What ellipses of these covariances would have held without calibration."""
    return {f"{level:g}": counted(scores <= mahalanobis_radius(level), "coverage") for level in levels}


def _natural(word: str) -> tuple[bool, float, str]:
    """Numbers by their size and before words, of which ``nan`` is one: it would have no place among numbers."""
    try:
        number = float(word)
    except ValueError:
        number = nan
    return (False, number, word) if isfinite(number) else (True, 0.0, word)
