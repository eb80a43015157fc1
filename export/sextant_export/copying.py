"""Which copy of a registered version is made: what the spec asks for, the most exact one else, its own Python last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from sextant.errors import ConversionError
from sextant_export.converters import PYFUNC, Source, convert, source
from sextant_export.copies import Copy
from sextant_export.copies.onnx import OnnxCopy
from sextant_export.graph_file import MODEL, GraphFile, read, settle
from sextant_export.pipeline import Member, Pipeline, Serving
from sextant_export.registry import Artifact
from sextant_export.signature import Signature


class Stored(Protocol):
    """Where a store holds the version already."""

    def __call__(self, *, own_python: bool) -> Path | None:
        """The folder of the version's graph, or of its *own_python*; None where there is none."""


def nowhere(*, own_python: bool) -> None:
    """No store holds anything."""


@dataclass(frozen=True, kw_only=True)
class Copied:
    """
    A *copy* and its *source*; *graph* is what was converted, None for a model's own Python.

    *signature* is MLflow's, or what was learnt of it; *refused* says of each flavour that was tried before why it
    could not be.
    """

    copy: Copy
    source: Source
    signature: Signature | None
    graph: GraphFile | None = None
    refused: Mapping[str, str] = field(default_factory=dict)


def copied(artifact: Artifact, pipeline: Pipeline, member: Member, directory: Path, stored: Stored = nowhere) -> Copied:
    """
    The copy of *artifact* that *member* asks for, its files in *directory*; what is *stored* already is taken as it is.

    ``ConversionError`` where it cannot be converted, and its own Python may not or cannot serve it.
    """
    if member.flavor == PYFUNC:
        return _own_python(artifact, pipeline, member, stored, {})
    try:
        converted = _converted(artifact, member, directory, stored(own_python=False))
    except ConversionError as error:
        asked_for = member.flavor is not None or not member.fallback
        if asked_for or PYFUNC not in artifact.flavors or _holds_graph(stored(own_python=False)):
            raise
        return _in_its_place(artifact, pipeline, member, stored, error)
    return _for_target(converted, member, pipeline.serving, directory)


def _in_its_place(
    artifact: Artifact, pipeline: Pipeline, member: Member, stored: Stored, error: ConversionError
) -> Copied:
    try:
        return _own_python(artifact, pipeline, member, stored, {"onnx": str(error)})
    except ConversionError as second:
        raise ConversionError(f"{error}; and {second}") from second


def _converted(artifact: Artifact, member: Member, directory: Path, stored: Path | None) -> Copied:
    if stored is not None and _holds_graph(stored):
        graph, refused = _read(stored), {}
        made_of = source(artifact, graph.model)
    else:
        conversion = convert(artifact, member.flavor)
        graph, refused = settle(conversion.model, artifact.path, directory), dict(conversion.refused)
        made_of = conversion.source
    copy = OnnxCopy(graph=graph, accelerator=member.accelerator)
    return Copied(copy=copy, source=made_of, signature=artifact.signature, graph=graph, refused=refused)


def _holds_graph(stored: Path | None) -> bool:
    return stored is not None and (stored / MODEL).exists()


def _read(stored: Path) -> GraphFile:
    try:
        return read(stored / MODEL)
    except ConversionError as error:
        raise ConversionError(
            f"{error}: a release that used it is damaged; delete its folder {stored} and promote again"
        ) from error


def _for_target(converted: Copied, member: Member, serving: Serving, directory: Path) -> Copied:
    """Plans where they are asked for: what cannot be built is refused, not served by the model's own Python."""
    if member.target != "tensorrt" or converted.graph is None:
        return converted
    from sextant_export.copies.tensorrt import planned

    plans = directory.with_suffix(".plans")
    copy = planned(converted.graph, member.tensorrt, serving, plans, insist=not member.fallback)
    return replace(converted, copy=copy)


def _own_python(
    artifact: Artifact, pipeline: Pipeline, member: Member, stored: Stored, refused: Mapping[str, str]
) -> Copied:
    from sextant_export.copies.pyfunc import own_python

    shared = pipeline.answer == "position"
    copy = own_python(artifact, archive=member.environment == "archive", matrix=shared, stored=stored(own_python=True))
    made_of = Source(flavor=PYFUNC, original=lambda: copy.original)
    return Copied(copy=copy, source=made_of, signature=copy.signature, refused=refused)
