"""
The proof of one registered version, on its own: its flavour's own predict, against ONNX Runtime, against Triton.

Nothing is published and nothing served changes. What a promotion would refuse is here told in full.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from sextant.columns import Column
from sextant.errors import (
    ConversionError,
    LaunchRefused,
    MissingExtra,
    ModelFailed,
    ModelNotReady,
    ParityError,
    RequestRefused,
)
from sextant_export.copying import Copied, copied
from sextant_export.member import PROOF_ROWS, doubted, logged_wide, original_of, proof_rows, triton_model
from sextant_export.narration import Narrator, Silence
from sextant_export.observed import read_rows, require_rows
from sextant_export.parity import Reopened, asked, let_go
from sextant_export.pipeline import Member, Pipeline, Serving
from sextant_export.proof_report import Comparison, ProofReport, compared
from sextant_export.registry import Artifact, Registry, parsed_uri
from sextant_export.rows import Rows, length, taken
from sextant_export.signature import Arrays, Feed, Signature
from sextant_export.store import Candidate, Store
from sextant_promote.control import Control

Serve: TypeAlias = Callable[[Path], AbstractContextManager[Control]]
"""Starts a Triton on the store in a folder, for as long as the ``with`` block runs."""
PIPELINE, MEMBER = "proof", "model"
NO_SERVER = "No Triton was asked."


@dataclass(frozen=True, kw_only=True)
class _Subject:
    """What is proven: a version's copy and its original, what both were asked, and what the original said."""

    artifact: Artifact
    member: Member
    copy: Copied
    original: Reopened
    feed: Rows
    expected: Arrays
    logged: Feed | None

    @property
    def model(self) -> str:
        """What Triton calls it."""
        own_python = not self.copy.copy.converted
        return triton_model(self.member, self.artifact.version, PIPELINE, own_python=own_python)

    @property
    def version(self) -> int:
        return self.artifact.version.version

    @property
    def columns(self) -> tuple[Column, ...]:
        """The model's own words for its inputs."""
        return self.copy.signature.inputs if self.copy.signature else ()

    def compared(self, by: str, ask: Callable[[], Arrays]) -> Comparison:
        """What the copy answers when asked by a runtime; where it fails on a row, that is no proof."""
        try:
            given = ask()
        except (ConversionError, ModelFailed, RequestRefused) as error:
            return Comparison(by=by, proof=None, refusal=f"no proof: {error}")
        found = compared(by, self.expected, given, self.feed, self.original, self.member.tolerance, self.columns)
        let_go(self.original)
        return found


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
) -> ProofReport:
    """
    Whether the copies of the version that *uri* means answer as it does, on *rows* seeded rows and every edge.

    The Triton behind *control* serves it already; else one that *serve* starts is given a store of its own, and
    without either none is asked. *data* is a file of observed rows to draw from. A difference is no error: the report
    holds it. Raises the ``ExportError`` for a version that cannot be fetched, copied or asked.
    """
    narrator = narrator or Silence()
    member_uri = parsed_uri(uri)
    if data is not None:
        require_rows(data)
    if control is not None:
        control.require_live()
    with tempfile.TemporaryDirectory(prefix="sextant-prove-") as folder:
        subject = _subject(_pipeline(str(member_uri), flavor, tolerance), registry, Path(folder), rows, data, narrator)
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


def _subject(
    pipeline: Pipeline, registry: Registry, folder: Path, rows: int, data: Path | None, narrator: Narrator
) -> _Subject:
    member = pipeline.members[MEMBER]
    with narrator.step(f"fetch {member.uri}") as step:
        artifact = registry.fetch(registry.resolve(str(member.uri)), folder / "artifact")
        step.result(f"{artifact.version.name} version {artifact.version.version}")
    with narrator.step("convert") as step:
        copy = copied(artifact, pipeline, member, folder / "copy")
        why = "; ".join(copy.refused.values()) or "it was asked for as it is"
        step.result(f"{copy.source.flavor} to {copy.copy.kind}" if copy.copy.converted else f"not converted: {why}")
    with narrator.step("ask the original") as step:
        original = original_of(copy)
        feed = proof_rows(registry, artifact, copy, original, _observed(copy, data), rows)
        logged = logged_wide(registry, artifact, copy)
        expected = asked(original, feed, copy.batch)
        let_go(original)
        step.result(", ".join(f"{count:,} {part}" for part, count in feed.parts))
    return _Subject(
        artifact=artifact,
        member=member,
        copy=copy,
        original=original,
        feed=feed,
        expected=expected,
        logged=logged,
    )


def _observed(copy: Copied, data: Path | None) -> Any:
    if data is None:
        return None
    return read_rows(data, copy.signature or Signature.of_tensors(copy.copy.inputs), copy.copy.inputs)


def _here(subject: _Subject, narrator: Narrator) -> Comparison:
    """The copy, asked in this process."""
    converted = subject.copy.copy.converted
    by = f"ONNX Runtime {installed_version('onnxruntime')}" if converted else "its own Python in this process"
    with narrator.step(f"ask {by}") as step:
        comparison = _doubted(subject, subject.compared(by, lambda: subject.copy.answer(subject.feed)))
        step.result(_said(comparison))
    return comparison


def _doubted(subject: _Subject, comparison: Comparison) -> Comparison:
    """What the same rows cannot show: rows in other company, and rows wider than the copy takes them."""
    if not comparison.proven or comparison.proof is None:
        return comparison
    asked_of = subject.copy, subject.original, subject.feed, subject.logged, subject.expected
    try:
        differing, of = doubted(*asked_of, subject.member.tolerance)
    except ParityError as error:
        return replace(comparison, refusal=str(error))
    finally:
        let_go(subject.original)
    return replace(comparison, proof=replace(comparison.proof, rounded=differing, rounded_of=of))


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
    by = f"Triton {control.version()}"
    with narrator.step(f"ask {by}") as step:
        _require_served(subject, control)
        comparison = subject.compared(by, lambda: _answers(subject, control))
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
    parts = [
        control.answer(subject.model, subject.version, taken(subject.feed, slice(i, i + batch)))
        for i in range(0, length(subject.feed), batch)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _candidate(subject: _Subject) -> Candidate:
    copy, version = subject.copy.copy, subject.version
    return Candidate(
        model=subject.model,
        version=version,
        configs=copy.configs(subject.model, Serving(), [version]),
        write=copy.write,
    )


def _said(comparison: Comparison) -> str:
    return str(comparison.proof) if comparison.proven else str(comparison.refusal)


def _report(uri: str, subject: _Subject, comparisons: list[Comparison], skipped: str | None) -> ProofReport:
    copy, found = subject.copy, subject.artifact.version
    onnx = copy.copy.facts().get("onnx_sha256")
    return ProofReport(
        uri=uri,
        model=found.name,
        version=found.version,
        flavor=copy.source.flavor,
        flavors=sorted(found.flavors),
        kind=copy.copy.kind,
        converted=copy.copy.converted,
        refused=copy.refused,
        digests={"Artifact": subject.artifact.digest} | ({"ONNX": onnx} if onnx else {}),
        parts=subject.feed.parts,
        comparisons=comparisons,
        skipped=skipped,
    )
