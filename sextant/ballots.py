"""What members answer, or what people answered once, as votes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sextant.arrays import real, refuse_uneven
from sextant.classes import Classes
from sextant.errors import InputRefused, ParametersError
from sextant.parameters import SLOTS, mapping, read_members, whole
from sextant.tensors import Tensor
from sextant.vote import Indices, first_choices, pooled

TYPES: Mapping[str, tuple[str, ...]] = {
    "label": ("BYTES", "INT64", "INT32"),
    "probabilities": ("FP32", "FP64"),
}


class Ballots(NamedTuple):
    """
    Votes (B, K), of which (B,) were *asked* for.

    *probabilities* (B, P, C) are those of the *sure*, the P members that give them.
    """

    votes: Indices
    asked: Indices
    probabilities: NDArray[Any] | None = None
    sure: Sequence[int] = ()

    def pooled(self) -> NDArray[Any] | None:
        """The mean of the probabilities (B, C) of whoever voted; None where no member gives any."""
        if self.probabilities is None:
            return None
        return pooled(self.probabilities, self.votes[:, list(self.sure)] >= 0)


class MemberSlots:
    """
    The tensors ``label_i`` and ``probabilities_i`` of members, by the *parameters* of a block.

    *slots* says which there are, and of which type; *orders* which class each column of a slot of probabilities is,
    where that is not the order of *classes*.  A member abstains where its label is none of the classes, or where its
    probabilities are none: NaN, negative, or in sum not one.
    """

    def __init__(self, parameters: Mapping[str, Any], classes: Classes) -> None:
        self._classes = classes
        self.members = read_members(parameters)
        self._slots = _slots(parameters, len(self.members))
        self._columns = _columns(parameters, self._slots, len(classes))
        self.sure = [i for i in range(len(self.members)) if f"probabilities_{i}" in self._slots]
        # Releases with more members or fewer share one configuration, so every slot is there, and none must be filled.
        types = {"label": classes.dtype, "probabilities": "FP32"}
        every = [(f"{word}_{i}", dtype) for word, dtype in types.items() for i in range(SLOTS)]
        self.inputs = tuple(
            Tensor(name, self._slots.get(name, t), self._dims(name), optional=True) for name, t in every
        )

    def __call__(self, arrays: Mapping[str, NDArray[Any]]) -> Ballots:
        """The ballots of a batch; ``InputRefused`` where a tensor is missing, too much, or of another shape."""
        for name in {**self._slots, **arrays}:
            self._refuse(name, arrays)
        refuse_uneven(arrays)
        rows = len(next(iter(arrays.values())))
        votes = np.empty((rows, len(self.members)), dtype=np.int64)
        probabilities = None
        if self.sure:
            probabilities = np.stack([self._probabilities(i, arrays) for i in self.sure], axis=1)
            votes[:, self.sure] = first_choices(probabilities)
        for i in range(len(self.members)):
            if f"label_{i}" in self._slots:
                labels = self._classes.indices(arrays[f"label_{i}"])
                votes[:, i] = np.where(votes[:, i] < 0, -1, labels) if i in self.sure else labels
        return Ballots(votes, np.full(rows, len(self.members)), probabilities, self.sure)

    def silence(self, arrays: Mapping[str, NDArray[Any]], row: int) -> str:
        """Why members abstained in a *row*: the first whose numbers are no probabilities, if there is one."""
        for member in self.sure:
            given = self._probabilities(member, arrays)[row]
            if first_choices(given) < 0 and np.isfinite(given).all():
                low, high, total = given.min(), given.max(), given.sum()
                said = f"{self.members[member]!r} gave numbers from {low:g} to {high:g} that sum to {total:g}"
                return f"{said}, and probabilities are from 0 on and sum to 1"
        return "the others gave no class that is known"

    def _probabilities(self, member: int, arrays: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        name = f"probabilities_{member}"
        return arrays[name][:, self._columns[name]] if name in self._columns else arrays[name]

    def _dims(self, name: str) -> tuple[int, ...]:
        return (len(self._classes),) if name.startswith("probabilities") else (1,)

    def _refuse(self, name: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        if name not in self._slots:
            raise InputRefused(name, f"the tensors {', '.join(self._slots)}", "one more")
        if name not in arrays:
            raise InputRefused(name, f"the answers of member {self.members[int(name.rpartition('_')[2])]!r}", "none")
        if name.startswith("probabilities"):
            real(arrays[name], partial(InputRefused, name, "probabilities"))
        shape, dims = arrays[name].shape, self._dims(name)
        if not shape or (shape[1:] != dims and not (dims == (1,) and len(shape) == 1)):
            raise InputRefused(name, f"rows of {dims[0]}", f"shape {list(shape)}")


class RecordedVotes:
    """
    The tensor ``votes`` of a fixed row of workers: the place of a class each, -1 of whoever was not asked.

    >>> votes = RecordedVotes({"workers": 3}, Classes(("no", "yes")))
    >>> votes({"votes": np.array([[1, -1, 0]])}).asked.tolist()
    [2]
    """

    sure: Sequence[int] = ()

    def silence(self, arrays: Mapping[str, NDArray[Any]], row: int) -> str:  # noqa: ARG002 - of MemberSlots
        """Why workers abstained in a *row*: nobody asked them."""
        return "the others were not asked"

    def __init__(self, parameters: Mapping[str, Any], classes: Classes) -> None:
        self._classes = len(classes)
        self.members = tuple(f"worker {i}" for i in range(whole(parameters, "workers")))
        self.inputs = (Tensor("votes", "INT64", (len(self.members),)),)

    def __call__(self, arrays: Mapping[str, NDArray[Any]]) -> Ballots:
        """The ballots of a batch; ``InputRefused`` where a vote is for no class."""
        if set(arrays) != {"votes"}:
            raise InputRefused("votes", f"the votes of {len(self.members)} workers", ", ".join(arrays) or "none")
        votes = real(arrays["votes"], partial(InputRefused, "votes", "whole numbers"))
        if votes.dtype.kind == "f":
            raise InputRefused("votes", "whole numbers", votes.dtype.name)
        if votes.ndim != 2 or votes.shape[1] != len(self.members):
            raise InputRefused("votes", f"rows of {len(self.members)}, one a worker", f"shape {list(votes.shape)}")
        wrong = (votes < -1) | (votes >= self._classes)
        if wrong.any():
            row, worker = np.argwhere(wrong)[0].tolist()
            came = f"{votes[row, worker]} in row {row}, worker {worker}"
            raise InputRefused("votes", f"classes from 0 to {self._classes - 1}, or -1", came)
        return Ballots(votes, (votes >= 0).sum(axis=1))


def _slots(parameters: Mapping[str, Any], members: int) -> dict[str, str]:
    """The type of each slot, members in their order; each member has a slot at least."""
    given = parameters.get("slots")
    names = [f"{word}_{i}" for i in range(members) for word in TYPES]
    if not isinstance(given, Mapping) or not set(given) <= set(names):
        raise ParametersError(f"slots: expected the types of some of {', '.join(names)}, got {given!r}")
    for name, dtype in given.items():
        types = TYPES[name.rpartition("_")[0]]
        if dtype not in types:
            raise ParametersError(f"slots: expected {' or '.join(types)} for {name}, got {dtype!r}")
    for i in range(members):
        if not {f"{word}_{i}" for word in TYPES} & set(given):
            raise ParametersError(f"slots: member {i} has none: name label_{i}, probabilities_{i} or both")
    return {name: given[name] for name in names if name in given}


def _columns(parameters: Mapping[str, Any], slots: Mapping[str, str], classes: int) -> dict[str, list[int]]:
    """For each slot in another order, which of its columns is the first class, which the second and so on."""
    columns = {}
    for name, order in mapping(parameters, "orders").items():
        if name not in slots or not isinstance(order, (list, tuple)) or sorted(order) != list(range(classes)):
            expected = f"for a slot of probabilities each class from 0 to {classes - 1} once"
            raise ParametersError(f"orders: expected {expected}, got {order!r} for {name}")
        columns[name] = np.argsort(order).tolist()
    return columns
