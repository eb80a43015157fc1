"""
What known cases teach a pipeline: each member's error covariance, and the radii that make its ellipses true.

The members' own answers to the calibration rows give each member's residual covariance; the fused answers, made by the
very block that will serve them, give the conformal scores (science: split conformal, rank ``ceil((n+1)p)``).
Rows that a member was trained on make every ellipse too small, and no test can see that from here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sextant.blocks import BLOCKS
from sextant.conform import conformal_radius, mahalanobis_scores
from sextant.errors import CalibrationError
from sextant.fuse import residual_covariance
from sextant.geodesy import to_east_north
from sextant.tensors import Floats
from sextant_export.known_cases import KnownCases
from sextant_export.member import PreparedMember
from sextant_export.pipeline import Pipeline
from sextant_export.signature import Arrays
from sextant_export.wiring import ROLES, SLOTS

Parameters = dict[str, dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """The complete *parameters* of each block, by its name, and the *facts* for the receipt."""

    parameters: Mapping[str, Mapping[str, Any]]
    facts: Mapping[str, Any] | None = None


def calibrate(
    pipeline: Pipeline, members: Sequence[PreparedMember], release: int, cases: KnownCases | None
) -> Calibrated:
    """
    The complete parameters of every block of *pipeline*.

    Without *cases* the ellipses are plain chi-square ones, and say ``calibrated: false``.
    """
    known: Parameters = {
        "scale": {"width": next(iter(members[0].inputs[0].dims), 1)},
        "fuse": {"members": [member.name for member in members]},
        "ellipse": {"release": release},
    }
    parameters = {step.block: {**step.parameters, **known.get(step.block, {})} for step in pipeline.blocks}
    if pipeline.answer != "position":
        return Calibrated(parameters=parameters)
    if cases is None:
        _refuse_unsure(members)
        return Calibrated(parameters=parameters)
    scaled = preprocess(pipeline, parameters, cases.features)
    slots = [_slots(pipeline, i, member, member.answer(scaled)) for i, member in enumerate(members)]
    return _fitted(parameters, slots, cases)


def preprocess(pipeline: Pipeline, parameters: Mapping[str, Mapping[str, Any]], rows: Any) -> Any:
    """What the members see of *rows*: the blocks before them, one after the other."""
    for step in pipeline.preprocessing:
        block = BLOCKS[step.block]
        rows = block(parameters[step.block])(**{block.inputs[0].name: rows})[block.outputs[0].name]
    return rows


def _refuse_unsure(members: Sequence[PreparedMember]) -> None:
    """Without known cases, each member must say itself how sure it is."""
    for member in members:
        if "covariance" not in {ROLES.get(tensor.dims) for tensor in member.outputs}:
            raise CalibrationError(
                f"member {member.name} gives no covariance [2, 2], and the spec has no known cases to measure one on: "
                "add `calibration: {data: cases.parquet, truth: [latitude, longitude]}`"
            )


def _slots(pipeline: Pipeline, slot: int, member: PreparedMember, answers: Arrays) -> dict[str, Any]:
    """The member's answers under the names of its slots of ``fuse``, wired as they will be served."""
    used = pipeline.members[member.name].output_map or answers
    roles = {tensor.name: ROLES[tensor.dims] for tensor in member.outputs if tensor.name in used}
    return {f"{SLOTS[role]}_{slot}": answers[name] for name, role in roles.items()}


def _fitted(parameters: Parameters, slots: Sequence[Mapping[str, Any]], cases: KnownCases) -> Calibrated:
    fuse, ellipse = parameters["fuse"], parameters["ellipse"]
    residuals = [_residuals(fuse, given[f"member_{i}"], cases.truth) for i, given in enumerate(slots)]
    fuse["member_covariances"] = [residual_covariance(each).tolist() for each in residuals]
    fused = BLOCKS["fuse"](fuse)(**{name: array for given in slots for name, array in given.items()})
    errors = to_east_north(fused["fused_position"], cases.truth)
    scores = mahalanobis_scores(errors, fused["fused_covariance"])
    ellipse["radii"] = [conformal_radius(scores, level) for level in ellipse["confidence_levels"]]
    facts = {
        "rows": len(cases),
        "sha256": cases.sha256,
        "median_error_m": _median_m(errors),
        "member_median_error_m": dict(zip(fuse["members"], map(_median_m, residuals), strict=True)),
        "radii": dict(zip(map(str, ellipse["confidence_levels"]), ellipse["radii"], strict=True)),
    }
    return Calibrated(parameters=parameters, facts=facts)


def _residuals(fuse: Mapping[str, Any], answers: Floats, truth: Floats) -> Floats:
    """Answer minus truth in metres east and north (N, 2), in the frame the members answer in."""
    if fuse.get("frame", "latitude_longitude") == "east_north_m":
        return answers - to_east_north(np.asarray(fuse["origin"], float), truth)
    return to_east_north(truth, answers)


def _median_m(errors: Floats) -> float:
    return round(float(np.median(np.hypot(*errors.T))), 3)
