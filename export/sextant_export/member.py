"""A member on its way into a store: fetched, converted, proven."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from sextant.errors import ConversionError, ParityError, RegistryError
from sextant.tensors import Tensor
from sextant_export.converters import convert
from sextant_export.onnx_graph import answers, graph_inputs, graph_outputs, open_session
from sextant_export.parity import Arrays, Proof, prove, seeded_rows
from sextant_export.registry import Artifact, RegisteredVersion, Registry

PROOF_ROWS = 1024
PROOF_SEED = 20_260
BATCH = 256


@dataclass(frozen=True, kw_only=True)
class PreparedMember:
    """
    A registered version as an ONNX graph that was proven to answer as it does.

    *rows* and *expected* are what the proof compared, without the rows on an edge of the original.
    """

    name: str
    artifact: Artifact
    model: onnx.ModelProto = field(repr=False)
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    proof: Proof
    rows: NDArray[Any] = field(repr=False)
    expected: Arrays = field(repr=False)
    session: onnxruntime.InferenceSession = field(repr=False)

    @property
    def found(self) -> RegisteredVersion:
        """What the registry says of it."""
        return self.artifact.version

    @property
    def model_name(self) -> str:
        """Its Triton model: the registered model's name."""
        return self.found.name

    @property
    def version(self) -> int:
        """Its Triton version, which is the registered model's."""
        return self.found.version

    def write(self, directory: Path) -> None:
        """Write ``model.onnx`` into the version directory."""
        (directory / "model.onnx").write_bytes(self._bytes())

    def answer(self, rows: NDArray[Any]) -> Arrays:
        """All outputs for scaled *rows* (N, width), by name, in ONNX Runtime."""
        parts = [answers(self.session, rows[i : i + BATCH]) for i in range(0, len(rows), BATCH)]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def facts(self) -> dict[str, Any]:
        """What the receipt keeps."""
        return {
            "uri": str(self.found),
            "model": self.model_name,
            "version": self.version,
            "run_id": self.found.run_id,
            "flavors": sorted(self.found.flavors),
            "artifact_sha256": self.artifact.digest,
            "onnx_sha256": hashlib.sha256(self._bytes()).hexdigest(),
            "input": self.inputs[0].name,
            "proof": self.proof.to_dict(),
        }

    def _bytes(self) -> bytes:
        """Serialised deterministically: the same version twice is the same file."""
        return bytes(self.model.SerializeToString(deterministic=True))


def prepare(
    name: str,
    found: RegisteredVersion,
    registry: Registry,
    directory: Path,
    observed: NDArray[Any] | None,
    stored: Path | None = None,
) -> PreparedMember:
    """
    The member *name*, from the registered version *found*.

    *observed* are rows (N, width) as the member will see them; the proof draws from their ranges and from the logged
    input example. What a store already holds of the version, at *stored*, is proven as it is, not converted again.
    Raises ``ConversionError``, ``ParityError``, or ``RegistryError`` where it has nothing to draw from.
    """
    artifact = registry.fetch(found, directory / f"{found.name}-{found.version}")
    model = convert(artifact) if stored is None else _read(stored)
    rows = _proof_rows(registry, artifact, observed)
    proof, expected = _prove(model, artifact, registry, rows, stored)
    kept = np.setdiff1d(np.arange(len(rows)), proof.edges)
    return PreparedMember(
        name=name,
        artifact=artifact,
        model=model,
        inputs=graph_inputs(model),
        outputs=graph_outputs(model),
        proof=proof,
        rows=rows[kept],
        expected={output: array[kept] for output, array in expected.items()},
        session=open_session(model),
    )


def _prove(
    model: onnx.ModelProto, artifact: Artifact, registry: Registry, rows: NDArray[Any], stored: Path | None
) -> tuple[Proof, Arrays]:
    try:
        return prove(model, lambda asked: registry.predict(artifact, asked), rows)
    except ParityError as error:
        where = f"; {stored} was there before, perhaps from another registry: use a store of its own" if stored else ""
        raise ParityError(
            f"{artifact.version}: {error}{where}", worst=error.worst, tolerance=error.tolerance
        ) from error


def _read(stored: Path) -> onnx.ModelProto:
    try:
        return onnx.load(stored)
    except Exception as error:
        raise ConversionError(
            f"{stored} is no whole ONNX file ({error}): a release that used it is damaged; delete its folder "
            f"{stored.parent} and promote again"
        ) from error


def _proof_rows(registry: Registry, artifact: Artifact, observed: NDArray[Any] | None) -> NDArray[Any]:
    example = registry.input_example(artifact)
    known = [rows for rows in (example, observed) if rows is not None]
    _refuse_other_width(artifact, known)
    if not known:
        raise RegistryError(
            f"{artifact.version}: there is nothing to draw rows for the proof from: log it with input_example=..., "
            "or name known cases under `calibration:` in the spec"
        )
    dtype = np.dtype(artifact.signature.dtype)
    drawn = seeded_rows(known[-1].astype(dtype), PROOF_ROWS, PROOF_SEED)
    return drawn if example is None else np.concatenate([example.astype(dtype), drawn])


def _refuse_other_width(artifact: Artifact, known: list[NDArray[Any]]) -> None:
    """Known cases of another pipeline are an error in words, not a shape in a traceback."""
    width = artifact.signature.dims[0]
    for rows in known:
        if rows.shape[1] != width:
            raise RegistryError(
                f"{artifact.version} takes rows of {width} numbers, and the known cases have {rows.shape[1]} features: "
                "name the columns that are no features under `truth:` and `group:`"
            )
