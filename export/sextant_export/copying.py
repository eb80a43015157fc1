"""Which copy of a registered version is made: what the spec asks for, the most exact one else, its own Python last."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from sextant.errors import ConversionError, RegistryError
from sextant_export.converters import PYFUNC, Conversion, Source, convert, source
from sextant_export.copies import Copy
from sextant_export.copies.onnx import OnnxCopy
from sextant_export.graph_file import MODEL, GraphFile, read, settle
from sextant_export.parity import asked
from sextant_export.pipeline import Member, Pipeline, Serving
from sextant_export.registry import Artifact
from sextant_export.rows import BATCH
from sextant_export.signature import Arrays, Feed, Signature


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
    could not be. *batch* is how many rows it is asked at a time: a model's own Python as many as Triton asks it,
    because its answer to a row may depend on the rows beside it.
    """

    copy: Copy
    source: Source
    signature: Signature | None
    graph: GraphFile | None = None
    refused: Mapping[str, str] = field(default_factory=dict)
    batch: int = BATCH

    def answer(self, feed: Feed) -> Arrays:
        """What the copy answers to *feed*, asked in this process."""
        return self.copy.answer(feed) if self.copy.converted else asked(self.copy.answer, feed, self.batch)


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
    except (ConversionError, RegistryError) as second:
        if str(second) in str(error):
            raise
        raise ConversionError(f"{error}; and {second}") from second


def _converted(artifact: Artifact, member: Member, directory: Path, stored: Path | None) -> Copied:
    if stored is not None and _holds_graph(stored):
        graph, refused = _read(stored), dict[str, str]()
        made_of = source(artifact, graph.model)
        _refuse_other_flavor(made_of, member, stored)
    else:
        conversion, graph = _settled(artifact, member.flavor, directory)
        made_of, refused = conversion.source, dict(conversion.refused)
    copy = OnnxCopy(graph=graph, accelerator=member.accelerator)
    return Copied(copy=copy, source=made_of, signature=artifact.signature, graph=graph, refused=refused)


def _settled(artifact: Artifact, flavor: str | None, directory: Path) -> tuple[Conversion, GraphFile]:
    """The most exact conversion whose graph can be corrected, and that graph in *directory*."""
    refused: dict[str, str] = {}
    while True:
        conversion = convert(artifact, flavor, refused)
        try:
            return conversion, settle(conversion.model, artifact.path, directory)
        except ConversionError as error:
            refused |= {**conversion.refused, conversion.source.flavor: str(error)}
            shutil.rmtree(directory, ignore_errors=True)


def _refuse_other_flavor(made_of: Source, member: Member, stored: Path) -> None:
    """A version is written once: what it was made of cannot be chosen again."""
    if member.flavor not in {None, made_of.flavor}:
        raise ConversionError(
            f"{stored} was made of the flavour {made_of.flavor} before, and `flavor: {member.flavor}` asks for another "
            "copy: a version is written once, so drop `flavor:`, or register the model again for a new version"
        )


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

    shared = pipeline.answer != "tensors"
    copy = own_python(
        artifact,
        archive=member.environment == "archive",
        matrix=shared,
        abstain=pipeline.answer == "label",
        stored=stored(own_python=True),
    )
    made_of = Source(flavor=PYFUNC, original=lambda: copy.original)
    batch = pipeline.serving.max_batch_size
    return Copied(copy=copy, source=made_of, signature=copy.signature, refused=refused, batch=batch)
