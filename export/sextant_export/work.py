"""
What a release needs of its models' code: copied, proven, asked for calibration.  It is done in a child process.

One object holds all that was loaded; what it answers is plain (:mod:`sextant_export.workshop.wire`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from numpy.typing import NDArray

from sextant_export.cache_problems import refuse_unsteady
from sextant_export.calibration import Calibrated, calibrate, preprocess, settled
from sextant_export.calibration_summary import calibration_summary
from sextant_export.evidence import pack_proof
from sextant_export.fusing.fusion import Fusion, fuse_steps
from sextant_export.known_cases import KnownCases, read_known_cases
from sextant_export.member import MemberCopy, PreparedMember, copy_member, prove_member
from sextant_export.narration import Narrator
from sextant_export.pipeline import Pipeline
from sextant_export.registry import Artifact
from sextant_export.staging import Staged, stage
from sextant_export.store import Candidate, Store
from sextant_export.wiring import refuse_unreadable


@dataclass(frozen=True, kw_only=True)
class Brief:
    """
    The release *number* of *pipeline*, whose members' files are *artifacts*; *folder* is for what is made of them.

    *store* is read, never written, for the versions that it holds already.
    """

    pipeline: Pipeline
    number: int
    artifacts: Mapping[str, Artifact]
    store: Store
    folder: Path


class Work:
    """The models of one release in memory, from their files to what is staged."""

    def __init__(self, narrator: Narrator, brief: Brief) -> None:
        self._narrator, self._brief = narrator, brief
        self._copies: dict[str, MemberCopy] = {}
        self._proven: dict[str, PreparedMember] = {}
        self._candidates: dict[tuple[str, int], Candidate] = {}
        _ = self._cases  # what is wrong with them is said before minutes of work

    def convert(self, name: str) -> str:
        """Copy the member that the spec calls *name*; says what was made of what."""
        brief = self._brief
        artifact, pipeline = brief.artifacts[name], brief.pipeline
        version = artifact.version.version

        def stored(model: str) -> Path | None:
            folder = brief.store.models / model / str(version)
            return folder if folder.is_dir() else None

        made = copy_member(pipeline, pipeline.members[name], artifact, brief.folder, stored)
        if pipeline.serving.response_cache:
            graph = made.copied.graph
            deterministic = pipeline.members[name].deterministic
            refuse_unsteady(name, graph.model if graph else None, deterministic=deterministic)
        self._copies[name] = made
        return str(made)

    def prove(self, name: str) -> str:
        """Prove that the copy answers as the original does; says what the proof came to."""
        member = prove_member(self._copies[name], self._observed)
        self._proven[name] = member
        return str(member.proof)

    def assemble(self) -> dict[str, Any]:
        """Calibrate, fuse what the spec asks for, and wire it all: the facts of the release, and what it stages."""
        members = [self._proven[name] for name in self._brief.artifacts]
        refuse_unreadable(self._brief.pipeline, members)
        calibrated = self._calibrated(members)
        fusion = self._fused(members, calibrated) if self._brief.pipeline.serving.fuse_graph else None
        staged = stage(self._brief.pipeline, members, calibrated.parameters, self._brief.number, fusion)
        self._candidates = {(each.model, each.version): each for each in staged.candidates}
        return {
            "members": {member.name: member.facts() for member in members},
            "blocks": calibrated.parameters,
            "calibration": calibrated.facts,
            "fused": fusion.facts() if fusion else None,
            "evidence": str(self._packed(members, fusion)),
            **_told(staged),
        }

    def write(self, model: str, version: int, directory: str) -> None:
        """Fill the empty *directory* with the files of this *version* of *model*."""
        self._candidates[model, version].write(Path(directory))

    @cached_property
    def _cases(self) -> KnownCases | None:
        calibration = self._brief.pipeline.calibration
        return read_known_cases(calibration) if calibration else None

    @cached_property
    def _observed(self) -> NDArray[Any] | None:
        """Rows as the members will see them, for the ranges that the proof draws from."""
        if (cases := self._cases) is None:
            return None
        pipeline = self._brief.pipeline
        rows: NDArray[Any] = preprocess(pipeline, settled(pipeline, cases.features.shape[1:]), cases.features)
        return rows

    def _calibrated(self, members: list[PreparedMember]) -> Calibrated:
        pipeline = self._brief.pipeline
        with self._narrator.step("calibrate") as step:
            calibrated = calibrate(pipeline, members, self._brief.number, self._cases)
            step.result(calibration_summary(pipeline.answer, calibrated.facts))
        return calibrated

    def _fused(self, members: list[PreparedMember], calibrated: Calibrated) -> Fusion:
        brief = self._brief
        with self._narrator.step("fuse steps into one graph, prove it") as step:
            fusion = fuse_steps(
                brief.pipeline,
                brief.store,
                members,
                calibrated.parameters,
                self._cases,
                brief.number,
                brief.folder / "fused",
            )
            step.result(str(fusion))
        return fusion

    def _packed(self, members: list[PreparedMember], fusion: Fusion | None) -> Path:
        evidence = {member.name: (member.feed, member.expected) for member in members}
        path = self._brief.folder / "proof.npz"
        pack_proof(path, {**evidence, **(fusion.evidence if fusion else {})})
        return path


def _told(staged: Staged) -> dict[str, Any]:
    """What is staged, in Triton's own words."""
    return {
        "candidates": [
            [each.model, each.version, [text_format.MessageToString(twin) for twin in each.configs.twins]]
            for each in staged.candidates
        ],
        "ensemble": text_format.MessageToString(staged.ensemble),
    }
