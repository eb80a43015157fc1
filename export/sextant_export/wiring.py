"""
Which tensor goes where: a pipeline and the tensors of its members, turned into the steps of a Triton
ensemble.

A chain needs no words. A step takes what the step before it gave, by name where there are several; what a member's
output is for, its role, says which slot of the next block it goes to; what ``input_map`` and ``output_map`` say goes
first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sextant.backend import Block
from sextant.errors import PipelineError
from sextant.tensors import Tensor
from sextant_export.dims import fit
from sextant_export.pipeline import BlockStep, Pipeline
from sextant_export.problem import Problem, guess
from sextant_export.slots import MemberModel, role_problems, roles, sharing_problems


class EnsembleStep(NamedTuple):
    """One step, pinned.  Both maps read *model's name: ensemble's tensor*, as Triton's own do."""

    model_name: str
    model_version: int
    input_map: Mapping[str, str]
    output_map: Mapping[str, str]


class Wiring(NamedTuple):
    """An ensemble: its steps, and the tensors it takes and gives, per row."""

    steps: tuple[EnsembleStep, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


def refuse_unreadable(pipeline: Pipeline, members: Sequence[MemberModel]) -> None:
    """PipelineError lists what keeps *members* from sharing one input, and their outputs from being read."""
    found = list(sharing_problems(pipeline.answer, tuple(members)))
    for model in members:
        found.extend(role_problems(pipeline.answer, model, pipeline.members[model.name]))
    if found:
        raise PipelineError(tuple(found))


def wire(pipeline: Pipeline, members: Sequence[MemberModel], release: int, blocks: Mapping[str, Block]) -> Wiring:
    """
    The ensemble of *release*; PipelineError lists every tensor that does not fit.

    *members* stand in the order of the spec, which is the order of the slots; *blocks* are those of the steps, by
    name, with their complete parameters.
    """
    refuse_unreadable(pipeline, members)
    board = _Board()
    inputs = _public_inputs(pipeline, members, blocks)
    board.flow = {tensor.name: tensor for tensor in inputs}
    board.tensors.update({tensor.name: tensor for tensor in (*inputs, *_asked(blocks))})
    before = len(pipeline.preprocessing)
    for i, step in enumerate(pipeline.blocks[:before]):
        _add_block(board, step, blocks[step.block], (f"{pipeline.name}.{step.block}", release), f"steps[{i}]")
    _add_members(board, pipeline, members)
    for i, step in enumerate(pipeline.blocks[before:], before + 1):
        _add_block(board, step, blocks[step.block], (f"{pipeline.name}.{step.block}", release), f"steps[{i}]")
    if board.problems:
        raise PipelineError(tuple(board.problems))
    return Wiring(tuple(board.steps), (*inputs, *_asked(blocks)), tuple(board.flow.values()))


@dataclass(slots=True)
class _Board:
    """The ensemble so far: its steps, its tensors, those the last step gave, and what did not fit."""

    steps: list[EnsembleStep] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    flow: dict[str, Tensor] = field(default_factory=dict)
    slots: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def source(self, tensor: Tensor, named: str | None, alone: bool) -> str | None:
        """The ensemble's tensor for the input *tensor*, or None where an optional one stays open."""
        if named is not None:
            return named
        if tensor.name in self.slots:
            return self.slots[tensor.name]
        if alone and len(self.flow) == 1:
            return next(iter(self.flow))
        return None if tensor.optional and tensor.name not in self.tensors else tensor.name

    def connect(self, inputs: Sequence[Tensor], named: Mapping[str, str], address: str) -> dict[str, str]:
        """The input map of a step; what it lacks or cannot take goes to the problems."""
        alone = sum(not tensor.optional for tensor in inputs) == 1
        self.problems.extend(_unknown(named, inputs, f"{address}.input_map"))
        found = {tensor: self.source(tensor, named.get(tensor.name), alone) for tensor in inputs}
        connected = {tensor: source for tensor, source in found.items() if source is not None}
        for tensor, source in connected.items():
            self.problems.extend(self._misfit(tensor, source, f"{address}.input_map.{tensor.name}"))
        return {tensor.name: source for tensor, source in connected.items()}

    def give(self, outputs: Mapping[str, Tensor], address: str) -> None:
        """Make *outputs* (name in the ensemble: tensor) what the next step takes."""
        for name in outputs.keys() & self.tensors.keys():
            self.problems.append(Problem(address, f"there is a tensor {name!r} already; rename it in output_map"))
        self.flow = dict(outputs)
        self.tensors.update(outputs)

    def _misfit(self, tensor: Tensor, source: str, address: str) -> Iterator[Problem]:
        given = self.tensors.get(source)
        if given is None:
            yield Problem(address, f"no tensor {source!r} here yet{guess(source, self.tensors)}")
        elif given.dtype != tensor.dtype:
            yield Problem(address, f"{source!r} is {given.dtype}, wanted {tensor.dtype}{_cast(given, tensor)}")
        elif not fit(given.dims, tensor.dims):
            yield Problem(address, f"{source!r} is {list(given.dims)} per row, wanted {list(tensor.dims)}")


def _public_inputs(
    pipeline: Pipeline, members: Sequence[MemberModel], blocks: Mapping[str, Block]
) -> tuple[Tensor, ...]:
    if not pipeline.preprocessing:
        return members[0].inputs
    return blocks[pipeline.preprocessing[0].block].inputs


def _asked(blocks: Mapping[str, Block]) -> tuple[Tensor, ...]:
    """What a block after the members takes from the caller and not from a step, as the group of a row."""
    return tuple(
        tensor for block in blocks.values() for tensor in block.inputs if tensor.name in getattr(block, "asks", ())
    )


def _add_block(board: _Board, step: BlockStep, block: Block, model: tuple[str, int], address: str) -> None:
    input_map = board.connect(block.inputs, step.input_map, address)
    board.problems.extend(_unknown(step.output_map, block.outputs, f"{address}.output_map"))
    output_map = {tensor.name: step.output_map.get(tensor.name, tensor.name) for tensor in block.outputs}
    board.give({output_map[tensor.name]: tensor for tensor in block.outputs}, address)
    board.steps.append(EnsembleStep(*model, input_map, output_map))


def _add_members(board: _Board, pipeline: Pipeline, members: Sequence[MemberModel]) -> None:
    given: dict[str, Tensor] = {}
    for i, model in enumerate(members):
        address, member = f"members.{model.name}", pipeline.members[model.name]
        input_map = board.connect(model.inputs, member.input_map, address)
        board.problems.extend(_unknown(member.output_map, model.outputs, f"{address}.output_map"))
        found = roles(pipeline.answer, i, model, member)
        board.slots |= {role.slot: role.name for role in found if role.slot}
        given |= {role.name: role.tensor for role in found}
        output_map = {role.tensor.name: role.name for role in found}
        board.steps.append(EnsembleStep(model.model_name, model.version, input_map, output_map))
    board.give(given, "members")


def _unknown(named: Mapping[str, str], tensors: Sequence[Tensor], address: str) -> Iterator[Problem]:
    known = [tensor.name for tensor in tensors]
    for name in named:
        if name not in known:
            yield Problem(f"{address}.{name}", f"the model has no such tensor{guess(name, known)}")


def _cast(given: Tensor, wanted: Tensor) -> str:
    """Why FP64 is not cast silently: 32 bits of a longitude are good to a metre."""
    if (given.dtype, wanted.dtype) != ("FP64", "FP32"):
        return ""
    return "; let the model answer float32, in metres (frame: east_north_m), as float32 degrees are 1 m coarse"
