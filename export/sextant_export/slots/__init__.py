"""
What members' outputs are for: each answer reads its members' outputs in its own way.

A module of this package knows one answer: which outputs mean what (their *roles*), and which slots of the block after
the members they go to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Protocol

from sextant.tensors import Tensor
from sextant_export.pipeline import Member
from sextant_export.problem import Problem
from sextant_export.slots import label, plain, position
from sextant_export.slots.role import MemberModel, Role, listed

__all__ = ["MemberModel", "Role", "listed", "role_problems", "roles", "sharing_problems"]


class Reader(Protocol):
    """A module that reads members' outputs for one answer."""

    def roles(self, slot: int, model: MemberModel, member: Member) -> tuple[Role, ...]:
        """What the outputs of the member in *slot* are for; those that are for nothing are left out."""

    def problems(self, model: MemberModel, member: Member) -> Iterator[Problem]:
        """What keeps the member's outputs from being read."""


_READERS: Mapping[str, Reader] = MappingProxyType({"position": position, "label": label, "tensors": plain})


def roles(answer: str, slot: int, model: MemberModel, member: Member) -> tuple[Role, ...]:
    """What the outputs of the member in *slot*, its place in the spec, are for in a pipeline that answers *answer*."""
    return _READERS[answer].roles(slot, model, member)


def role_problems(answer: str, model: MemberModel, member: Member) -> Iterator[Problem]:
    """What keeps the outputs of a member from being read, each with the member's address."""
    return _READERS[answer].problems(model, member)


def sharing_problems(answer: str, members: tuple[MemberModel, ...]) -> Iterator[Problem]:
    """What keeps members from sharing one input: more than one tensor, or another type or width than the first."""
    if answer == "tensors":
        return
    first = members[0]
    for member in members:
        if len(member.inputs) != 1:
            yield Problem(f"members.{member.name}", f"takes {listed(member.inputs)}; members share one tensor")
        elif _row(member.inputs[0]) != _row(first.inputs[0]):
            said = f"takes {_said(member.inputs[0])} per row where {first.name} takes {_said(first.inputs[0])}"
            yield Problem(f"members.{member.name}", said)


def _row(tensor: Tensor) -> tuple[str, tuple[int, ...]]:
    return tensor.dtype, tensor.dims


def _said(tensor: Tensor) -> str:
    return f"{tensor.dtype} {list(tensor.dims)}"
