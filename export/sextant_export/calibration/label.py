"""
What known cases teach a label pipeline: what each member's vote is worth, and what a confidence means.

Votes are pooled first and calibrated then.  Where the vote itself learns, of its members' errors, each case is polled
by what was learned from the other folds, or its confidence would be that of cases known by heart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sextant.binomial import realised_coverage
from sextant.blocks.vote import Vote
from sextant.classes import read_classes
from sextant.confidence import of_place, prediction_sets, require_cases, set_threshold
from sextant.conform import conformal_rank
from sextant.errors import CalibrationError
from sextant.tensors import Floats
from sextant.values import level_text
from sextant.vote import Poll, quorum
from sextant_export.calibration.calibrated import Calibrated, Parameters
from sextant_export.calibration.confidences import Polled, fitted_confidence
from sextant_export.calibration.facts import Facts, belonging, counted, stamp
from sextant_export.calibration.folds import FOLDS, Judged, judged, ordered_folds, random_folds
from sextant_export.calibration.voters import fit, member_facts, settled_vote, slots_of
from sextant_export.known_cases import KnownCases
from sextant_export.member import PreparedMember
from sextant_export.pipeline import Pipeline

Slots = Mapping[str, NDArray[Any]]


def fitted(
    pipeline: Pipeline,
    members: Sequence[PreparedMember],
    release: int,
    parameters: Parameters,
    cases: KnownCases | None,
    seen: Any,
) -> Calibrated:
    """
    The complete *parameters* of ``vote``, fitted on *cases*, which the members see as *seen*.

    Without *cases* the confidence is that of the count of votes, and says ``calibrated: false``.
    """
    slots, truth = slots_of(pipeline, members, seen), None if cases is None else cases.truth
    vote = settled_vote(pipeline, members, slots, release, parameters["vote"], truth)
    found, facts = ({}, None) if cases is None else _found(vote, slots, cases)
    return Calibrated(parameters={**parameters, "vote": {**vote, **found}}, facts=facts)


def _found(vote: Mapping[str, Any], slots: Slots, cases: KnownCases) -> tuple[dict[str, Any], Facts]:
    """What *cases*, answered as *slots*, teach: the parameters that the *vote* still lacks, and the facts."""
    require_cases(len(cases))
    truth = _places(vote, cases)
    polled, few = _polled(vote, slots, truth, cases.group)
    learned = fit(vote, slots, truth)
    confidence, measured = fitted_confidence(polled)
    thresholds, sets = _fitted_sets(polled, vote.get("confidence_levels") or ())
    found = {**learned, "confidence": confidence} | ({"thresholds": thresholds} if thresholds else {})
    return found, {
        "rows": len(cases),
        "sha256": cases.sha256,
        "rows_without_a_quorum": few,
        "rows_of_unknown_class": int(np.sum(truth < 0)),
        **counted(polled.right, "accuracy", polled.own),
        "commonest": float(np.unique(cases.truth.astype(str), return_counts=True)[1].max() / len(cases)),
        "members": member_facts(vote, slots, truth),
        "confidence": measured,
        "sets": sets,
        **stamp(polled.shares),
    }


def _places(vote: Mapping[str, Any], cases: KnownCases) -> NDArray[np.int64]:
    """The place of each true class among the classes of the *vote*, -1 of one that no member knows."""
    classes = read_classes(vote)
    truth = classes.indices(cases.truth)
    if (truth < 0).all():
        raise CalibrationError(
            f"none of the true labels, such as {cases.truth[0]!r}, is a class of the vote, such as {classes.names[0]!r}"
        )
    return truth


def _polled(
    vote: Mapping[str, Any], slots: Slots, truth: NDArray[np.int64], group: NDArray[Any] | None = None
) -> tuple[Polled, int]:
    """The cases as they were voted on, without those on which too few voted; and how many these were."""
    fold, stretch = random_folds(len(truth), group), ordered_folds(np.zeros_like(truth), group)
    polls: list[tuple[NDArray[np.intp], Poll]] = []
    for out in (np.flatnonzero(fold == i) for i in range(FOLDS)):
        rest = np.setdiff1d(np.arange(len(truth)), out)
        learned = fit(vote, _rows(slots, rest), truth[rest])
        polls.append((out, Vote({**vote, **learned}).polled(**_rows(slots, out))))
    order = np.argsort(np.concatenate([out for out, _ in polls]))
    joined = Poll(*(np.concatenate(arrays)[order] for arrays in zip(*(poll for _, poll in polls), strict=True)))
    enough = joined.voters >= quorum(len(vote["members"]), vote.get("quorum"))
    polled = Polled(
        joined.shares.astype(np.float32),
        joined.winner,
        joined.agreement,
        truth,
        fold,
        stretch,
        belonging(len(truth), group),
    )
    return polled.take(enough), int(np.sum(~enough))


def _rows(slots: Slots, rows: NDArray[np.intp]) -> dict[str, NDArray[Any]]:
    return {name: array[rows] for name, array in slots.items()}


def _fitted_sets(polled: Polled, levels: Sequence[float]) -> tuple[list[float], Facts]:
    """The threshold of the sets of each of *levels*, what is promised of them, and what they held fold by fold."""
    for level in levels:
        _refuse_unheld(polled, level)
    of_truth = of_place(polled.shares, polled.truth)
    thresholds = [set_threshold(of_truth, level) for level in levels]
    sets = prediction_sets(polled.shares, polled.winner, np.array(thresholds))
    held = _judged_sets(polled, of_truth, levels)
    facts = {
        f"{level:g}": {
            "threshold": thresholds[i],
            "rank": conformal_rank(len(polled), level),
            "rows": len(polled),
            **held.coverage(i),
            **({"realised_coverage": list(realised_coverage(len(polled), level))} if held.alone else {}),
            "mean_size": float(sets[:, i].sum(axis=1).mean()),
        }
        for i, level in enumerate(levels)
    }
    return thresholds, facts


def _refuse_unheld(polled: Polled, level: float) -> None:
    """A set holds classes of the vote alone: where too many truths are none of them, it cannot hold so many."""
    unknown = int(np.sum(polled.truth < 0))
    if len(polled) - unknown < conformal_rank(len(polled), level) <= len(polled):
        raise CalibrationError(
            f"{unknown} of {len(polled)} known cases are of no class of the vote, so no set holds {level_text(level)} "
            "of the truth: let a member know their class, leave such cases out, or ask for a lower level"
        )


def _judged_sets(polled: Polled, of_truth: Floats, levels: Sequence[float]) -> Judged:
    """Whether the sets of *levels*, by the threshold of other folds, hold the truth, which got *of_truth* (N,)."""
    crossed = np.broadcast_to(-of_truth, (polled.stretch.max() + 1, len(polled)))
    found = judged(crossed, levels, polled.stretch, np.zeros_like(polled.stretch), polled.own)
    held = np.maximum(found.held, polled.right[:, None])  # the winner is in every set
    return found._replace(held=held * (polled.truth >= 0)[:, None])  # and what is no class in none
