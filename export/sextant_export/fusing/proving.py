"""A graph compiled of some steps, and the rows on which it answered as the steps themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sextant_export.fusing.compiler import compiled
from sextant_export.fusing.parts import Part
from sextant_export.fusing.proof import in_metres, prove_graph, tolerances
from sextant_export.fusing.reach import beyond, reaches
from sextant_export.fusing.rehearsal import rehearse, texts
from sextant_export.fusing.steadiness import steady
from sextant_export.graph_file import GraphFile
from sextant_export.proof import Proof
from sextant_export.rows import length, taken
from sextant_export.signature import Arrays, Feed


@dataclass(frozen=True, kw_only=True)
class Proven:
    """
    A *graph* that answers *expected* to *feed*, as the ensemble does.

    *refused* rows the ensemble refused, and *beyond* rows lie beyond the plane: the ensemble fused them on the
    ellipsoid, and the graph has no number for them. *unsteady* rows stand where the last bit decides, and are in the
    *proof* alone. *exact* and *reach_m* say what was tolerated: :func:`~sextant_export.fusing.proof.tolerances`.
    """

    graph: GraphFile
    proof: Proof
    exact: bool
    reach_m: float
    refused: int
    beyond: int
    unsteady: int
    feed: Feed = field(repr=False)
    expected: Arrays = field(repr=False)


def prove_parts(inside: Sequence[Part], exposed: Sequence[str], feed: Feed, directory: Path, batch: int) -> Proven:
    """
    The graph of the parts *inside* that gives the tensors *exposed*, its files in *directory*, proven on *feed*.

    It will be asked *batch* rows at a time.

    ``ParityError`` where it does not answer as they do.
    """
    graph, exact = compiled(inside, exposed, directory)
    told, rows = rehearse(inside, feed), length(feed)
    reached = reaches(inside, told.tensors)
    near_rows = ~beyond(reached)
    near, reach_m = told.only(near_rows), float(reached[near_rows].max(initial=0.0))
    expected = near.whole(exposed, rows)
    allowed = tolerances(in_metres(expected), exact=exact, reach_m=reach_m)
    some = taken(feed, told.answered[:1])
    given = graph.answer({name: texts(array) for name, array in feed.items()})
    proof = prove_graph(expected, given, feed, lambda again: _answered(inside, exposed, again, some), allowed)
    wavering = np.setdiff1d(near.answered, steady(inside, near, allowed, batch))
    unsteady = np.union1d(wavering, np.asarray(proof.edges, dtype=np.int64))
    kept = np.setdiff1d(np.arange(rows), unsteady)
    return Proven(
        graph=graph,
        proof=proof,
        exact=exact,
        reach_m=reach_m,
        refused=rows - len(told.answered),
        beyond=len(told.answered) - len(near.answered),
        unsteady=len(unsteady),
        feed=taken(feed, kept),
        expected=taken(expected, kept),
    )


def _answered(parts: Sequence[Part], exposed: Sequence[str], feed: Feed, some: Feed) -> Arrays:
    """What *parts* say to *feed*, where the graph has nothing to say nothing; *some* row they answer for sure."""
    told = rehearse(parts, {name: np.concatenate([array, some[name]]) for name, array in feed.items()})
    near = told.only(~beyond(reaches(parts, told.tensors)))
    return {name: array[:-1] for name, array in near.whole(exposed, length(feed) + 1).items()}
