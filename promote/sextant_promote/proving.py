"""
What a proof needs of a model's code: the copy, the original asked, and what differs asked again.

It is done in a child process (:mod:`sextant_export.workshop`); rows and answers cross as files without pickles.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cached_property
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

from google.protobuf import text_format

from sextant.columns import Column
from sextant.errors import ConversionError, ModelFailed, ParityError, RequestRefused
from sextant_export.copying import Copied, copied
from sextant_export.evidence import pack_proof, unpack_proof
from sextant_export.member import doubted, logged_wide, original_of, proof_rows
from sextant_export.narration import Narrator
from sextant_export.observed import read_rows
from sextant_export.parity import Reopened, asked, let_go
from sextant_export.pipeline import Pipeline, Serving
from sextant_export.proof_report import Comparison, compared
from sextant_export.registry import Artifact
from sextant_export.rows import Rows
from sextant_export.signature import Arrays, Feed, Signature

MEMBER = "model"


class Proving:
    """One version in memory: its copy, its original, what both were asked, and what the original said."""

    def __init__(self, _narrator: Narrator, pipeline: Pipeline, artifact: Artifact, folder: Path) -> None:
        self._artifact, self._folder = artifact, folder
        self._member = pipeline.members[MEMBER]
        self._copy: Copied = copied(artifact, pipeline, self._member, folder / "copy")
        self._feed = Rows({}, ())
        self._expected: Arrays = {}
        self._logged: Feed | None = None

    def facts(self) -> dict[str, Any]:
        """What the copy is."""
        copy = self._copy.copy
        return {
            "flavor": self._copy.source.flavor,
            "kind": copy.kind,
            "converted": copy.converted,
            "refused": dict(self._copy.refused),
            "onnx": copy.facts().get("onnx_sha256"),
        }

    def ask_original(self, rows: int, data: str | None) -> list[tuple[str, int]]:
        """Ask the original the logged example, *rows* seeded rows and every edge: how many of each."""
        observed = None if data is None else self._observed(Path(data))
        self._feed = proof_rows(self._artifact, self._copy, self._original, observed, rows)
        self._logged = logged_wide(self._artifact, self._copy)
        self._expected = asked(self._original, self._feed, self._copy.batch)
        let_go(self._original)
        return list(self._feed.parts)

    def feed(self) -> str:
        """The file with the rows, for a Triton to be asked."""
        path = self._folder / "asked.npz"
        pack_proof(path, {MEMBER: (self._feed, {})})
        return str(path)

    def here(self) -> dict[str, Any]:
        """The copy, asked in this process."""
        comparison = self._compared(by(converted=self._copy.copy.converted), lambda: self._copy.answer(self._feed))
        return asdict(self._doubted(comparison))

    def elsewhere(self, by: str, answers: str) -> dict[str, Any]:
        """What came of the *answers* in a file, which another runtime gave."""
        return asdict(self._compared(by, lambda: unpack_proof(Path(answers), [MEMBER])[MEMBER][1]))

    def configs(self, model: str, version: int) -> list[str]:
        """How a Triton is to serve the copy."""
        configs = self._copy.copy.configs(model, Serving(), [version])
        return [text_format.MessageToString(twin) for twin in configs.twins]

    def write(self, directory: str) -> None:
        """Fill the version directory of the copy."""
        self._copy.copy.write(Path(directory))

    @cached_property
    def _original(self) -> Reopened:
        return original_of(self._copy)

    @property
    def _columns(self) -> tuple[Column, ...]:
        """The model's own words for its inputs."""
        return self._copy.signature.inputs if self._copy.signature else ()

    def _observed(self, data: Path) -> Feed:
        inputs = self._copy.copy.inputs
        return read_rows(data, self._copy.signature or Signature.of_tensors(inputs), inputs)

    def _compared(self, by: str, ask: Callable[[], Arrays]) -> Comparison:
        """What the copy answers when asked by a runtime; where it fails on a row, that is no proof."""
        try:
            given = ask()
        except (ConversionError, ModelFailed, RequestRefused) as error:
            return Comparison(by=by, proof=None, refusal=f"no proof: {error}")
        tolerance = self._member.tolerance
        found = compared(by, self._expected, given, self._feed, self._original, tolerance, self._columns)
        let_go(self._original)
        return found

    def _doubted(self, comparison: Comparison) -> Comparison:
        """What the same rows cannot show: rows in other company, and rows wider than the copy takes them."""
        if not comparison.proven or comparison.proof is None:
            return comparison
        asked_of = self._copy, self._original, self._feed, self._logged, self._expected
        try:
            differing, of = doubted(*asked_of, self._member.tolerance)
        except ParityError as error:
            return replace(comparison, refusal=str(error))
        finally:
            let_go(self._original)
        return replace(comparison, proof=replace(comparison.proof, rounded=differing, rounded_of=of))


def by(*, converted: bool) -> str:
    """What the copy is asked by where no Triton is."""
    return f"ONNX Runtime {installed_version('onnxruntime')}" if converted else "its own Python in a child process"
