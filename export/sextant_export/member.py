"""A member on its way into a store: copied, proven."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sextant.errors import ConversionError, ParityError, RegistryError
from sextant.tensors import Tensor
from sextant_export.converters import PYFUNC
from sextant_export.copies import Copy
from sextant_export.copying import Copied, copied
from sextant_export.doubts import refuse_mixing, rounded_rows
from sextant_export.original import Original, fitted
from sextant_export.parity import Reopened, prove
from sextant_export.pickles import pickles
from sextant_export.pipeline import Member, Pipeline
from sextant_export.proof import Proof
from sextant_export.registry import Artifact, RegisteredVersion, input_example
from sextant_export.rows import Rows, proof_feed
from sextant_export.signature import Arrays, Feed, Signature
from sextant_export.tree_thresholds import thresholds

PROOF_ROWS = 1024
PROOF_SEED = 20_260
# What is a graph itself may come without any row: numbers are then drawn from a standard normal. So may a Keras model,
# because MLflow fails to save an example beside one.
GRAPHS = ("onnx", "triton", "keras")
_THERE = (
    "{} was there before, perhaps from another registry or an earlier Sextant: use a store of its own, "
    "or register the model again"
)


@dataclass(frozen=True, kw_only=True)
class MemberCopy:
    """A member with the copy of it that is not proven yet; *stored* is where a store holds that copy already."""

    member: Member
    model_name: str
    artifact: Artifact
    copied: Copied
    stored: Path | None = None

    def __str__(self) -> str:
        """What it is made of, and why not of something better."""
        if set(self.artifact.flavors) == {PYFUNC}:
            return "its own Python, the one flavour it has"
        why = "".join(f" ({reason})" for reason in self.copied.refused.values())
        if not self.copied.copy.converted:
            return f"NOT converted{why}"
        kept = self.copied.copy.facts().get("why")  # from TensorRT, by these nodes
        return f"{self.copied.source.flavor} to {self.copied.copy.kind}" + (f" ({kept})" if kept else "")


@dataclass(frozen=True, kw_only=True)
class PreparedMember:
    """
    A registered version as a copy that was proven to answer as it does.

    *feed* and *expected* are what the proof compared, without the rows that do not count.
    """

    name: str
    model_name: str
    artifact: Artifact
    copied: Copied
    proof: Proof
    feed: Feed = field(repr=False)
    expected: Arrays = field(repr=False)

    @property
    def found(self) -> RegisteredVersion:
        """What the registry says of it."""
        return self.artifact.version

    @property
    def version(self) -> int:
        """Its Triton version, which is the registered model's."""
        return self.found.version

    @property
    def copy(self) -> Copy:
        """What the store will hold of it."""
        return self.copied.copy

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """What it takes, per row."""
        return self.copy.inputs

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """What it gives, per row."""
        return self.copy.outputs

    def answer(self, rows: NDArray[Any]) -> Arrays:
        """All outputs for *rows* (N, ...) of its one input, by name, asked here as Triton asks."""
        return self.copied.answer({self.inputs[0].name: rows})

    def facts(self) -> dict[str, Any]:
        """What the receipt keeps."""
        signature = self.copied.signature
        return {
            "uri": str(self.found),
            "model": self.model_name,
            "version": self.version,
            "run_id": self.found.run_id,
            "flavors": sorted(self.found.flavors),
            "flavor": self.copied.source.flavor,
            "kind": self.copy.kind,
            "converted": self.copy.converted,
            "refused": dict(self.copied.refused),
            "signature": signature.to_dict() if signature else None,
            "artifact_sha256": self.artifact.digest,
            "pickled": list(pickles(self.artifact)),
            "proof": self.proof.to_dict(),
            **self.copy.facts(),
        }


def copy_member(
    pipeline: Pipeline,
    member: Member,
    artifact: Artifact,
    directory: Path,
    stored: Callable[[str], Path | None] = lambda _: None,
) -> MemberCopy:
    """
    The copy of *artifact* that *member* asks for, made in the folder *directory*.

    What *stored* finds of the version in a store already is taken as it is, not converted again. ``ConversionError``
    where there is none.
    """
    found = artifact.version
    called = partial(triton_model, member, found, pipeline.name)
    folder = directory / f"{found.name}-{found.version}.copy"
    copy = copied(artifact, pipeline, member, folder, lambda **kind: stored(called(**kind)))
    model_name = called(own_python=not copy.copy.converted)
    return MemberCopy(member=member, model_name=model_name, artifact=artifact, copied=copy, stored=stored(model_name))


def prove_member(made: MemberCopy, observed: NDArray[Any] | None = None) -> PreparedMember:
    """
    *made*, proven.

    *observed* are rows (N, ...) as the member will see them; the proof draws from their ranges and from the logged
    input example. Raises ``ParityError``, or ``RegistryError`` where it has nothing to draw from.
    """
    copy, artifact = made.copied, made.artifact
    original = original_of(copy)
    feed = proof_rows(artifact, copy, original, _observed(artifact, copy.copy.inputs, observed))
    logged = logged_wide(artifact, copy)
    proof, expected = _prove(made, original, feed, logged)
    kept = np.setdiff1d(np.arange(proof.rows), proof.edges)
    counted = {name: array[kept] for name, array in feed.items()}, {n: array[kept] for n, array in expected.items()}
    return PreparedMember(
        name=made.member.name,
        model_name=made.model_name,
        artifact=artifact,
        copied=replace(copy, copy=copy.copy.proven(*counted)),
        proof=proof,
        feed=counted[0],
        expected=counted[1],
    )


def triton_model(member: Member, found: RegisteredVersion, pipeline: str, *, own_python: bool) -> str:
    """
    What Triton calls the member: as the registry does, but where that is the pipeline's own name.

    Triton keeps one backend for all versions of a model, so a model's *own_python* stands apart from its graphs; and
    one environment, so a version that brings its own is a model by itself.
    """
    if own_python:
        return f"{found.name}.python.v{found.version}" if member.environment == "archive" else f"{found.name}.python"
    return f"{found.name}.model" if found.name == pipeline else found.name


def _prove(made: MemberCopy, original: Original, feed: Feed, logged: Feed | None) -> tuple[Proof, Arrays]:
    copy = made.copied
    try:
        return _proven(copy, original, feed, logged, made.member.tolerance)
    except RegistryError as error:
        if not copy.refused:
            raise
        said = "; ".join(copy.refused.values())
        raise ConversionError(f"{said}; and it cannot be served by its own Python: {error}") from error
    except ParityError as error:
        there = f"; {_THERE.format(made.stored)}" if made.stored else ""
        advice = "" if copy.source.flavor == PYFUNC else f"; `flavor: {PYFUNC}` serves the original itself"
        raise ParityError(
            f"{made.artifact.version}: {error}{there or advice}", worst=error.worst, tolerance=error.tolerance
        ) from error


def _proven(
    copy: Copied, original: Original, feed: Feed, logged: Feed | None, tolerance: float | None
) -> tuple[Proof, Arrays]:
    proof, expected = prove(copy.answer, original, feed, tolerance, batch=copy.batch)
    differing, of = doubted(copy, original, feed, logged, expected, tolerance)
    return replace(proof, rounded=differing, rounded_of=of), expected


def doubted(
    copy: Copied, original: Original, feed: Feed, logged: Feed | None, expected: Arrays, tolerance: float | None
) -> tuple[int, int]:
    """
    How many of the rows *logged* are another answer to the original once they are float32, and of how many.

    ``ParityError`` where that, or what the copy answers in other company, is no matter of single rows.
    """
    if copy.copy.converted:
        refuse_mixing(copy.answer, feed, expected, tolerance)
    if not logged:
        return 0, 0
    narrow = {t.name: logged[t.name].astype(t.numpy_type) for t in copy.copy.inputs if t.name in logged}
    return rounded_rows(original, logged, narrow, expected, tolerance)


def original_of(copy: Copied) -> Reopened:
    """The original, in memory only while it is asked, its answers under the names of the copy's outputs."""

    def opened() -> Original:
        original, outputs = copy.source.original(), copy.copy.outputs
        return lambda feed: fitted(original(feed), outputs)

    return Reopened(opened)


def proof_rows(
    artifact: Artifact,
    copy: Copied,
    original: Original,
    observed: Feed | None,
    count: int = PROOF_ROWS,
) -> Rows:
    """
    What *copy* and *original* are to be asked: the logged example, *count* rows like those *observed*, and edges.

    ``RegistryError`` where there is nothing to draw from.
    """
    inputs = copy.copy.inputs
    example = _example(artifact, copy)
    known = [feed for feed in (example, observed) if feed]
    columns = artifact.signature.inputs if artifact.signature else ()
    try:
        return proof_feed(
            inputs,
            known,
            count,
            PROOF_SEED,
            columns,
            original=original,
            thresholds=thresholds(copy.graph.model) if copy.graph else None,
            imagine=copy.source.flavor in GRAPHS,
            may_refuse=not copy.copy.converted,
            first="logged example" if example else "observed",
        )
    except ValueError as error:
        raise RegistryError(
            f"{artifact.version}: there is nothing to draw rows for the proof from ({error}): log it with "
            "input_example=..., or bring rows: known cases under `calibration:` in the spec, --data of `sextant prove`"
        ) from error


def logged_wide(artifact: Artifact, copy: Copied) -> Feed | None:
    """The logged example of what is converted, its numbers as they were logged where the copy takes FP32."""
    if not copy.copy.converted or copy.source.known_rows() is not None:
        return None
    wide = tuple(t._replace(dtype="FP64") if t.dtype == "FP32" else t for t in copy.copy.inputs)
    return _logged(artifact, copy, wide)


def _example(artifact: Artifact, copy: Copied) -> Feed | None:
    """Rows of the copy's inputs: the converter's own word, else the logged example."""
    if (known := copy.source.known_rows()) is not None:
        return known
    return _logged(artifact, copy, copy.copy.inputs)


def _logged(artifact: Artifact, copy: Copied, inputs: tuple[Tensor, ...]) -> Feed | None:
    example = input_example(artifact)
    if example is None:
        return None
    signature = artifact.signature or Signature.of_tensors(copy.copy.inputs)
    try:
        return signature.feed(example, inputs)
    except (ValueError, KeyError, TypeError) as error:
        said = ", ".join(f"{tensor.name} {tensor.dtype} {list(tensor.dims)}" for tensor in copy.copy.inputs)
        raise RegistryError(f"{artifact.version}: its logged input example does not give {said}: {error}") from error


def _observed(artifact: Artifact, inputs: tuple[Tensor, ...], observed: NDArray[Any] | None) -> Feed | None:
    """Known cases as rows of the one input; of another pipeline, they are an error in words."""
    if observed is None:
        return None
    dims, came = inputs[0].dims, observed.shape[1:]
    fits = len(dims) == len(came) and all(a in (-1, b) for a, b in zip(dims, came, strict=True))
    if len(inputs) != 1 or not fits:
        takes = dims[0] if len(dims) == 1 else list(dims)
        had = f"{came[0]} features" if len(came) == 1 else f"rows of {list(came)}"
        more = len(inputs) == len(dims) == len(came) == 1 and came[0] > dims[0]
        advice = (
            "name those that are none under `calibration`: `truth`, `group`, `per`" if more else "which are missing?"
        )
        raise RegistryError(
            f"{artifact.version} takes rows of {takes} numbers, and the known cases have {had}: {advice}"
        )
    return {inputs[0].name: observed.astype(inputs[0].numpy_type)}
