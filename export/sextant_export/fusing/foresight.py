"""What ``fuse_graph`` would leave as it is, as far as the page alone can say; the rest shows at the export."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sextant_export.converters import PYFUNC
from sextant_export.fusing.choice import no_graph
from sextant_export.fusing.steps import obstacle
from sextant_export.pipeline import BlockStep, Pipeline
from sextant_export.step_problems import MEMBERS


def foreseen(pipeline: Pipeline) -> dict[str, str]:
    """The steps of *pipeline* that cannot be nodes of a graph, each with the reason."""
    reasons = {
        step.block: reason
        for step in pipeline.blocks
        if (reason := obstacle(step.block, _parameters(pipeline, step))) is not None
    }
    if members := "; ".join(_members(pipeline)):
        reasons[MEMBERS] = members
    return reasons


def _parameters(pipeline: Pipeline, step: BlockStep) -> dict[str, Any]:
    """What the page says, and what follows from it."""
    found: dict[str, Any] = {}
    if step.block == "fuse":
        found["members"] = list(pipeline.members)
    if step.block == "ellipse" and pipeline.calibration:
        found["groups"] = pipeline.calibration.per
    return {**step.parameters, **found}


def _members(pipeline: Pipeline) -> Iterator[str]:
    for name, member in pipeline.members.items():
        kind = "pyfunc" if member.flavor == PYFUNC else member.target
        if reason := no_graph("is to be served", kind, member.accelerator):
            yield f"{name} {reason}"
