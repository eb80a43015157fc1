"""
What each voter's votes say of the truth: Dawid and Skene's confusion matrices, fitted with the truth or without it.

Voters who label many things betray by their company how good they are, even where nobody knows one true label: guess
the truth by plurality, count each voter's confusions against the guess, guess again, and so on until nothing moves
(Dawid and Skene 1979).  It starts from the plurality and draws nothing, so the same votes always give the same answer.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from sextant.errors import CalibrationError, ParametersError
from sextant.tensors import Floats
from sextant.vote import (
    Indices,
    Poll,
    checked_asked,
    checked_votes,
    counted,
    elect,
    most_voted,
    softmax,
    whole_numbers,
)

SMOOTHING = 0.01
"""What every cell of a confusion matrix begins with: a confusion that was never seen is rare, and not impossible."""


class DawidSkene(NamedTuple):
    """
    What was learned: *confusion* (K, C, C), of voter k the chance to say j where i is true, and the *prior* (C,).

    *posterior* (N, C) is what is thought of the things that were learned from, after *rounds*; *converged* says that
    another round would change none of it.
    """

    confusion: Floats
    prior: Floats
    posterior: Floats
    rounds: int
    converged: bool


class _Cast(NamedTuple):
    """Votes that were cast, one an entry: on which *item*, by which *voter*, for which *label*."""

    item: Indices
    voter: Indices
    label: Indices
    items: int
    voters: int


def fit_dawid_skene(
    votes: ArrayLike,
    classes: int,
    *,
    truths: ArrayLike | None = None,
    one_coin: bool = False,
    rounds: int = 1000,
    tolerance: float = 1e-6,
) -> DawidSkene:
    """
    Learn voters from their *votes* (N, K), -1 where none was cast, and from the *truths* (N,) where they are known.

    With *one_coin* a voter is right equally often whatever is true, and wrong in every way alike: one number to learn
    in place of C × C, which is the better choice where a voter has few votes a class.  ``CalibrationError`` where
    nothing was voted, or a vote or a truth is no class.

    >>> fitted = fit_dawid_skene([[0, 0, 1], [1, 1, 0], [0, 0, 0], [1, 1, 0]], 2)
    >>> fitted.posterior.argmax(axis=1).tolist(), fitted.confusion.round(2)[2].tolist()
    ([0, 1, 0, 1], [[0.5, 0.5], [1.0, 0.0]])
    """
    given = _whole(votes, "votes")
    cast = _cast(given, classes)
    if truths is not None:
        known = _certain(truths, classes, cast.items)
        return DawidSkene(*_learned(cast, known, one_coin=one_coin), known, 0, converged=True)
    posterior = most_voted(given, classes).shares
    for done in range(1, rounds + 1):
        confusion, prior = _learned(cast, posterior, one_coin=one_coin)
        before, posterior = posterior, _guessed(cast, confusion, prior)
        if np.abs(posterior - before).max() < tolerance:
            return DawidSkene(confusion, prior, posterior, done, converged=True)
    return DawidSkene(confusion, prior, posterior, rounds, converged=False)


def one_coin_confusion(accuracies: ArrayLike, classes: int) -> Floats:
    """
    The confusion matrices (K, C, C) of voters that are right with *accuracies* (K,) and else wrong in any way.

    >>> one_coin_confusion([0.8], 3)[0, 0].round(2).tolist()
    [0.8, 0.1, 0.1]
    """
    right = np.asarray(accuracies, dtype=np.float64)[:, None, None]
    return np.where(np.eye(classes, dtype=bool), right, (1 - right) / max(classes - 1, 1))


def evidence(confusion: ArrayLike) -> Floats:
    """
    Log-likelihoods (K, C + 1, C) of *confusion*: what vote j of voter k says of each class.

    Vote -1 is the last row, and says nothing.
    """
    logs = np.log(np.swapaxes(np.asarray(confusion, dtype=np.float64), 1, 2))
    return np.concatenate([logs, np.zeros_like(logs[:, :1])], axis=1)


def dawid_skene_vote(
    votes: ArrayLike, spoken: Floats, log_prior: ArrayLike = 0.0, asked: ArrayLike | None = None
) -> Poll:
    """
    The likeliest class by what each of *votes* (B, K) is *spoken* evidence of, as :func:`evidence` gives it.

    ``ParametersError`` for a vote that is no class, and where more voted than were *asked*.

    >>> confusion = one_coin_confusion([0.9, 0.6, 0.6], 2)
    >>> poll = dawid_skene_vote([[0, 1, 1]], evidence(confusion), np.log([0.5, 0.5]))
    >>> poll.winner.tolist(), poll.shares.round(2).tolist(), poll.agreement.round(2).tolist()
    ([0], [[0.8, 0.2]], [0.33])
    """
    voters, _, classes = spoken.shape
    cast = checked_votes(votes, classes)
    if cast.shape[1] != voters:
        raise ParametersError(f"votes: expected those of {voters} voters, got {cast.shape[1]} columns")
    return likeliest(cast, spoken, log_prior, checked_asked(asked, cast))


def likeliest(votes: Indices, spoken: Floats, log_prior: ArrayLike, asked: Indices | None = None) -> Poll:
    """As ``dawid_skene_vote``, of what is checked already."""
    classes = spoken.shape[2]
    logs = np.tile(np.broadcast_to(np.asarray(log_prior, dtype=np.float64), classes), (len(votes), 1))
    for voter, said in enumerate(spoken):
        logs += said[votes[:, voter]]
    return elect(softmax(logs), votes, counted(votes, classes), asked=asked)


def _whole(values: ArrayLike, name: str) -> Indices:
    try:
        return whole_numbers(values, name)
    except ParametersError as error:
        raise CalibrationError(str(error)) from error


def _cast(given: Indices, classes: int) -> _Cast:
    if given.ndim != 2:
        raise CalibrationError(f"votes: expected shape (N, K), got {given.shape}")
    item, voter = np.nonzero(given >= 0)
    if not item.size:
        raise CalibrationError("nobody voted: there is nothing to learn voters from")
    if given.max() >= classes:
        raise CalibrationError(f"expected votes for {classes} classes, from 0 on; got {given.max()}")
    if given.min() < -1:
        raise CalibrationError(f"expected -1 where no vote was cast, got {given.min()}")
    return _Cast(item, voter, given[item, voter], *given.shape)


def _certain(truths: ArrayLike, classes: int, items: int) -> Floats:
    known = _whole(truths, "truths")
    if known.shape != (items,) or known.min() < 0 or known.max() >= classes:
        raise CalibrationError(f"expected a true class from 0 to {classes - 1} for each of {items} rows")
    return np.eye(classes)[known]


def _learned(cast: _Cast, posterior: Floats, *, one_coin: bool) -> tuple[Floats, Floats]:
    """Confusion matrices and prior, counted against what is thought to be true."""
    classes = posterior.shape[1]
    place, cells = cast.voter * classes + cast.label, cast.voters * classes
    counts: Floats = np.stack([np.bincount(place, posterior[cast.item, i], cells) for i in range(classes)])
    confusion: Floats = counts.reshape(classes, cast.voters, classes).swapaxes(0, 1)
    prior = (posterior.sum(axis=0) + SMOOTHING) / (cast.items + classes * SMOOTHING)
    if one_coin:
        return one_coin_confusion(_accuracies(confusion), classes), prior
    confusion = confusion + SMOOTHING
    return confusion / confusion.sum(axis=2, keepdims=True), prior


def _accuracies(counts: Floats) -> Floats:
    classes = counts.shape[1]
    right: Floats = np.trace(counts, axis1=1, axis2=2) + SMOOTHING
    accuracies: Floats = right / (counts.sum(axis=(1, 2)) + classes * SMOOTHING)
    return accuracies


def _guessed(cast: _Cast, confusion: Floats, prior: Floats) -> Floats:
    """The chance of each class, by the votes of voters with these confusions."""
    classes = len(prior)
    logs = np.log(confusion[cast.voter, :, cast.label])
    sums = [np.bincount(cast.item, logs[:, i], cast.items) for i in range(classes)]
    return softmax(np.stack(sums, axis=1) + np.log(prior))
