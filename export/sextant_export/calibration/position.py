"""
What known cases teach a position pipeline: each member's error covariance, and the radii that make its ellipses true.

The members' own answers to the calibration rows give each member's residual covariance; the fused answers, made by the
very block that will serve them, give the conformal scores (science: split conformal, rank ``ceil((n+1)p)``).  Where a
covariance is measured on the rows that are then scored in it, each row is scored with itself left out, or it would look
a little better than a new one.  Rows that a member was trained on make every ellipse too small, and no test can see
that from here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sextant.blocks import BLOCKS
from sextant.blocks.fuse import SAID
from sextant.conform import mahalanobis_scores
from sextant.errors import CalibrationError, InputRefused
from sextant.frames import Frame, frames
from sextant.fuse import FEWEST_RESIDUALS, residual_covariance
from sextant.gaussian import anees
from sextant.geodesy import to_east_north
from sextant.tensors import Floats, Mask
from sextant_export.calibration.calibrated import Calibrated, Parameters
from sextant_export.calibration.facts import Facts, belonging, stamp
from sextant_export.calibration.folds import judged, ordered_folds
from sextant_export.calibration.radii import (
    fitted_radii,
    gaussian_coverage,
    group_parameter,
    grouped,
)
from sextant_export.known_cases import KnownCases
from sextant_export.member import PreparedMember
from sextant_export.pipeline import Pipeline
from sextant_export.slots import roles
from sextant_export.slots.position import settled

Slots = Mapping[str, NDArray[Any]]

_FEWEST_OTHERS = FEWEST_RESIDUALS - 1


def fitted(
    pipeline: Pipeline,
    members: Sequence[PreparedMember],
    release: int,
    parameters: Parameters,
    cases: KnownCases | None,
    seen: Any,
) -> Calibrated:
    """
    The complete *parameters* of fuse and ellipse, fitted on *cases*, which the members see as *seen*.

    Without *cases* the ellipses are those of Gaussians, and say ``calibrated: false``.
    """
    fuse, ellipse = parameters["fuse"], parameters["ellipse"]
    fuse.update(settled(pipeline, members))
    spread = fuse.get("method") == "spread"
    ellipse.update(release=release, scale_method="f" if spread else "chi2")
    if cases is None:
        if not spread:
            _refuse_unsure(pipeline, members)
        return Calibrated(parameters=parameters)
    slots = _slots(pipeline, members, seen)
    per = pipeline.calibration.per if pipeline.calibration else None
    try:
        return Calibrated(parameters=parameters, facts=_fitted(fuse, ellipse, slots, cases, per))
    except InputRefused as error:
        raise CalibrationError(f"the known cases cannot be fused: {error}") from error


def _refuse_unsure(pipeline: Pipeline, members: Sequence[PreparedMember]) -> None:
    """Without known cases, each member must say itself how sure it is."""
    for i, member in enumerate(members):
        words = {role.word for role in roles(pipeline.answer, i, member, pipeline.members[member.name])}
        if not words & SAID.keys():
            raise CalibrationError(
                f"member {member.name} gives no covariance [2, 2], sigmas [2] or log_variances [2], and the spec has "
                "no known cases to measure one on: add "
                "`calibration: {data: cases.parquet, truth: [latitude, longitude]}`"
            )


def _slots(pipeline: Pipeline, members: Sequence[PreparedMember], seen: Any) -> Slots:
    """The members' answers under the names of their slots of ``fuse``, wired as they will be served."""
    slots: dict[str, NDArray[Any]] = {}
    for i, member in enumerate(members):
        answers = member.answer(seen)
        found = roles(pipeline.answer, i, member, pipeline.members[member.name])
        slots |= {role.slot: _finite(member.name, answers[role.tensor.name]) for role in found if role.slot}
    return slots


def _finite(member: str, answers: NDArray[Any]) -> NDArray[Any]:
    wrong = ~np.isfinite(answers).reshape(len(answers), -1).all(axis=1)
    if wrong.any():
        row = int(np.argmax(wrong))
        came = np.asarray(answers[row]).tolist()
        raise CalibrationError(f"member {member} answers row {row} of the known cases with {came}")
    return answers


def _fitted(
    fuse: dict[str, Any], ellipse: dict[str, Any], slots: Slots, cases: KnownCases, per: Mapping[str, Any] | None
) -> Facts:
    """Complete the parameters of both blocks; gives the facts."""
    errors = [frame.errors(slots[f"member_{i}"], cases.truth) for i, frame in enumerate(frames(fuse))]
    _measure(fuse, slots, errors)
    own = belonging(len(cases), cases.group)
    fused = _fused(fuse, slots, errors, np.ones(len(cases), dtype=np.bool_), own)
    apart = to_east_north(fused["fused_position"], cases.truth)
    scores, levels = mahalanobis_scores(apart, fused["fused_covariance"]), ellipse["confidence_levels"]
    groups = None if per is None else group_parameter(per, cases)
    place = np.zeros(len(cases), dtype=np.intp) if groups is None else grouped(groups, fused, cases)
    fold = ordered_folds(place, cases.group)
    held = judged(_crossed(fuse, slots, errors, cases, fold), levels, fold, place, own)
    found, facts = fitted_radii(scores, levels, held, groups, place)
    ellipse.update(found)
    return {
        "rows": len(cases),
        "sha256": cases.sha256,
        **_medians(fused["fused_position"], cases.truth),
        "member_median_error_m": dict(zip(fuse["members"], map(_median_m, errors), strict=True)),
        **facts,
        "method": "conformal",
        "anees": anees(apart, fused["fused_covariance"]),
        **stamp(scores),
        "uncalibrated": gaussian_coverage(scores, levels),
    }


def _measure(fuse: dict[str, Any], slots: Slots, errors: Sequence[Floats]) -> None:
    """Put the residual covariance of each member that says none into *fuse*."""
    if fuse.get("method") != "spread":
        silent = _silent(fuse, slots)
        fuse["member_covariances"] = [
            residual_covariance(each).tolist() if i in silent else None for i, each in enumerate(errors)
        ]


def _silent(fuse: Mapping[str, Any], slots: Slots) -> list[int]:
    """The members, by their places, that say no covariance where one is needed."""
    if fuse.get("method") == "spread":
        return []
    return [i for i in range(len(fuse["members"])) if not any(f"{word}_{i}" in slots for word in SAID)]


def _crossed(
    fuse: Mapping[str, Any], slots: Slots, errors: Sequence[Floats], cases: KnownCases, fold: NDArray[np.intp]
) -> Floats:
    """The scores (F, N) of all cases by what those outside each *fold* (N,) teach; nan where that is nothing."""
    crossed, own = np.full((int(fold.max()) + 1, fold.size), np.nan), belonging(fold.size, cases.group)
    for each, scores in enumerate(crossed):
        with suppress(CalibrationError, InputRefused):  # as few, or all alike, they teach no covariance
            fused = _fused(fuse, slots, errors, fold != each, own)
            apart = to_east_north(fused["fused_position"], cases.truth)
            scores[:] = mahalanobis_scores(apart, fused["fused_covariance"])
    return crossed


def _fused(
    fuse: Mapping[str, Any], slots: Slots, errors: Sequence[Floats], taught: Mask, own: NDArray[np.intp]
) -> Slots:
    """
    What the block makes of the members' answers to every case, by the errors on those of *taught* (N,).

    A member that says none has on each row the covariance of those that are not of its *own* group (N,), or a row
    would look a little better than a new one.
    """
    every = frames(fuse)
    others = {
        f"covariance_{i}": _left_out(every[i], slots[f"member_{i}"], _of_others(errors[i], taught, own))
        for i in _silent(fuse, slots)
    }
    fused: Slots = BLOCKS["fuse"](fuse)(**slots, **others)
    return fused


def _of_others(errors: Floats, taught: Mask, own: NDArray[np.intp]) -> Floats:
    """
    For each row the covariance (N, 2, 2) of the *errors* of those *taught* (N,) that are not of its *own* group (N,).

    Where a group has nothing beside it, each row is left out by itself; ``CalibrationError`` where even that leaves
    less than two.  What stands before a group and what stands behind it are added: taking a group off the whole would
    leave rounding where it holds a gross error.
    """
    groups = int(own.max()) + 1
    moments, rows = np.zeros((groups + 2, 2, 2)), np.bincount(own[taught], minlength=groups)
    np.add.at(moments, own[taught] + 1, errors[taught][:, :, None] * errors[taught][:, None, :])
    others = rows.sum() - rows
    if others.min() < _FEWEST_OTHERS:
        if groups == own.size:
            raise CalibrationError(f"a covariance needs {FEWEST_RESIDUALS} residuals or more, got {rows.sum()}")
        return _of_others(errors, taught, np.arange(own.size))
    before, behind = np.cumsum(moments, axis=0)[:-2], np.cumsum(moments[::-1], axis=0)[::-1][2:]
    return np.asarray(((before + behind) / others[:, None, None])[own])


def _left_out(frame: Frame, answers: NDArray[Any], others: Floats) -> Floats:
    """The covariances *others* (N, 2, 2) in metres, as the member would say them beside its *answers*."""
    placed = frame.placed(answers)
    axes = np.linalg.inv(placed.jacobian)
    said: Floats = axes @ frame.measured(others, placed) @ np.swapaxes(axes, -1, -2)
    return (said + np.swapaxes(said, -1, -2)) / 2


def _medians(positions: Floats, truth: Floats) -> Facts:
    """The median error of *positions*, and what it has to beat; ``CalibrationError`` where the world is swapped."""
    median_m, middle_m = _median_m(to_east_north(positions, truth)), _from_their_middle_m(truth)
    _refuse_swapped(positions, truth, median_m, middle_m)
    return {"median_error_m": median_m, "median_from_middle_m": middle_m}


def _from_their_middle_m(truth: Floats) -> float:
    """The median error of whoever always answers the middle of the true places: what a pipeline has to beat."""
    offsets = to_east_north(truth[0], truth)
    return _median_m(offsets - np.median(offsets, axis=0))


def _refuse_swapped(positions: Floats, truth: Floats, median_m: float, middle_m: float) -> None:
    """A world that is hundreds of kilometres away until latitude and longitude change places is no bad model's."""
    if median_m <= middle_m or np.abs(truth[:, 1]).max() > 90:
        return
    swapped_m = _median_m(to_east_north(positions, truth[:, ::-1]))
    if swapped_m < median_m / 10:
        raise CalibrationError(
            f"the median error is {median_m:,.0f} m, and {swapped_m:,.0f} m once latitude and longitude change places: "
            "the latitude comes first, in `truth` and in the `origin` of fuse"
        )


def _median_m(errors: Floats) -> float:
    return round(float(np.median(np.hypot(*errors.T))), 3)
