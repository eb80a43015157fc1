from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sextant.ballots import Ballots, MemberSlots, RecordedVotes
from sextant.classes import read_classes
from sextant.confidence import counted_confidence, prediction_sets, read_confidence, read_thresholds
from sextant.dawid_skene import evidence, likeliest, one_coin_confusion
from sextant.errors import InputRefused, ParametersError
from sextant.measures import AGREEMENT, CONFIDENCE, Series
from sextant.parameters import SLOTS, numbers, one_of, read_levels, read_weights, refuse_unknown, whole
from sextant.tensors import Floats, Tensor
from sextant.vote import POOLS, Poll, checked_weights, counted, elect, most_voted, pooled, quorum

METHODS = ("plurality", "weighted", "soft", "dawid_skene")
ERRORS = ("full", "one_coin")


class Vote:
    """
    Several members' classes, one class, how many agree on it, and how sure that makes it.

    The i-th of *members* gives its class in ``label_i``, the probabilities of the *classes* in ``probabilities_i``, or
    both.  *method* decides: ``plurality``; ``weighted`` by *weights*; ``soft``, the mean or geometric *pool* of the
    probabilities; ``dawid_skene``, the likeliest class by the *confusion* of each member, or by its *accuracies* alone.
    Rows on which fewer than *quorum* members vote, more than half of them unless said, are refused.  In place of
    members, *workers* says how many people's recorded ``votes`` a row has.

    >>> block = Vote({
    ...     "members": ["a", "b", "c"], "slots": {f"label_{i}": "BYTES" for i in range(3)},
    ...     "classes": ["cat", "dog"], "release": 7,
    ... })
    >>> answer = block(**{f"label_{i}": np.array([[word]], object) for i, word in enumerate([b"dog", b"dog", b""])})
    >>> answer["label"].tolist(), answer["agreement"].round(3).tolist(), answer["confidence"].tolist()
    ([[b'dog']], [[0.6669999957084656]], [[60.0]])
    """

    inputs: tuple[Tensor, ...] = (
        *(Tensor(f"label_{slot}", "BYTES", (1,), optional=True) for slot in range(SLOTS)),
        *(Tensor(f"probabilities_{slot}", "FP32", (-1,), optional=True) for slot in range(SLOTS)),
        Tensor("votes", "INT64", (-1,), optional=True),
    )
    outputs: tuple[Tensor, ...] = (
        Tensor("label", "BYTES", (1,)),
        Tensor("probabilities", "FP32", (-1,)),
        Tensor("agreement", "FP32", (1,)),
        Tensor("confidence", "FP32", (1,)),
        Tensor("tied", "BOOL", (1,)),
        Tensor("calibrated", "BOOL", (1,)),
        Tensor("members_used", "INT32", (1,)),
        Tensor("release", "INT32", (1,)),
    )

    chosen: ClassVar[tuple[str, ...]] = (
        "method",
        "classes",
        "quorum",
        "weights",
        "pool",
        "errors",
        "confidence_levels",
    )
    measured: ClassVar[tuple[str, ...]] = (
        "members",
        "slots",
        "orders",
        "workers",
        "confusion",
        "accuracies",
        "prior",
        "confidence",
        "thresholds",
        "release",
    )
    parameters: ClassVar[tuple[str, ...]] = (*chosen, *measured)

    series = (Series(AGREEMENT, "agreement"), Series(CONFIDENCE, "confidence"))

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        refuse_unknown(parameters, self.parameters)
        one_of(parameters, "errors", ERRORS)
        self.classes = read_classes(parameters)
        read = MemberSlots if parameters.get("workers") is None else RecordedVotes
        self._ballots: MemberSlots | RecordedVotes = read(parameters, self.classes)
        self._quorum = _quorum(parameters, self._ballots)
        self._poll = _method(parameters, self._ballots, len(self.classes))
        self._map = read_confidence(parameters)
        self._levels = np.empty(0) if parameters.get("confidence_levels") is None else read_levels(parameters)
        self._thresholds = read_thresholds(parameters, len(self._levels))
        self._release = whole(parameters, "release")
        self.inputs = self._ballots.inputs
        self.outputs = tuple(map(self._exact, Vote.outputs + (_SETS if len(self._levels) else ())))

    def polled(self, **arrays: NDArray[Any]) -> Poll:
        """What the vote of a batch comes to, whether or not enough members voted."""
        return self._poll(self._ballots(arrays))

    def __call__(self, **arrays: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """The tensors of the label answer, or ``InputRefused`` where too few members voted."""
        poll = self.polled(**arrays)
        self._refuse_few(poll, arrays)
        shares, agreement = poll.shares.astype(np.float32), poll.agreement
        if self._map is None:
            probabilities, confidence = shares, counted_confidence(poll.votes, poll.asked)
        else:
            probabilities = self._map.probabilities(shares).astype(np.float32)
            confidence = self._map.confidence(shares, poll.winner, agreement)
        rows = len(shares)
        answer = {
            "label": self.classes.labels(poll.winner),
            "probabilities": probabilities,
            "agreement": agreement[:, None].astype(np.float32),
            "confidence": confidence[:, None].astype(np.float32),
            "tied": poll.tied[:, None],
            "calibrated": np.full((rows, 1), self._map is not None),
            "members_used": poll.voters[:, None].astype(np.int32),
            "release": np.full((rows, 1), self._release, dtype=np.int32),
        }
        return answer | self._sets(shares, poll)

    def _sets(self, shares: NDArray[np.float32], poll: Poll) -> dict[str, NDArray[Any]]:
        if not len(self._levels):
            return {}
        shape = (len(shares), len(self._levels), len(self.classes))
        sets = prediction_sets(shares, poll.winner, self._thresholds)
        levels = np.tile(self._levels, (len(shares), 1))
        return {"prediction_set": np.ascontiguousarray(np.broadcast_to(sets, shape)), "confidence_level": levels}

    def _refuse_few(self, poll: Poll, arrays: Mapping[str, NDArray[Any]]) -> None:
        few = poll.voters < self._quorum
        if few.any():
            row = int(few.argmax())
            asked = len(self._ballots.members)
            raise InputRefused(
                "members",
                f"votes of at least {self._quorum} of {asked}",
                f"{poll.voters[row]} in row {row}: {self._ballots.silence(arrays, row)}",
            )

    def _exact(self, tensor: Tensor) -> Tensor:
        """A tensor with the type and dims that these parameters imply."""
        classes, levels = len(self.classes), len(self._levels)
        dims = {"probabilities": (classes,), "prediction_set": (levels, classes), "confidence_level": (levels,)}
        exact = tensor._replace(dims=dims.get(tensor.name, tensor.dims))
        return exact._replace(dtype=self.classes.dtype) if tensor.name == "label" else exact


_SETS = (Tensor("prediction_set", "BOOL", (-1, -1)), Tensor("confidence_level", "FP64", (-1,)))


def _method(
    parameters: Mapping[str, Any], ballots: MemberSlots | RecordedVotes, classes: int
) -> Callable[[Ballots], Poll]:
    method = one_of(parameters, "method", METHODS)
    pool = one_of(parameters, "pool", POOLS)
    if "pool" in parameters and method != "soft":
        raise ParametersError(f"pool: only of the method soft, and this is {method}")
    if "errors" in parameters and method != "dawid_skene":
        raise ParametersError(f"errors: only of the method dawid_skene, and this is {method}")
    weights = _weights(parameters, ballots.members, method)
    if method == "soft":
        _refuse_unsure(ballots)
        return lambda given: _pooled(given, classes, weights, pool)
    if method == "dawid_skene":
        spoken, log_prior = _learned(parameters, len(ballots.members), classes)
        return lambda given: likeliest(given.votes, spoken, log_prior, given.asked)
    return lambda given: _counted(given, classes, weights)


def _counted(given: Ballots, classes: int, weights: Floats | None) -> Poll:
    """A plurality; probabilities are looked at only where there are ties to break."""
    poll = most_voted(given.votes, classes, weights, asked=given.asked)
    if given.probabilities is None or not poll.tied.any():
        return poll
    return most_voted(given.votes, classes, weights, given.pooled(), given.asked)


def _pooled(given: Ballots, classes: int, weights: Floats | None, pool: str) -> Poll:
    """A soft vote; whoever's probabilities are none has abstained in the ballots already."""
    shares = pooled(np.asarray(given.probabilities), given.votes >= 0, weights, pool)
    return elect(shares, given.votes, counted(given.votes, classes))


def _refuse_unsure(ballots: MemberSlots | RecordedVotes) -> None:
    unsure = [name for i, name in enumerate(ballots.members) if i not in ballots.sure]
    if unsure:
        raise ParametersError(f"method: soft pools the probabilities of every member, and {unsure[0]} gives none")


def _weights(parameters: Mapping[str, Any], members: Sequence[str], method: str) -> Floats | None:
    if parameters.get("weights") is None:
        if method == "weighted":
            raise ParametersError("weights: expected one a member, given on the page or fitted on known cases")
        return None
    if method not in ("weighted", "soft"):
        raise ParametersError(f"weights: only of the methods weighted and soft, and this is {method}")
    return checked_weights(read_weights(parameters, members), len(members))


def _learned(parameters: Mapping[str, Any], members: int, classes: int) -> tuple[Floats, Floats]:
    """What each vote is evidence of, and the logarithms of the prior."""
    if parameters.get("accuracies") is not None:
        accuracies = _shares(parameters, "accuracies", (members,))
        confusion = one_coin_confusion(accuracies, classes)
    else:
        confusion = _shares(parameters, "confusion", (members, classes, classes))
    return evidence(confusion), np.log(_shares(parameters, "prior", (classes,)))


def _shares(parameters: Mapping[str, Any], key: str, shape: tuple[int, ...]) -> Floats:
    if parameters.get(key) is None:
        raise ParametersError(f"{key}: dawid_skene learns it from known cases: name them under `calibration`")
    shares = numbers(parameters, key, shape)
    if (shares <= 0).any() or (shares >= 1).any():
        raise ParametersError(f"{key}: expected shares between 0 and 1, got {shares.min():g} to {shares.max():g}")
    return shares


def _quorum(parameters: Mapping[str, Any], ballots: MemberSlots | RecordedVotes) -> int:
    """More than half of the members; of recorded votes, one."""
    members = len(ballots.members)
    if parameters.get("quorum") is None:
        return quorum(members) if isinstance(ballots, MemberSlots) else 1
    said = whole(parameters, "quorum")
    if said > members:
        raise ParametersError(f"quorum: expected at most {members}, as many as there are members, got {said}")
    return said
