"""What a release's calibration came to, in one line, for whoever watches a promotion or asks for the status."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from sextant.ellipse import mahalanobis_radius

Facts = Mapping[str, Any]


def calibration_summary(answer: str, facts: Facts | None) -> str:
    """
    The *facts* of a pipeline that answers *answer*, as its receipt has them; None where nothing was calibrated.

    >>> calibration_summary("label", None)
    'no known cases: confidence from the count of votes alone, calibrated: false'
    """
    if facts is None:
        return _UNCALIBRATED.get(answer, "nothing to calibrate in plain tensors")
    return _SAID[answer](facts)


def _position(facts: Facts) -> str:
    """What the largest ellipse is promised to hold, of each group where there are any."""
    if "levels" not in facts:
        return f"{facts['rows']:,} known cases, median error {facts['median_error_m']:.1f} m, by an earlier Sextant"
    level = max(facts["levels"], key=float)
    said = f"{facts['rows']:,} known cases, median error {facts['median_error_m']:.1f} m{_no_better(facts)}"
    said += f"; {float(level):.0%} ellipse"
    if "groups" in facts:
        groups = (
            f"{name!r} ({group['rows']} rows) {_promise(level, group['levels'][level])}"
            for name, group in facts["groups"].items()
        )
        return f"{said} by group: {'; '.join(groups)}"
    gaussian = mahalanobis_radius(float(level))
    return f"{said} {_promise(level, facts['levels'][level])}; a Gaussian's radius is {gaussian:.2f}"


def _no_better(facts: Facts) -> str:
    """What to beat, where it is not beaten: such a pipeline answers another question, or takes other features."""
    middle = facts.get("median_from_middle_m", float("inf"))
    return (
        f", no better than always answering their middle ({middle:.1f} m)" if facts["median_error_m"] > middle else ""
    )


def _promise(level: str, facts: Facts) -> str:
    return f"radius {facts['radius']:.2f}{_to_hold(facts)}{_held(level, facts)}"


def _to_hold(facts: Facts) -> str:
    """What nine of ten such calibrations hold of new fixes; of rows that belong together nobody can say."""
    if "realised_coverage" not in facts:
        return ""
    low, high = facts["realised_coverage"]
    return f", to hold {low:.1%} to {high:.1%} of new fixes"


def _held(level: str, facts: Facts) -> str:
    """What was held fold by fold: only so much, where that is less than the *level* and no chance."""
    if "coverage_by_fold" not in facts:  # too few rows; or an earlier Sextant, which counted the rows it had learned
        return ""
    low, high = facts["coverage_interval"]
    only = " only" if high < float(level) else ""
    return f", held{only} {facts['coverage']:.1%} ({low:.1%} to {high:.1%}) in folds"


def _label(facts: Facts) -> str:
    """How often it is right, and whether its confidence says so."""
    (low, high), measured = facts["accuracy_interval"], facts["confidence"]
    before, after = measured["before"], measured["after"]
    commonest = facts.get("commonest", 0.0)
    worst = f", less than always answering the commonest class ({commonest:.1%})" if high < commonest else ""
    sets = (
        f"; {float(level):.0%} sets of {one['mean_size']:.1f} classes{_held(level, one)}"
        for level, one in facts["sets"].items()
    )
    return (
        f"{facts['rows']:,} known cases, accuracy {facts['accuracy']:.1%} ({low:.1%} to {high:.1%}){worst}; "
        f"confidence by {measured['chosen']}: calibration error {before['ece']:.3f} before, {after['ece']:.3f} on "
        f"held-out folds (so many rows show {after['ece_floor']:.3f} at best){''.join(sets)}"
    )


_SAID: Mapping[str, Callable[[Facts], str]] = MappingProxyType({"position": _position, "label": _label})
_UNCALIBRATED: Mapping[str, str] = MappingProxyType(
    {
        "position": "no known cases: Gaussian ellipses, calibrated: false",
        "label": "no known cases: confidence from the count of votes alone, calibrated: false",
    }
)
