"""A registered version served by its own Python: what MLflow saved, behind the block that asks it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np

from sextant.blocks.pyfunc import THREADS, Pyfunc
from sextant.environment import Wanted, difference
from sextant.errors import ConversionError, ModelFailed, SextantError
from sextant.predictions import learned
from sextant.tensors import Tensor
from sextant_export.config import Configs, block_config, set_serving
from sextant_export.environment import ARCHIVE, build_archive
from sextant_export.mlflow_calls import quiet_mlflow
from sextant_export.original import require_signature
from sextant_export.pipeline import Serving
from sextant_export.registry import Artifact
from sextant_export.shells import write_block
from sextant_export.signature import Arrays, Feed, Signature
from sextant_export.store import digest
from sextant_export.table import describe_table

SHELL = "pyfunc"
_ENVIRONMENT = "EXECUTION_ENV_PATH"


@dataclass(frozen=True, kw_only=True)
class PyfuncCopy:
    """
    A version's *artifact* behind a *block*; *signature* is MLflow's, with the outputs learnt where it says none.

    *archive* is the environment that O brings up for it, *row_wise* whether a row's answer is its own whatever rows
    stand beside it; where it is not, Triton joins no requests. *stored* is where a store holds it already, perhaps
    behind an earlier shell: a version is written once.
    """

    artifact: Artifact
    signature: Signature
    block: Pyfunc = field(repr=False)
    parameters: dict[str, Any] = field(repr=False)
    environment: str = ""
    archive: Path | None = None
    row_wise: bool = True
    stored: Path | None = None

    kind = "pyfunc"
    converted = False

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """What it takes, per row."""
        return self.block.inputs

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """What it gives, per row."""
        return self.block.outputs

    def answer(self, feed: Feed) -> Arrays:
        """What the block that will serve it answers to *feed*, asked in this process."""
        return self.block(**feed)

    def original(self, feed: Feed) -> Arrays:
        """The same: it is its own original, and what Triton answers is compared with this."""
        return self.answer(feed)

    def proven(self, _feed: Feed, _expected: Arrays) -> PyfuncCopy:
        """This: the block is all it holds."""
        return self

    def write(self, directory: Path) -> None:
        """Put the shell, its parameters, the model's files and its environment into *directory*."""
        left = shutil.ignore_patterns("__pycache__")
        if self.stored is not None:
            shutil.copytree(self.stored, directory, copy_function=_placed, ignore=left, dirs_exist_ok=True)
            return
        write_block(SHELL, self.parameters, directory)
        shutil.copytree(self.artifact.path, directory / "artifact", copy_function=_placed, ignore=left)
        if self.archive is not None:
            _placed(self.archive, directory / ARCHIVE)

    def configs(self, name: str, serving: Serving, versions: Iterable[int]) -> Configs:
        """The Python backend's configuration; where there is an archive, E is told to do without."""
        served = sorted(versions)
        main = self._config(name, serving, served)
        if self.archive is None:
            return Configs(main)
        place = f"$$TRITON_MODEL_DIRECTORY/{served[-1]}/{ARCHIVE}"
        main.parameters[_ENVIRONMENT].string_value = place
        return Configs(main, self._config(name, serving, served))

    def facts(self) -> dict[str, Any]:
        """What the receipt keeps of it."""
        asked = {"requirements": self.parameters["requirements"], "python": self.parameters["python"]}
        return {"environment": {**asked, "difference": self.environment}, "row_wise": self.row_wise}

    def _config(self, name: str, serving: Serving, versions: Iterable[int]) -> Any:
        config = block_config(name, cast("Any", self), serving, versions)
        config.parameters[THREADS].string_value = str(serving.intra_op_thread_count)
        set_serving(config, serving)
        if not self.row_wise:
            config.ClearField("dynamic_batching")
        describe_table(config, self.signature, missing_text=True)
        return config


def own_python(
    artifact: Artifact,
    *,
    archive: bool = False,
    matrix: bool = False,
    abstain: bool = False,
    stored: Path | None = None,
) -> PyfuncCopy:
    """
    The copy of *artifact* that is itself.

    *archive* builds the environment that NVIDIA's container is to bring up, or takes the one that is *stored* already.
    *matrix* serves a table of numbers as the one tensor that members of a pipeline share, and *abstain* lets a row
    that breaks the model go without an answer, as a vote may.  ``ConversionError`` where
    it cannot be loaded here, or neither its signature nor its example says what it answers.
    """
    signature, wanted, remarks = require_signature(artifact), Wanted.of(artifact.path), list[str]()
    parameters = _parameters(signature, wanted, matrix=matrix and signature.matrix is not None)
    parameters |= {"abstain": True} if abstain else {}
    try:
        block = Pyfunc(artifact.path, remarks.append, parameters)
        example = _example(artifact, signature, block)
        if not signature.outputs:
            signature = _learnt(artifact, signature, block, example)
            parameters |= {"outputs": signature.to_dict()["outputs"]}
            block = block.promising(signature.outputs)
        row_wise = example is None or _is_row_wise(block, example)
    except SextantError as error:
        raise ConversionError(f"{artifact.version} cannot be served by its own Python: {error}") from error
    return PyfuncCopy(
        artifact=artifact,
        signature=signature,
        block=block,
        parameters=parameters,
        environment=str(difference(wanted)),
        archive=_archive(artifact, wanted, stored) if archive else None,
        row_wise=row_wise,
        stored=stored if stored is not None and _is_the_same(stored, artifact, parameters) else None,
    )


def _is_the_same(stored: Path, artifact: Artifact, parameters: dict[str, Any]) -> bool:
    """Whether the folder *stored* holds this very model, asked in the same way."""
    try:
        there = json.loads((stored / "parameters.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    asked_alike = all(
        there.get(key) == parameters.get(key) for key in ("form", "inputs", "outputs", "matrix", "abstain")
    )
    return asked_alike and digest(stored / "artifact") == artifact.digest


def _parameters(signature: Signature, wanted: Wanted, *, matrix: bool) -> dict[str, Any]:
    asked = {"requirements": list(wanted.requirements), "python": wanted.python}
    return signature.to_dict() | asked | ({"matrix": True} if matrix else {})


def _example(artifact: Artifact, signature: Signature, block: Pyfunc) -> Feed | None:
    """The logged example as the block's tensors, or None where there is none, or none that MLflow can read again."""
    try:
        with quiet_mlflow() as mlflow:
            example = mlflow.models.Model.load(str(artifact.path)).load_input_example(str(artifact.path))
        return None if example is None else signature.feed(example, block.inputs) or None
    except Exception:  # noqa: BLE001 - whatever it was: the proof, which needs the rows, says so
        return None


def _learnt(artifact: Artifact, signature: Signature, block: Pyfunc, example: Feed | None) -> Signature:
    """The signature with the outputs that the answer to the example shows."""
    if example is None:
        raise ConversionError(
            f"nothing says what {artifact.version} answers: log it with "
            "signature=mlflow.models.infer_signature(inputs, outputs), or with input_example=..."
        )
    outputs = learned(block.predict(example), signature.inputs)
    return Signature(form=signature.form, inputs=signature.inputs, outputs=outputs)


def _is_row_wise(block: Pyfunc, example: Feed) -> bool:
    """Whether the example's rows are answered one by one as they are together."""
    rows = len(next(iter(example.values())))
    try:
        together = block(**example)
        apart = [block(**{name: array[i : i + 1] for name, array in example.items()}) for i in range(min(rows, 8))]
    except ModelFailed:
        return False
    return all(_same(array[i : i + 1], one[name]) for name, array in together.items() for i, one in enumerate(apart))


def _same(array: Any, other: Any) -> bool:
    if array.dtype.kind == "f":
        return bool(np.allclose(array, other, rtol=1e-3, atol=1e-6, equal_nan=True))
    return bool(np.array_equal(array, other))


def _archive(artifact: Artifact, wanted: Wanted, stored: Path | None) -> Path:
    if stored is not None and (stored / ARCHIVE).is_file():
        return stored / ARCHIVE
    place = artifact.path.with_name(f"{artifact.path.name}.{ARCHIVE}")
    return place if place.is_file() else build_archive(wanted, place)


def _placed(source: str | Path, place: str | Path) -> None:
    """A second name for the file where both are on one disk, a copy of its bytes else."""
    try:
        os.link(source, place)
    except OSError:
        shutil.copyfile(source, place)
