"""A ``tensors`` answer is the member's own outputs, under their own names or those the spec gives them."""

from __future__ import annotations

from collections.abc import Iterator

from sextant_export.pipeline import Member
from sextant_export.problem import Problem
from sextant_export.slots.role import MemberModel, Role


def roles(slot: int, model: MemberModel, member: Member) -> tuple[Role, ...]:  # noqa: ARG001 - of Reader
    """Every output, for the caller."""
    return tuple(Role(t, t.name, None, member.output_map.get(t.name, t.name)) for t in model.outputs)


def problems(model: MemberModel, member: Member) -> Iterator[Problem]:  # noqa: ARG001 - of Reader
    """None: whatever a member answers is the answer."""
    return iter(())
