"""What a release finds of the voters: their slots, their classes, and what the vote of each is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sextant.ballots import MemberSlots
from sextant.classes import Classes
from sextant.dawid_skene import fit_dawid_skene
from sextant.errors import CalibrationError
from sextant.vote import Indices, accuracy_weights, first_choices, member_accuracies
from sextant_export.calibration_problems import learns
from sextant_export.class_order import (
    column_order,
    listed_classes,
    refuse_crossed,
    refuse_mislabelled,
    refuse_own_contradiction,
    refuse_unchecked,
    settled_classes,
)
from sextant_export.member import PreparedMember
from sextant_export.pipeline import Pipeline
from sextant_export.signature import Arrays
from sextant_export.slots import Role, roles


@dataclass(frozen=True)
class _Voter:
    """A member in its *slot*: the roles of its outputs and its *answers*, by word, and the classes it *listed*."""

    name: str
    slot: int
    roles: Mapping[str, Role]
    answers: Arrays
    listed: Classes | None

    @property
    def width(self) -> int | None:
        """How many classes its probabilities are of; None where it gives none."""
        return self.answers["probabilities"].shape[-1] if "probabilities" in self.answers else None


def slots_of(pipeline: Pipeline, members: Sequence[PreparedMember], seen: Any) -> Arrays:
    """
    The members' answers to the rows *seen*, under the names of their slots of ``vote``.

    Where *seen* is None, those to the rows of their own proofs: no two members answer the same ones.
    """
    slots: dict[str, NDArray[Any]] = {}
    for i, member in enumerate(members):
        answers = member.expected if seen is None else member.answer(seen)
        slots |= {role.slot: answers[role.tensor.name] for role in _roles(pipeline, i, member).values() if role.slot}
    return slots


def settled_vote(
    pipeline: Pipeline,
    members: Sequence[PreparedMember],
    slots: Arrays,
    release: int,
    given: Mapping[str, Any],
    truth: NDArray[Any] | None,
) -> dict[str, Any]:
    """
    The parameters of ``vote`` but for what is learned: *given* by the spec, with members, slots, classes, release.

    *slots* are the members' answers to rows of these true labels; without *truth*, to the rows of their proofs.
    ``CalibrationError`` where they do not vote on the same classes, or where nothing says whether they do.
    """
    voters = [_voter(pipeline, i, member, slots) for i, member in enumerate(members)]
    classes = _classes(given, voters, truth)
    orders = [column_order(voter.name, classes, voter.listed, voter.width) for voter in voters]
    vote = {
        **given,
        "classes": list(classes.names),
        "members": [voter.name for voter in voters],
        "slots": {role.slot: role.tensor.dtype for voter in voters for role in voter.roles.values()},
        "orders": {
            f"probabilities_{voter.slot}": order
            for voter, order in zip(voters, orders, strict=True)
            if order and order != sorted(order) and "probabilities" in voter.roles
        },
        "release": release,
    }
    for voter in voters:
        _refuse_stranger(voter, vote, classes, truth)
    return vote


def fit(vote: Mapping[str, Any], slots: Arrays, truth: Indices) -> dict[str, Any]:
    """
    What *vote*, the parameters so far, has to learn of its members: weights, or confusions and a prior.

    *slots* are their answers to known cases, *truth* (N,) the places of the true classes, -1 of one there is none.
    """
    if not learns(vote):
        return {}
    votes, truth = _votes(vote, slots)[truth >= 0], truth[truth >= 0]
    classes = len(vote["classes"])
    if vote["method"] == "weighted":
        return {"weights": accuracy_weights(member_accuracies(votes, truth), classes).tolist()}
    one_coin = vote.get("errors") == "one_coin"
    fitted = fit_dawid_skene(votes, classes, truths=truth, one_coin=one_coin)
    learned = {"accuracies": fitted.confusion[:, 0, 0]} if one_coin else {"confusion": fitted.confusion}
    return {name: array.tolist() for name, array in (learned | {"prior": fitted.prior}).items()}


def member_facts(vote: Mapping[str, Any], slots: Arrays, truth: Indices) -> dict[str, Any]:
    """For the receipt: of each member how often it was right among all rows, and how often it gave no class."""
    votes = _votes(vote, slots)
    right = ((votes == truth[:, None]) & (votes >= 0)).mean(axis=0)
    shares = zip(right.tolist(), (votes < 0).mean(axis=0).tolist(), strict=True)
    facts = [{"accuracy": round(accuracy, 6), "abstained": round(silent, 6)} for accuracy, silent in shares]
    return dict(zip(vote["members"], facts, strict=True))


def _voter(pipeline: Pipeline, slot: int, member: PreparedMember, slots: Arrays) -> _Voter:
    words = _roles(pipeline, slot, member)
    answers = {word: slots[role.slot] for word, role in words.items() if role.slot}
    return _Voter(member.name, slot, words, answers, listed_classes(member.artifact))


def _roles(pipeline: Pipeline, slot: int, member: PreparedMember) -> dict[str, Role]:
    return {role.word: role for role in roles(pipeline.answer, slot, member, pipeline.members[member.name])}


def _classes(given: Mapping[str, Any], voters: Sequence[_Voter], truth: NDArray[Any] | None) -> Classes:
    width = next((voter.width for voter in voters if voter.width is not None), None)
    listed = {voter.name: voter.listed for voter in voters}
    return settled_classes(given.get("classes"), listed, width, truth)


def _refuse_stranger(voter: _Voter, vote: Mapping[str, Any], classes: Classes, truth: NDArray[Any] | None) -> None:
    """A member whose answers to known cases, or to the rows of its proof, do not fit the classes."""
    first = {f"{word}_0": array for word, array in voter.answers.items()}
    votes = MemberSlots(_alone(vote, voter.slot), classes)(first).votes[:, 0]
    _refuse_silent(voter, votes, classes)
    if set(voter.answers) == {"label", "probabilities"}:
        order = vote["orders"].get(f"probabilities_{voter.slot}", range(len(classes)))
        choices = np.array([*order, -1])[first_choices(voter.answers["probabilities"])]
        check = refuse_own_contradiction if voter.listed is None else refuse_mislabelled
        check(voter.name, classes, classes.indices(voter.answers["label"]), choices)
    elif voter.listed is None and truth is None and "probabilities" in voter.answers:
        refuse_unchecked(voter.name, classes)
    if truth is not None:
        refuse_crossed(voter.name, classes, votes, classes.indices(truth))


def _alone(vote: Mapping[str, Any], member: int) -> dict[str, Any]:
    """The parameters of the ballots of one member alone, as the first."""
    alone: dict[str, Any] = {"members": [vote["members"][member]]}
    for key in ("slots", "orders"):
        own = {name: value for name, value in vote[key].items() if name.endswith(f"_{member}")}
        alone[key] = {name.rpartition("_")[0] + "_0": value for name, value in own.items()}
    return alone


def _refuse_silent(voter: _Voter, votes: Indices, classes: Classes) -> None:
    """A member that never names a class is a mistake, and no abstention."""
    if (votes < 0).all():
        said = ", ".join(f"{word} {array[0].tolist()}" for word, array in voter.answers.items())
        known = ", ".join(map(repr, classes.names[:6]))
        raise CalibrationError(
            f"member {voter.name} gives no class in any of {len(votes)} rows, for example {said}: "
            f"wanted one of {known}{', ...' if len(classes) > 6 else ''}, or probabilities that add up to one"
        )


def _votes(vote: Mapping[str, Any], slots: Arrays) -> Indices:
    return MemberSlots(vote, Classes(tuple(vote["classes"])))(slots).votes
