"""The block ``vote`` as nodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from operator import add, or_
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sextant.dawid_skene import evidence, one_coin_confusion
from sextant.parameters import read_weights
from sextant.vote import LEAST, TOLERANCE, quorum
from sextant_export.fusing.ballots import Ballots, ballots, one_at, place_of
from sextant_export.fusing.graph import Value, where
from sextant_export.fusing.sureness import Poll, confidence, floored, prediction_sets, softmax
from sextant_export.fusing.written import Written, for_all

KNOWN = frozenset(
    {
        "method",
        "classes",
        "quorum",
        "weights",
        "pool",
        "errors",
        "confidence_levels",
        "members",
        "slots",
        "orders",
        "confusion",
        "accuracies",
        "prior",
        "confidence",
        "thresholds",
        "release",
    }
)


def obstacle(parameters: Mapping[str, Any]) -> str | None:
    """Why it cannot be nodes; None where it can."""
    classes = parameters.get("classes") or [""]
    text = isinstance(classes[0], str)
    for name, dtype in (parameters.get("slots") or {}).items():
        if name.startswith("label") and (dtype == "BYTES") != text:
            return f"its classes are {'text' if text else 'whole numbers'}, and {name} is {dtype}"
    return None


def write(parameters: Mapping[str, Any], inputs: Mapping[str, Value]) -> Written:
    """The tensors of the label answer; a row on which too few vote is refused."""
    members = len(parameters["members"])
    given = ballots(parameters, inputs)
    poll = _polled(parameters, given)
    voters = reduce(add, (voted.cast(np.float64) for voted in given.voted))
    few = voters < float(quorum(members, parameters.get("quorum")))
    pooled = poll.shares.cast(np.float32)
    outputs = {
        "label": few.graph.constant(_names(parameters["classes"])).apply("Gather", poll.place, axis=0),
        "agreement": (poll.votes / float(members)).cast(np.float32),
        "tied": poll.tied,
        "members_used": voters.cast(np.int32),
        "calibrated": for_all(few, parameters.get("confidence") is not None),
        "release": for_all(few, np.array([[parameters["release"]]], dtype=np.int32)),
        **confidence(parameters, poll, pooled, members),
        **prediction_sets(parameters, poll, pooled),
    }
    return Written(outputs, few)


def _polled(parameters: Mapping[str, Any], given: Ballots) -> Poll:
    """The class with the largest share; ties go first to votes, then to probabilities, then to the earliest vote."""
    counts = reduce(add, given.votes)
    method = parameters.get("method") or "plurality"
    shares = _METHODS[method](parameters, given, counts)
    best = shares.most()
    candidates = shares >= best - TOLERANCE
    tied = candidates.cast(np.float64).total() > 1.0
    breakers = [counts]
    if method in {"plurality", "weighted"} and given.probabilities:
        breakers.append(_pooled(parameters, given, list(given.probabilities), None, "mean"))
    for breaker in (*breakers, _first_come(given)):
        masked = where(candidates, breaker, -np.inf)
        candidates = masked >= masked.most() - TOLERANCE
    place = place_of(candidates.cast(np.float64))
    winner = one_at(place, len(parameters["classes"]))
    return Poll(shares, winner, place, (counts * winner.cast(np.float64)).total(), tied)


def _first_come(given: Ballots) -> Value:
    """For each class how early in the members' order its first vote stands: the earlier, the higher."""
    members = len(given.votes)
    ranks = [vote * float(members - member) for member, vote in enumerate(given.votes)]
    return reduce(lambda one, other: where(one < other, other, one), ranks)


def _plurality(parameters: Mapping[str, Any], _given: Ballots, counts: Value) -> Value:
    return _shares(counts, len(parameters["classes"]))


def _weighted(parameters: Mapping[str, Any], given: Ballots, _counts: Value) -> Value:
    weights = read_weights(parameters, parameters["members"]).tolist()
    return _shares(_sum(given.votes, weights), len(parameters["classes"]))


def _soft(parameters: Mapping[str, Any], given: Ballots, _counts: Value) -> Value:
    every = list(range(len(given.votes)))
    said = parameters.get("weights") is not None
    weights = read_weights(parameters, parameters["members"]).tolist() if said else None
    return _pooled(parameters, given, every, weights, parameters.get("pool") or "mean")


def _dawid_skene(parameters: Mapping[str, Any], given: Ballots, _counts: Value) -> Value:
    """The likeliest class by what each vote is evidence of; no vote is evidence of nothing."""
    classes = len(parameters["classes"])
    accuracies = parameters.get("accuracies")
    confusion = parameters["confusion"] if accuracies is None else one_coin_confusion(accuracies, classes)
    spoken = evidence(confusion)[:, :classes]
    said = (vote @ matrix for vote, matrix in zip(given.votes, spoken, strict=True))
    return softmax(reduce(add, said) + np.log(np.asarray(parameters["prior"], dtype=np.float64))[None])


_METHODS: Mapping[str, Callable[[Mapping[str, Any], Ballots, Value], Value]] = MappingProxyType(
    {"plurality": _plurality, "weighted": _weighted, "soft": _soft, "dawid_skene": _dawid_skene}
)


def _pooled(
    parameters: Mapping[str, Any], given: Ballots, members: Sequence[int], weights: Sequence[float] | None, pool: str
) -> Value:
    """The probabilities of those of *members* that voted in one, by their *weights*; even where none did."""
    voted, probabilities = [given.voted[i] for i in members], [given.probabilities[i] for i in members]
    heard = [one.cast(np.float64) * weight for one, weight in zip(voted, weights or [1.0] * len(members), strict=True)]
    total, anybody = reduce(add, heard), reduce(or_, voted).cast(np.float64)
    even = total.like(1 / len(members))
    shares = [where(total > 0.0, one / total, even) * anybody for one in heard]
    if pool == "mean":
        said = [where(one, each, 0.0) for one, each in zip(voted, probabilities, strict=True)]
        return _shares(_sum(said, shares), len(parameters["classes"]))
    logs = [where(one, floored(each, LEAST), 1.0).apply("Log") for one, each in zip(voted, probabilities, strict=True)]
    return softmax(_sum(logs, shares))


def _sum(values: Sequence[Value], weights: Sequence[Any]) -> Value:
    total: Value = reduce(add, (value * weight for value, weight in zip(values, weights, strict=True)))
    return total


def _shares(scores: Value, classes: int) -> Value:
    """Scores ``(B, C)`` of sum one; even ones where nothing was scored."""
    total = scores.total()
    return where(total > 0.0, scores / total, 1 / classes)


def _names(classes: Sequence[str] | Sequence[int]) -> NDArray[Any]:
    return np.asarray(classes, dtype=np.int64 if isinstance(classes[0], int) else object)
