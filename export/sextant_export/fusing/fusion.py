"""``serving: {fuse_graph: true}``: the steps of a release that can be one graph, compiled and proven."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from sextant.blocks import BLOCKS
from sextant_export.evidence import OF_GRAPH, Evidence
from sextant_export.fusing.choice import Choice, chosen
from sextant_export.fusing.naming import graph_model
from sextant_export.fusing.parts import Part, parts_of
from sextant_export.fusing.proving import Proven, prove_parts
from sextant_export.fusing.questions import questions
from sextant_export.fusing.reach import FUSE, NOWHERE, reaches, too_far
from sextant_export.fusing.rehearsal import rehearse
from sextant_export.known_cases import KnownCases
from sextant_export.member import PreparedMember
from sextant_export.pipeline import Pipeline
from sextant_export.signature import Feed
from sextant_export.store import Store
from sextant_export.wiring import EnsembleStep, Wiring, wire


@dataclass(frozen=True, kw_only=True)
class Fusion:
    """What became of the steps of a release: *choice* says which are in the graph, the Triton *model*, if any."""

    release: int
    choice: Choice
    model: str = ""
    proven: Proven | None = None

    @property
    def members(self) -> tuple[str, ...]:
        """The members that are in the graph, by their names in the spec."""
        return tuple(part.name for part in self._inside if part.member is not None)

    @property
    def blocks(self) -> tuple[str, ...]:
        """The blocks that are in the graph."""
        return tuple(part.name for part in self._inside if part.member is None)

    @property
    def _inside(self) -> tuple[Part, ...]:
        return self.choice.inside if self.proven else ()

    def wired(self, wiring: Wiring) -> Wiring:
        """*wiring* with the graph in the place of the steps that it holds."""
        if self.proven is None:
            return wiring
        inside = [part.step for part in self.choice.inside]
        place = wiring.steps.index(inside[0])
        graph = self.proven.graph
        names = ({tensor.name: tensor.name for tensor in side} for side in (graph.inputs, graph.outputs))
        step = EnsembleStep(self.model, self.release, *names)
        return wiring._replace(steps=(*wiring.steps[:place], step, *wiring.steps[place + len(inside) :]))

    def __str__(self) -> str:
        """What is inside and how well it is proven, and what is not, and why."""
        said = [f"{name} left as it is: {reason}" for name, reason in self.choice.left.items()]
        if self.proven is not None:
            said.insert(0, f"{', '.join(self.choice.steps)} in {self.model}: {self.proven.proof}")
        return "; ".join(said)

    @property
    def evidence(self) -> Evidence:
        """The rows that the graph was proven on, and what the ensemble answers to them, under the graph's name."""
        return {OF_GRAPH: (self.proven.feed, self.proven.expected)} if self.proven else {}

    def facts(self) -> dict[str, Any]:
        """What the receipt keeps."""
        kept: dict[str, Any] = {"steps": list(self.choice.steps), "left": dict(self.choice.left)}
        if self.proven is None:
            return kept
        proven = self.proven
        return {
            "model": self.model,
            "version": self.release,
            **kept,
            "members": list(self.members),
            **proven.graph.facts(),
            "exact": proven.exact,
            "reach_m": proven.reach_m,
            "rows_refused": proven.refused,
            "rows_beyond": proven.beyond,
            "rows_unsteady": proven.unsteady,
            "proof": proven.proof.to_dict(),
        }


def fuse_steps(
    pipeline: Pipeline,
    store: Store,
    members: Sequence[PreparedMember],
    parameters: Mapping[str, Mapping[str, Any]],
    cases: KnownCases | None,
    release: int,
    directory: Path,
) -> Fusion:
    """
    The steps of *release* as one graph, as far as they can be, its files in *directory*; proven on *cases* and more.

    The graph's model has a name under which *store* holds no other inputs or outputs.

    ``ParityError`` where the graph does not answer as the ensemble.
    """
    blocks = {name: BLOCKS[name](given) for name, given in parameters.items()}
    wiring = wire(pipeline, members, release, blocks)
    parts = parts_of(pipeline, members, blocks, parameters, wiring)
    asked = questions(parts, wiring.inputs, cases)
    choice = chosen(parts, _too_far(parts, wiring, asked, cases))
    if not choice.inside:
        return Fusion(release=release, choice=choice)
    feed = _reaching(parts, choice, asked)
    exposed = _exposed(parts, choice, wiring)
    proven = prove_parts(choice.inside, exposed, feed, directory, pipeline.serving.max_batch_size)
    return Fusion(model=graph_model(store, pipeline, proven.graph), release=release, choice=choice, proven=proven)


def _too_far(parts: Sequence[Part], wiring: Wiring, asked: Feed, cases: KnownCases | None) -> dict[str, str]:
    """Whether the members' own answers leave ``fuse`` a block, as a step's reason."""
    before = list(takewhile(lambda part: part.name != FUSE or part.member is not None, parts))
    if len(before) == len(parts):
        return {}
    known = NOWHERE
    if cases is not None:
        known = reaches(parts, rehearse(before, {wiring.inputs[0].name: cases.features}).tensors)
    reason = too_far(reaches(parts, rehearse(before, asked).tensors), known)
    return {} if reason is None else {FUSE: reason}


def _exposed(parts: Sequence[Part], choice: Choice, wiring: Wiring) -> list[str]:
    """What the graph must give: what a later step takes, or the caller."""
    after = parts[parts.index(choice.inside[-1]) + 1 :]
    taken_later = {name for part in after for name in part.inputs} | {tensor.name for tensor in wiring.outputs}
    return [name for part in choice.inside for name in part.outputs if name in taken_later]


def _reaching(parts: Sequence[Part], choice: Choice, asked: Feed) -> Feed:
    """The rows that get through to the graph, as what it takes."""
    before = parts[: parts.index(choice.inside[0])]
    tensors = rehearse(before, asked).tensors if before else asked
    made = {name for part in choice.inside for name in part.outputs}
    return {name: tensors[name] for part in choice.inside for name in part.inputs if name not in made}
