"""A member as it stands in a store, and what one of its outputs is for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, Protocol

from sextant.tensors import Tensor
from sextant_export.pipeline import Member


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


class Role(NamedTuple):
    """
    What one output of a member is for.

    *word* says it, *slot* is the input of the next block that takes it (None where no block follows), *name* the
    ensemble's tensor.
    """

    tensor: Tensor
    word: str
    slot: str | None
    name: str


def roles_of(
    slot: int,
    model: MemberModel,
    member: Member,
    word_of: Callable[[Tensor, Member], str | None],
    slot_words: Mapping[str, str] = MappingProxyType({}),
) -> tuple[Role, ...]:
    """
    The roles of a member's outputs that are for something by *word_of*, bound for its *slot* of the next block.

    *slot_words* are what that block calls a word in the names of its slots, where not by the word itself.
    """
    return tuple(
        Role(
            tensor,
            word,
            f"{slot_words.get(word, word)}_{slot}",
            member.output_map.get(tensor.name, f"{model.name}.{word}"),
        )
        for tensor in used(model, member)
        if (word := word_of(tensor, member))
    )


def used(model: MemberModel, member: Member) -> Sequence[Tensor]:
    """The outputs of a member that the spec names, or all of them where it names none."""
    return [tensor for tensor in model.outputs if not member.output_map or tensor.name in member.output_map]


def said_word(tensor: Tensor, member: Member, words: Collection[str]) -> str | None:
    """Which of *words* an output is by the end of its name in the pipeline, else by its own name; None if neither."""
    names = (member.output_map.get(tensor.name, "").rpartition(".")[2], tensor.name)
    return next((name for name in names if name in words), None)


def listed(tensors: Sequence[Tensor]) -> str:
    """Tensors in a sentence: ``'place' FP32 [2]``."""
    return ", ".join(f"{tensor.name!r} {tensor.dtype} {list(tensor.dims)}" for tensor in tensors) or "nothing"
