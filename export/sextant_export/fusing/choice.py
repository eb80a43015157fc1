"""Which steps of a pipeline become one graph, and why the others do not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from types import MappingProxyType
from typing import NamedTuple

import onnx

from sextant.errors import ConversionError
from sextant_export.copies import Copy
from sextant_export.copies.onnx import OnnxCopy
from sextant_export.fusing.graph import OPSETS
from sextant_export.fusing.parts import Part
from sextant_export.fusing.raising import newest_opsets, raised
from sextant_export.fusing.steps import obstacle
from sextant_export.step_problems import MEMBERS


class Choice(NamedTuple):
    """The parts that become a graph, which follow one another, and for each step *left* out the reason."""

    inside: tuple[Part, ...]
    left: Mapping[str, str]

    @property
    def steps(self) -> tuple[str, ...]:
        """The steps of the spec that the graph holds."""
        return tuple(dict.fromkeys(part.group for part in self.inside))


def chosen(parts: Sequence[Part], besides: Mapping[str, str] = MappingProxyType({})) -> Choice:
    """
    The longest run of steps that can be nodes, and holds the members where they can.

    A graph is one step of an ensemble, so what can be nodes but stands beyond something that cannot is left too.
    *besides* are reasons that only the rows of a pipeline show.
    """
    groups = {name: tuple(group) for name, group in groupby(parts, key=lambda part: part.group)}
    reasons = {name: besides.get(name) or _obstacle(group) for name, group in groups.items()}
    runs = [list(run) for can, run in groupby(groups, key=lambda name: reasons[name] is None) if can]
    run = max(runs, key=lambda run: (MEMBERS in run, len(run)), default=[])
    inside = tuple(part for name in run for part in groups[name])
    if len(inside) == 1 and inside[0].member is not None:
        run, inside = [], ()
        reasons[MEMBERS] = "it is one graph already, and the steps beside it cannot join it"
    beyond = f"it is not beside {' and '.join(run)}" if run else "no other step can join it"
    return Choice(inside, {name: reason or beyond for name, reason in reasons.items() if name not in run})


def no_graph(served: str, kind: str, accelerator: str | None) -> str | None:
    """
    Why the copy of a member is no graph that others can join; None where it is.

    It *is served*, or is to be, as a copy of this *kind*, for which an *accelerator* may be asked.

    >>> no_graph("is served", "tensorrt", None), no_graph("is served", "onnx", None)
    ('is served as TensorRT plans, no graph', None)
    """
    if kind != OnnxCopy.kind:
        return f"{served} as {'its own Python' if kind == 'pyfunc' else 'TensorRT plans'}, no graph"
    if accelerator is not None:
        return f"asks for the accelerator {accelerator}, which computes no FP64"
    return None


def _obstacle(group: Sequence[Part]) -> str | None:
    """Why a step of the spec cannot be nodes."""
    first = group[0]
    if first.member is None:
        return obstacle(first.name, first.parameters)
    copies = {part.name: part.member.copy for part in group if part.member}
    if reasons := [f"{name} {reason}" for name, copy in copies.items() if (reason := _no_graph(copy))]:
        return "; ".join(reasons)
    return _apart(group)


def _no_graph(copy: Copy) -> str | None:
    return no_graph("is served", copy.kind, copy.accelerator if isinstance(copy, OnnxCopy) else None)


def _apart(members: Sequence[Part]) -> str | None:
    """Why the graphs of members cannot be one: their operator sets."""
    models = {part.name: part.graph.model for part in members if part.graph}
    newest = newest_opsets(models, OPSETS)
    said = (f"{name} {reason}" for name, model in models.items() if (reason := _unraised(model, newest)))
    return next(said, None)


def _unraised(model: onnx.ModelProto, opsets: Mapping[str, int]) -> str | None:
    try:
        raised(model, opsets)
    except ConversionError as error:
        return str(error)
    return None
