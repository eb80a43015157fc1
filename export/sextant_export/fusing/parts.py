"""The steps of an ensemble with what each of them is: a member or a block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from sextant.backend import Block
from sextant.tensors import Tensor
from sextant_export.copies.onnx import OnnxCopy
from sextant_export.graph_file import GraphFile
from sextant_export.member import PreparedMember
from sextant_export.pipeline import Pipeline
from sextant_export.step_problems import MEMBERS
from sextant_export.wiring import EnsembleStep, Wiring


@dataclass(frozen=True, kw_only=True)
class Part:
    """
    One *step* of an ensemble, wired.

    It is a *member*, or else a *block* with its complete *parameters*; *name* is what the spec calls it.
    """

    name: str
    step: EnsembleStep
    member: PreparedMember | None = None
    block: Block | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def group(self) -> str:
        """The step of the spec that it belongs to."""
        return self.name if self.member is None else MEMBERS

    def answer(self, tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """What it makes of the ensemble's *tensors*, asked in this process; blocks refuse with ``InputRefused``."""
        given = {own: tensors[name] for own, name in self.step.input_map.items()}
        if self.member is not None:
            answered = self.member.copied.answer(given)
        else:
            assert self.block is not None  # noqa: S101 - what is no member is a block
            answered = self.block(**given)
        return {name: answered[own] for own, name in self.step.output_map.items()}

    @property
    def graph(self) -> GraphFile | None:
        """The graph that it is, None of what is none."""
        copy = self.member.copy if self.member else None
        return copy.graph if isinstance(copy, OnnxCopy) else None

    @property
    def inputs(self) -> dict[str, Tensor]:
        """What it takes, by the ensemble's names."""
        return {name: tensor._replace(name=name) for tensor in self._own[0] if (name := self._source(tensor))}

    @property
    def outputs(self) -> dict[str, Tensor]:
        """What it gives, by the ensemble's names."""
        given = self.step.output_map
        return {given[t.name]: t._replace(name=given[t.name]) for t in self._own[1] if t.name in given}

    @property
    def _own(self) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        model = self.member or self.block
        assert model is not None  # noqa: S101 - one of them it is
        return model.inputs, model.outputs

    def _source(self, tensor: Tensor) -> str:
        return self.step.input_map.get(tensor.name, "")


def parts_of(
    pipeline: Pipeline,
    members: Sequence[PreparedMember],
    blocks: Mapping[str, Block],
    parameters: Mapping[str, Mapping[str, Any]],
    wiring: Wiring,
) -> tuple[Part, ...]:
    """The steps of *wiring*, in their order, each with what it is."""
    before, after = (
        [(step.block, None) for step in steps]
        for steps in (pipeline.preprocessing, pipeline.blocks[len(pipeline.preprocessing) :])
    )
    named = [*before, *((member.name, member) for member in members), *after]
    return tuple(
        Part(name=name, step=step, member=member)
        if member
        else Part(name=name, step=step, block=blocks[name], parameters=parameters[name])
        for (name, member), step in zip(named, wiring.steps, strict=True)
    )
