"""
The proof of one registered version, on its own: its flavour's own predict, against ONNX Runtime, against Triton.

Nothing is published and nothing served changes. What a promotion would refuse is here told in full.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from sextant.errors import ConversionError, LaunchRefused, MissingExtra, ModelFailed, ModelNotReady, RequestRefused
from sextant_export.config import Configs
from sextant_export.evidence import pack_proof, unpack_proof
from sextant_export.member import PROOF_ROWS, triton_model
from sextant_export.narration import Narrator, Silence
from sextant_export.observed import require_rows
from sextant_export.pickles import pickles, refuse_pickles
from sextant_export.pipeline import Member, Pipeline, Serving
from sextant_export.proof_report import Comparison, ProofReport
from sextant_export.registry import Artifact, Registry, parsed_uri
from sextant_export.rows import length, taken
from sextant_export.signature import Arrays
from sextant_export.store import Candidate, Store
from sextant_export.workshop import Limits, Workshop
from sextant_promote.control import Control
from sextant_promote.proving import MEMBER, by

Serve: TypeAlias = Callable[[Path], AbstractContextManager[Control]]
"""Starts a Triton on the store in a folder, for as long as the ``with`` block runs."""
PIPELINE = "proof"
_WORK = "sextant_promote.proving:Proving"
NO_SERVER = "No Triton was asked."


@dataclass(frozen=True, kw_only=True)
class _Subject:
    """A version, and the child process that has its copy and its original; *copy* is what the child says of it."""

    artifact: Artifact
    member: Member
    workshop: Workshop
    folder: Path
    copy: Mapping[str, Any]
    parts: tuple[tuple[str, int], ...] = ()

    @property
    def model(self) -> str:
        """What Triton calls it."""
        return triton_model(self.member, self.artifact.version, PIPELINE, own_python=not self.copy["converted"])

    @property
    def version(self) -> int:
        return self.artifact.version.version

    def call(self, name: str, *arguments: Any) -> Any:
        """Have the child do something."""
        return self.workshop.call(name, *arguments, about=str(self.artifact.version))


def prove(
    uri: str,
    registry: Registry,
    *,
    flavor: str | None = None,
    rows: int = PROOF_ROWS,
    data: Path | None = None,
    tolerance: float | None = None,
    control: Control | None = None,
    serve: Serve | None = None,
    narrator: Narrator | None = None,
    limits: Limits | None = None,
    pickle: bool = True,
) -> ProofReport:
    """
    Whether the copies of the version that *uri* means answer as it does, on *rows* seeded rows and every edge.

    The Triton behind *control* serves it already; else one that *serve* starts is given a store of its own, and
    without either none is asked. *data* is a file of observed rows to draw from. A difference is no error: the report
    holds it. The model's code runs in a child process within *limits*; where *pickle* is False, a model that holds one
    is refused. Raises the ``ExportError`` for a version that cannot be fetched, copied or asked.
    """
    narrator = narrator or Silence()
    member_uri = parsed_uri(uri)
    if data is not None:
        require_rows(data)
    if control is not None:
        control.require_live()
    pipeline = _pipeline(str(member_uri), flavor, tolerance)
    with tempfile.TemporaryDirectory(prefix="sextant-prove-") as folder, Workshop(limits, narrator) as workshop:
        artifact = _fetched(pipeline.members[MEMBER], registry, Path(folder), narrator, pickle=pickle)
        subject = _asked(_copied(pipeline, artifact, workshop, Path(folder), narrator), rows, data, narrator)
        comparisons, skipped = [_here(subject, narrator)], None
        try:
            with _triton(subject, control, serve, Path(folder) / "store", narrator) as triton:
                comparisons += [_through(subject, triton, narrator)] if triton else []
                skipped = None if triton else NO_SERVER
        except (MissingExtra, LaunchRefused) as error:
            skipped = f"{NO_SERVER.removesuffix('.')}: {error}"
        return _report(uri, subject, comparisons, skipped)


def _pipeline(uri: str, flavor: str | None, tolerance: float | None) -> Pipeline:
    decided = {"model_uri": uri, "flavor": flavor, "tolerance": tolerance}
    member = {key: value for key, value in decided.items() if value is not None}
    return Pipeline.from_mapping(
        {"name": PIPELINE, "answer": "tensors", "members": {MEMBER: member}, "steps": ["members"]}
    )


def _fetched(member: Member, registry: Registry, folder: Path, narrator: Narrator, *, pickle: bool) -> Artifact:
    with narrator.step(f"fetch {member.uri}") as step:
        artifact = registry.fetch(registry.resolve(str(member.uri)), folder / "artifact")
        step.result(f"{artifact.version.name} version {artifact.version.version}")
        if not pickle:
            refuse_pickles(artifact)
    return artifact


def _copied(pipeline: Pipeline, artifact: Artifact, workshop: Workshop, folder: Path, narrator: Narrator) -> _Subject:
    if files := pickles(artifact):
        with narrator.step(f"unpickle {', '.join(files)}") as step:
            step.result("runs what was saved there, in a child process within limits")
    with narrator.step("convert") as step:
        nameless = replace(artifact, version=replace(artifact.version, source=""))
        workshop.begin(_WORK, pipeline, nameless, folder, about=str(artifact.version), TMPDIR=str(folder))
        copy = workshop.call("facts", about=str(artifact.version))
        why = "; ".join(copy["refused"].values()) or "it was asked for as it is"
        step.result(f"{copy['flavor']} to {copy['kind']}" if copy["converted"] else f"not converted: {why}")
    member = pipeline.members[MEMBER]
    return _Subject(artifact=artifact, member=member, workshop=workshop, folder=folder, copy=copy)


def _asked(subject: _Subject, rows: int, data: Path | None, narrator: Narrator) -> _Subject:
    with narrator.step("ask the original") as step:
        told = subject.call("ask_original", rows, None if data is None else str(data))
        parts = tuple((str(part), int(count)) for part, count in told)
        step.result(", ".join(f"{count:,} {part}" for part, count in parts))
    return replace(subject, parts=parts)


def _here(subject: _Subject, narrator: Narrator) -> Comparison:
    """The copy, asked on this machine."""
    with narrator.step(f"ask {by(converted=subject.copy['converted'])}") as step:
        comparison = Comparison.of(subject.call("here"))
        step.result(_said(comparison))
    return comparison


@contextmanager
def _triton(
    subject: _Subject, control: Control | None, serve: Serve | None, folder: Path, narrator: Narrator
) -> Iterator[Control | None]:
    """A Triton that serves the copy, if there is to be one."""
    if control is not None or serve is None:
        yield control
        return
    with ExitStack() as stack:
        with narrator.step("start a Triton of its own") as step:
            store = Store(folder).prepare()
            store.publish(_candidate(subject))
            own = stack.enter_context(serve(folder))
            own.load(subject.model)
            step.result(f"{subject.model} version {subject.version} loaded")
        yield own


def _through(subject: _Subject, control: Control, narrator: Narrator) -> Comparison:
    """The copy, asked through Triton."""
    runtime = f"Triton {control.version()}"
    with narrator.step(f"ask {runtime}") as step:
        _require_served(subject, control)
        try:
            pack_proof(answers := subject.folder / "answers.npz", {MEMBER: ({}, _answers(subject, control))})
            comparison = Comparison.of(subject.call("elsewhere", runtime, str(answers)))
        except (ConversionError, ModelFailed, RequestRefused) as error:
            comparison = Comparison(by=runtime, proof=None, refusal=f"no proof: {error}")
        step.result(_said(comparison))
    return comparison


def _require_served(subject: _Subject, control: Control) -> None:
    if subject.version not in control.ready().get(subject.model, set()):
        raise ModelNotReady(
            f"{control.url} does not serve {subject.model} version {subject.version}: promote it, or have a Triton of "
            "its own asked, without --server and --store"
        )


def _answers(subject: _Subject, control: Control) -> Arrays:
    """What Triton answers, asked as many rows at a time as a batch may have."""
    batch = Serving().max_batch_size
    feed, _ = unpack_proof(Path(subject.call("feed")), [MEMBER])[MEMBER]
    parts = [
        control.answer(subject.model, subject.version, taken(feed, slice(i, i + batch)))
        for i in range(0, length(feed), batch)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _candidate(subject: _Subject) -> Candidate:
    twins = subject.call("configs", subject.model, subject.version)
    return Candidate(
        model=subject.model,
        version=subject.version,
        configs=Configs(*(text_format.Parse(text, ModelConfig()) for text in twins)),
        write=lambda directory: subject.call("write", str(directory.absolute())),
    )


def _said(comparison: Comparison) -> str:
    return str(comparison.proof) if comparison.proven else str(comparison.refusal)


def _report(uri: str, subject: _Subject, comparisons: list[Comparison], skipped: str | None) -> ProofReport:
    copy, found = subject.copy, subject.artifact.version
    onnx = copy["onnx"]
    return ProofReport(
        uri=uri,
        model=found.name,
        version=found.version,
        flavor=copy["flavor"],
        flavors=sorted(found.flavors),
        kind=copy["kind"],
        converted=copy["converted"],
        refused=copy["refused"],
        digests={"Artifact": subject.artifact.digest} | ({"ONNX": onnx} if onnx else {}),
        parts=subject.parts,
        comparisons=comparisons,
        skipped=skipped,
    )
