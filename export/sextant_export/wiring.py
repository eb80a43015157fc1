"""
Which tensor goes where: a pipeline and the tensors of its members, turned into the steps of a Triton
ensemble.

A chain needs no words. A step takes what the step before it gave, by name where there are several; a member's
output of dims [2] is its position and one of dims [2, 2] its covariance; what ``input_map`` and
``output_map`` say goes first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from sextant.blocks import BLOCKS
from sextant.errors import PipelineError
from sextant.tensors import Tensor
from sextant_export.pipeline import BlockStep, Member, Pipeline
from sextant_export.problem import Problem, guess

ROLES: Mapping[tuple[int, ...], str] = {(2,): "position", (2, 2): "covariance"}
SLOTS: Mapping[str, str] = {"position": "member", "covariance": "covariance"}


class MemberModel(Protocol):
    """A member as it stands in the store: its key in the spec, its Triton model, its tensors."""

    @property
    def name(self) -> str:
        """The member's key in the spec."""

    @property
    def model_name(self) -> str:
        """The Triton model."""

    @property
    def version(self) -> int:
        """The Triton version, which is the registered model's."""

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """What it takes, per row."""

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """What it answers, per row."""


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


def wire(pipeline: Pipeline, members: Sequence[MemberModel], release: int) -> Wiring:
    """
    The ensemble of *release*; PipelineError lists every tensor that does not fit.

    *members* stand in the order of the spec, which is the order of fuse's slots.
    """
    board = _Board()
    inputs = _public_inputs(pipeline, members)
    board.flow = {tensor.name: tensor for tensor in inputs}
    board.tensors.update(board.flow)
    before = len(pipeline.preprocessing)
    for i, step in enumerate(pipeline.blocks[:before]):
        _add_block(board, step, (f"{pipeline.name}.{step.block}", release), f"steps[{i}]", inputs)
    _add_members(board, pipeline, members)
    for i, step in enumerate(pipeline.blocks[before:], before + 1):
        _add_block(board, step, (f"{pipeline.name}.{step.block}", release), f"steps[{i}]", ())
    if board.problems:
        raise PipelineError(tuple(board.problems))
    return Wiring(tuple(board.steps), inputs, tuple(board.flow.values()))


def width_problems(members: Sequence[MemberModel]) -> Iterator[Problem]:
    """What keeps members from sharing one input: more than one tensor, or another width than the first."""
    first = members[0]
    for member in members:
        if len(member.inputs) != 1:
            yield Problem(f"members.{member.name}", f"takes {_list(member.inputs)}; members share one tensor")
        elif member.inputs[0].dims != first.inputs[0].dims:
            said = f"takes {list(member.inputs[0].dims)} per row where {first.name} takes"
            yield Problem(f"members.{member.name}", f"{said} {list(first.inputs[0].dims)}")


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
        elif not _fit(given.dims, tensor.dims):
            yield Problem(address, f"{source!r} is {list(given.dims)} per row, wanted {list(tensor.dims)}")


def _public_inputs(pipeline: Pipeline, members: Sequence[MemberModel]) -> tuple[Tensor, ...]:
    if found := tuple(width_problems(members)) if pipeline.answer == "position" else ():
        raise PipelineError(found)
    if not pipeline.preprocessing:
        return members[0].inputs
    dims = members[0].inputs[0].dims
    return tuple(tensor._replace(dims=dims) for tensor in BLOCKS[pipeline.preprocessing[0].block].inputs)


def _add_block(board: _Board, step: BlockStep, model: tuple[str, int], address: str, inputs: Sequence[Tensor]) -> None:
    """One block; the outputs of a preprocessing block are as wide as the pipeline's inputs."""
    block = BLOCKS[step.block]
    input_map = board.connect(block.inputs, step.input_map, address)
    board.problems.extend(_unknown(step.output_map, block.outputs, f"{address}.output_map"))
    output_map = {tensor.name: step.output_map.get(tensor.name, tensor.name) for tensor in block.outputs}
    width = inputs[0].dims if inputs else None
    board.give({output_map[t.name]: t._replace(dims=width or t.dims) for t in block.outputs}, address)
    board.steps.append(EnsembleStep(*model, input_map, output_map))


def _add_members(board: _Board, pipeline: Pipeline, members: Sequence[MemberModel]) -> None:
    outputs: Callable[..., dict[str, str]] = _roles if pipeline.answer == "position" else _own
    given: dict[str, Tensor] = {}
    for i, model in enumerate(members):
        address, member = f"members.{model.name}", pipeline.members[model.name]
        input_map = board.connect(model.inputs, member.input_map, address)
        board.problems.extend(_unknown(member.output_map, model.outputs, f"{address}.output_map"))
        output_map = outputs(board, i, model, member)
        given |= {output_map[t.name]: t for t in model.outputs if t.name in output_map}
        board.steps.append(EnsembleStep(model.model_name, model.version, input_map, output_map))
    board.give(given, "members")


def _own(_board: _Board, _slot: int, model: MemberModel, member: Member) -> dict[str, str]:
    """A ``tensors`` answer is the member's own outputs, under their own names."""
    return {tensor.name: member.output_map.get(tensor.name, tensor.name) for tensor in model.outputs}


def _roles(board: _Board, slot: int, model: MemberModel, member: Member) -> dict[str, str]:
    """A member's position and covariance, bound for its slots of fuse."""
    used = [tensor for tensor in model.outputs if not member.output_map or tensor.name in member.output_map]
    board.problems.extend(_role_problems(model.name, used))
    output_map: dict[str, str] = {}
    for tensor in used:
        if role := ROLES.get(tensor.dims):
            output_map[tensor.name] = member.output_map.get(tensor.name, f"{model.name}.{role}")
            board.slots[f"{SLOTS[role]}_{slot}"] = output_map[tensor.name]
    return output_map


def _role_problems(name: str, outputs: Sequence[Tensor]) -> Iterator[Problem]:
    for tensor in outputs:
        if tensor.dims not in ROLES:
            said = "is neither a position [2] nor a covariance [2, 2]; name those that are in its output_map"
            yield Problem(f"members.{name}", f"output {_list([tensor])} {said}")
    for dims, role in ROLES.items():
        fitting = [tensor for tensor in outputs if tensor.dims == dims]
        if len(fitting) > 1:
            yield Problem(f"members.{name}", f"{_list(fitting)} could each be its {role}; name one in its output_map")
    if not any(ROLES.get(tensor.dims) == "position" for tensor in outputs):
        yield Problem(f"members.{name}", f"no output is a position [2]; it answers {_list(outputs)}")


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


def _fit(given: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    pairs = zip(given, wanted, strict=False)
    return len(given) == len(wanted) and all(-1 in pair or pair[0] == pair[1] for pair in pairs)


def _list(tensors: Sequence[Tensor]) -> str:
    return ", ".join(f"{tensor.name!r} {tensor.dtype} {list(tensor.dims)}" for tensor in tensors) or "nothing"
