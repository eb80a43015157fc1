"""What a member of a label pipeline says: a label, or the probability of each class, or both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sextant.ballots import TYPES
from sextant.tensors import Tensor
from sextant_export.pipeline import Member
from sextant_export.problem import Problem
from sextant_export.slots.role import MemberModel, Role, listed, roles_of, said_word, used

SHAPES: Mapping[str, str] = {
    "label": "one INT64, INT32 or BYTES a row",
    "probabilities": "FP32 or FP64, one a class, and there are two classes at least",
}


def roles(slot: int, model: MemberModel, member: Member) -> tuple[Role, ...]:
    """A member's label and probabilities, bound for its slots of ``vote``."""
    return roles_of(slot, model, member, _word)


def problems(model: MemberModel, member: Member) -> Iterator[Problem]:
    """Outputs that are neither, two that could be the same, none at all."""
    given, address = used(model, member), f"members.{model.name}"
    for tensor in given:
        word = _word(tensor, member)
        if word is None:
            said = f"is neither a label ({SHAPES['label']}) nor probabilities ({SHAPES['probabilities']})"
            yield Problem(address, f"output {listed([tensor])} {said}; name those that are in its output_map")
        elif not _fits(tensor, word):
            yield Problem(address, f"output {listed([tensor])} cannot be its {word}: wanted {SHAPES[word]}")
    for word in SHAPES:
        fitting = [tensor for tensor in given if _word(tensor, member) == word]
        if len(fitting) > 1:
            yield Problem(address, f"{listed(fitting)} could each be its {word}; name one in its output_map")
    if not given:
        yield Problem(address, "gives nothing that could be a label")


def _word(tensor: Tensor, member: Member) -> str | None:
    """What the spec calls an output, else what the model calls it, else what its type and dims allow."""
    return said_word(tensor, member, SHAPES) or next((word for word in SHAPES if _fits(tensor, word)), None)


def _fits(tensor: Tensor, word: str) -> bool:
    if tensor.dtype not in TYPES[word]:
        return False
    single = tensor.dims in {(), (1,)}
    return single if word == "label" else len(tensor.dims) == 1 and not single
