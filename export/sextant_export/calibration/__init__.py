"""
What a release finds about its blocks: what follows from dims and members, and what known cases teach.

``settled`` needs no known case; each answer then fits its own blocks on them, in a module of this package.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sextant.blocks import BLOCKS
from sextant_export.calibration import label, position
from sextant_export.calibration.calibrated import Calibrated, Parameters
from sextant_export.known_cases import KnownCases
from sextant_export.member import PreparedMember
from sextant_export.pipeline import Pipeline

__all__ = ["Calibrated", "calibrate", "preprocess", "settled"]


def calibrate(
    pipeline: Pipeline, members: Sequence[PreparedMember], release: int, cases: KnownCases | None
) -> Calibrated:
    """
    The complete parameters of every block of *pipeline*.

    Without *cases* nothing is calibrated, and the answers say so.
    """
    parameters = settled(pipeline, members[0].inputs[0].dims)
    fit = _FITS.get(pipeline.answer)
    if fit is None:
        return Calibrated(parameters=parameters)
    seen = None if cases is None else preprocess(pipeline, parameters, cases.features)
    return fit(pipeline, members, release, parameters, cases, seen)


def settled(pipeline: Pipeline, dims: tuple[int, ...]) -> Parameters:
    """
    The blocks' parameters by name: those before the members complete, the others as the spec has them.

    *dims* are those of one row, on whichever side of the blocks before the members they are known.
    """
    parameters = {step.block: dict(step.parameters) for step in pipeline.blocks}
    for step in pipeline.preprocessing:
        parameters[step.block] = BLOCKS[step.block].settled(step.parameters, dims)
    return parameters


def preprocess(pipeline: Pipeline, parameters: Mapping[str, Mapping[str, Any]], rows: Any) -> Any:
    """What the members see of *rows*: the blocks before them, one after the other."""
    for step in pipeline.preprocessing:
        block = BLOCKS[step.block](parameters[step.block])
        rows = block(**{block.inputs[0].name: rows})[block.outputs[0].name]
    return rows


_FITS: Mapping[str, Callable[..., Calibrated]] = {"position": position.fitted, "label": label.fitted}
