"""
Votes of several members, one class a row: by plurality, by weight, or by the probabilities they give.

A vote is the index of a class, or -1 of a member that abstained, failed, or named no class there is.  Of two classes
that took as much, one is answered by a rule that does not change, and the answer says that it was a tie: first the
votes, then the summed probabilities where members give them, then the vote of the first member in the order they are
listed, then the class that is listed first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sextant.arrays import real
from sextant.errors import CalibrationError, ParametersError
from sextant.tensors import Floats, Mask

Indices: TypeAlias = NDArray[np.int64]

TOLERANCE = 1e-6
"""Shares of a row sum to one; two that are closer than this are equal, for 0.1 + 0.2 > 0.3 in floating point."""

UNEVEN = 0.01
"""Probabilities whose sum is farther from one than this are none."""

POOLS = ("mean", "geometric")

# From here on floating point has no fractions, and integers no room.
_LARGEST_WHOLE = 2.0**53

LEAST = float(np.finfo(np.float32).eps)
"""No logarithm is taken of a member's probability below this."""


class Poll(NamedTuple):
    """
    What a vote came to, row by row.

    *winner* (B,) is the index of the class, *shares* (B, C) what each class took, in sum one; *votes* (B,) are those
    of the winner, of *voters* (B,) who voted among *asked* (B,); *tied* (B,) says that another class took as much.
    """

    winner: Indices
    shares: Floats
    votes: Indices
    voters: Indices
    asked: Indices
    tied: Mask

    @property
    def agreement(self) -> Floats:
        """The winner's votes among those who were asked: whoever abstained or failed counts against it."""
        agreement: Floats = self.votes / np.maximum(self.asked, 1)
        return agreement


def plurality(
    votes: ArrayLike,
    classes: int,
    *,
    weights: ArrayLike | None = None,
    probabilities: ArrayLike | None = None,
    asked: ArrayLike | None = None,
) -> Poll:
    """
    The class with the most *votes* (B, K), or with the most of the voters' *weights* (K,).

    It is a plurality: of (2, 1, 1) votes the first class wins with 2 of 4, which is no majority.  *probabilities*
    (B, C), where members give them, only break ties.  *asked* (B,) is K unless said.  ``ParametersError`` for a vote
    that is no class, for weights below 0 or all 0, and where more voted than were asked.

    >>> poll = plurality([[0, 1, 1, 2], [0, 0, 1, -1]], 3)
    >>> poll.winner.tolist(), poll.agreement.tolist(), poll.tied.tolist()
    ([1, 0], [0.5, 0.5], [False, False])
    >>> plurality([[0, 0, 1]], 2, weights=[0.1, 0.2, 0.3]).tied.tolist()
    [True]
    """
    cast = checked_votes(votes, classes)
    worth = None if weights is None else checked_weights(weights, cast.shape[1])
    breaker = None if probabilities is None else np.asarray(probabilities)
    return most_voted(cast, classes, worth, breaker, checked_asked(asked, cast))


def most_voted(
    votes: Indices,
    classes: int,
    weights: Floats | None = None,
    probabilities: NDArray[Any] | None = None,
    asked: Indices | None = None,
) -> Poll:
    """As ``plurality``, of what is checked already."""
    counts = counted(votes, classes)
    breakers = [] if probabilities is None else [probabilities]
    scores = counts if weights is None else counted(votes, classes, weights)
    return elect(_shares(scores), votes, counts, breakers, asked)


def soft_vote(
    probabilities: ArrayLike,
    votes: ArrayLike | None = None,
    *,
    weights: ArrayLike | None = None,
    pool: str = "mean",
) -> Poll:
    """
    The class with the highest pooled probability of *probabilities* (B, K, C), by the members' *weights* (K,).

    The *pool* is their ``mean``, or their ``geometric`` mean brought to sum one.  *votes* (B, K) are the members' own
    first choices unless they say otherwise; a member that voted for none is left out of the pool.  ``ParametersError``
    as for ``plurality``.

    >>> poll = soft_vote([[[0.6, 0.4], [0.1, 0.9]], [[0.8, 0.2], [np.nan, np.nan]]])
    >>> poll.shares.round(2).tolist(), poll.agreement.tolist()
    ([[0.35, 0.65], [0.8, 0.2]], [0.5, 0.5])
    """
    given = real(probabilities, lambda came: ParametersError(f"probabilities: expected numbers, got {came}"))
    if given.ndim != 3:
        raise ParametersError(f"probabilities: expected shape (B, K, C), got {given.shape}")
    if pool not in POOLS:
        raise ParametersError(f"pool: expected one of {', '.join(POOLS)}, got {pool!r}")
    rows, members, classes = given.shape
    choices = first_choices(given)
    cast = choices if votes is None else np.where(choices < 0, -1, checked_votes(votes, classes, (rows, members)))
    worth = None if weights is None else checked_weights(weights, members)
    return elect(pooled(given, cast >= 0, worth, pool), cast, counted(cast, classes))


def checked_votes(votes: ArrayLike, classes: int, shape: tuple[int, int] | None = None) -> Indices:
    """
    *votes* (B, K), of that *shape* where one is said, as places of *classes*, -1 where none was cast.

    ``ParametersError`` where they are anything else.

    >>> checked_votes([[0.7, 1]], 2)
    Traceback (most recent call last):
    sextant.errors.ParametersError: votes: expected whole numbers, got 0.7
    """
    cast = whole_numbers(votes, "votes")
    if cast.ndim != 2 or shape not in (None, cast.shape):
        raise ParametersError(f"votes: expected shape {shape or '(B, K)'}, got {cast.shape}")
    if cast.size and not -1 <= cast.min() <= cast.max() < classes:
        raise ParametersError(
            f"votes: expected classes from 0 to {classes - 1}, or -1; got {cast.min()} to {cast.max()}"
        )
    return cast


def checked_weights(weights: ArrayLike, voters: int) -> Floats:
    """The *weights* (K,) of so many *voters*; ``ParametersError`` where one is below 0, or all are 0."""
    given = real(weights, lambda came: ParametersError(f"weights: expected numbers, got {came}")).astype(np.float64)
    if given.shape != (voters,) or not (np.all(given >= 0) and 0 < given.sum() < np.inf):
        expected = f"numbers from 0 on, and not all 0, one for each of {voters} voters"
        raise ParametersError(f"weights: expected {expected}; got {given.tolist()}")
    return given


def checked_asked(asked: ArrayLike | None, votes: Indices) -> Indices | None:
    """How many were *asked*, for each row (B,) or for all; ``ParametersError`` where more cast their *votes* (B, K)."""
    if asked is None:
        return None
    given, voters = whole_numbers(asked, "asked"), (votes >= 0).sum(axis=1)
    if given.shape not in ((), voters.shape):
        raise ParametersError(f"asked: expected a number for each of {len(votes)} rows, got shape {given.shape}")
    few = given < voters
    if few.any():
        row = int(few.argmax())
        raise ParametersError(f"asked: expected as many as voted, {voters[row]} in row {row}, or more; got fewer")
    return given


def whole_numbers(values: ArrayLike, name: str) -> Indices:
    """*values* as whole numbers; ``ParametersError``, in which they are called *name*, where they are none."""
    given = real(values, lambda came: ParametersError(f"{name}: expected whole numbers, got {came}"))
    fraction = ~((given == np.rint(given)) & (np.abs(given) < _LARGEST_WHOLE))
    if fraction.any():
        raise ParametersError(f"{name}: expected whole numbers, got {given[fraction][0]:g}")
    return given.astype(np.int64, copy=False)


def pooled(probabilities: NDArray[Any], voting: Mask, weights: ArrayLike | None = None, pool: str = "mean") -> Floats:
    """The *probabilities* (B, K, C) of the members that are *voting* (B, K) in one, (B, C); even where none is."""
    weighed = voting * (np.ones(voting.shape[1]) if weights is None else np.asarray(weights, dtype=np.float64))
    shares = _shares(weighed) * voting.any(axis=1, keepdims=True)
    if pool == "mean":
        return _shares(_mixed(shares, probabilities if voting.all() else np.where(voting[..., None], probabilities, 0)))
    logs = np.log(np.where(voting[..., None], np.maximum(probabilities, LEAST), 1), dtype=np.float64)
    return softmax(_mixed(shares, logs))


def softmax(logarithms: NDArray[Any]) -> Floats:
    """Logarithms (B, C) as shares that sum to one."""
    shares = np.exp(logarithms - logarithms.max(axis=-1, keepdims=True))
    normal: Floats = shares / shares.sum(axis=-1, keepdims=True)
    return normal


def first_choices(probabilities: NDArray[Any]) -> Indices:
    """
    The likeliest class of each member's *probabilities* (..., C), -1 where they are none.

    >>> first_choices(np.array([[0.2, 0.8], [np.nan, 0.1], [3.0, -2.0], [0.5, 0.5]])).tolist()
    [1, -1, -1, 0]
    """
    sums = probabilities.sum(axis=-1)
    sound = (np.abs(sums - 1) <= UNEVEN) & (probabilities.min(axis=-1) >= -TOLERANCE)
    return np.where(sound, probabilities.argmax(axis=-1), -1)


def counted(votes: Indices, classes: int, weights: ArrayLike | None = None) -> Floats:
    """
    The *votes* (B, K) that each class took, (B, C), or the voters' *weights* (K,) summed.

    >>> counted(np.array([[0, 2, 2, -1]]), 3).tolist()
    [[1.0, 0.0, 2.0]]
    """
    rows, columns = len(votes), classes + 1
    places = (votes + 1 + np.arange(rows)[:, None] * columns).ravel()
    given = None if weights is None else np.tile(np.asarray(weights, dtype=np.float64), rows)
    counts = np.bincount(places, given, rows * columns).reshape(rows, columns)
    return counts[:, 1:].astype(np.float64)


def elect(
    shares: Floats,
    votes: Indices,
    counts: Floats,
    breakers: Sequence[NDArray[Any]] = (),
    asked: ArrayLike | None = None,
) -> Poll:
    """The poll of *shares* (B, C) that *votes* (B, K), by class *counts*, came to; ties go as this module says."""
    rows, members = votes.shape
    candidates = shares >= shares.max(axis=1, keepdims=True) - TOLERANCE
    tied = candidates.sum(axis=1) > 1
    winner = shares.argmax(axis=1)
    if tied.any():
        others = [breaker[tied] for breaker in (counts, *breakers)]
        winner[tied] = _broken(candidates[tied], [*others, _first_come(votes[tied], shares.shape[1])])
    return Poll(
        winner=winner,
        shares=shares,
        votes=counts[np.arange(rows), winner].astype(np.int64),
        voters=(votes >= 0).sum(axis=1),
        asked=np.broadcast_to(np.asarray(members if asked is None else asked, dtype=np.int64), rows),
        tied=tied,
    )


def quorum(members: int, said: int | None = None) -> int:
    """
    How many of *members* must vote for a row to be answered: as many as is *said*, or more than half of them.

    >>> quorum(4), quorum(5), quorum(5, 1)
    (3, 3, 1)
    """
    return members // 2 + 1 if said is None else said


def member_accuracies(votes: Indices, truths: Indices) -> Floats:
    """
    How often each member's *votes* (N, K) are right where it voted, by *truths* (N,); never quite 0 or 1.

    >>> member_accuracies(np.array([[0, 1], [0, -1], [1, 0]]), np.array([0, 0, 1])).round(3).tolist()
    [0.875, 0.167]
    """
    right, voted = (votes == truths[:, None]).sum(axis=0), (votes >= 0).sum(axis=0)
    accuracies: Floats = (right + 0.5) / (voted + 1)
    return accuracies


def accuracy_weights(accuracies: ArrayLike, classes: int) -> Floats:
    """
    What a vote is worth by its member's accuracy: ``log(accuracy (C - 1) / (1 - accuracy))``.

    These weights are the best there are where members err on their own.  Whoever is no better than chance counts
    nothing; ``CalibrationError`` where all are.

    >>> accuracy_weights([0.9, 0.5, 0.4], 2).round(3).tolist()
    [2.197, 0.0, 0.0]
    """
    right = np.asarray(accuracies, dtype=np.float64)
    weights: Floats = np.maximum(np.log(right * (classes - 1) / (1 - right)), 0)
    if not weights.any():
        said = ", ".join(f"{share:.0%}" for share in right)
        raise CalibrationError(f"no member is right more often than chance ({said} of {classes} classes)")
    return weights


def _mixed(shares: Floats, given: NDArray[Any]) -> Floats:
    """The sum (B, C) of what members have *given* (B, K, C), by their *shares* (B, K): member by member, row by row."""
    mixed: Floats = shares[:, :1] * given[:, 0]
    for member in range(1, given.shape[1]):
        mixed += shares[:, member, None] * given[:, member]
    return mixed


def _shares(scores: Floats) -> Floats:
    """Scores (B, C) of sum one; even ones where nothing was scored."""
    totals = scores.sum(axis=1, keepdims=True)
    return np.divide(scores, totals, out=np.full(scores.shape, 1 / scores.shape[1]), where=totals > 0)


def _first_come(votes: Indices, classes: int) -> Floats:
    """For each class (B, C), how early in the members' order its first vote stands: the earlier, the higher."""
    rows, members = votes.shape
    early = np.zeros((rows, classes + 1))
    for member in reversed(range(members)):
        early[np.arange(rows), votes[:, member]] = members - member
    return early[:, :classes]


def _broken(candidates: Mask, breakers: Sequence[NDArray[Any]]) -> Indices:
    """One of the *candidates* (B, C): those that are best by each of *breakers* (B, C) in turn, then the first."""
    for breaker in breakers:
        masked = np.where(candidates, breaker, -np.inf)
        candidates = masked >= masked.max(axis=1, keepdims=True) - TOLERANCE
    first: Indices = candidates.argmax(axis=1)
    return first
