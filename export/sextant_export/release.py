"""
A release, from the registry to the store: resolve, fetch, convert, prove, calibrate, stage.

Everything here only adds to a store; no Triton is asked and nothing that is served changes.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from numpy.typing import NDArray
from tritonclient.grpc.model_config_pb2 import ModelConfig

from sextant.blocks import BLOCKS
from sextant.errors import PipelineError, ReceiptError
from sextant_export.calibration import Calibrated, calibrate, preprocess
from sextant_export.config import Configs, block_config, ensemble_config
from sextant_export.converters import require_flavor
from sextant_export.evidence import write_proof
from sextant_export.joining import merged, refuse_breaking
from sextant_export.known_cases import KnownCases, file_sha256, read_known_cases
from sextant_export.member import PreparedMember, prepare
from sextant_export.narration import Narrator, Silence
from sextant_export.pipeline import Pipeline
from sextant_export.problem import Problem
from sextant_export.receipt import Receipt, read_receipt, releases, write_receipt
from sextant_export.registry import RegisteredVersion, Registry
from sextant_export.shells import copy_shell
from sextant_export.store import Candidate, Store
from sextant_export.table import describe_table
from sextant_export.wiring import wire

_WORKPLACE = "sextant-export-"
TOOLS = ("triton-sextant", "mlflow", "onnx", "onnxruntime", "skl2onnx", "numpy")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What :func:`export` would do: make release *release*, or nothing when *exists*; *members* old to new."""

    pipeline: str
    release: int
    exists: bool
    serving: int | None
    members: Mapping[str, tuple[int | None, int]]


def plan(pipeline: Pipeline, store: Store, registry: Registry) -> Plan:
    """What a promotion of *pipeline* would change; writes nothing."""
    resolved = resolve(pipeline, registry)
    existing = find_release(store, pipeline.name, identity(pipeline, resolved))
    serving = store.served_release(pipeline.name)
    pinned: Mapping[str, Any] = {}
    with suppress(ReceiptError):
        pinned = read_receipt(store, pipeline.name, serving).members if serving else {}
    return Plan(
        pipeline=pipeline.name,
        release=existing.release if existing else next_release(store, pipeline),
        exists=existing is not None,
        serving=serving,
        members={n: (pinned.get(n, {}).get("version"), found.version) for n, found in resolved.items()},
    )


def export(pipeline: Pipeline, store: Store, registry: Registry, narrator: Narrator | None = None) -> Receipt:
    """
    The release that *pipeline* now is, proven and staged in *store*; the one that is there when nothing changed.

    Raises the ``ExportError`` that says what to do; the store then holds what it held before, or less unfinished work.
    """
    narrator = narrator or Silence()
    store.prepare()
    with narrator.step("resolve members in the registry") as step:
        resolved = resolve(pipeline, registry)
        step.result(", ".join(f"{v.name} version {v.version}" for v in resolved.values()))
    made_from = identity(pipeline, resolved)
    existing = find_release(store, pipeline.name, made_from)
    if existing is not None:
        with narrator.step(f"stage {existing.name}") as step:
            place_again(store, existing)
            step.result("made before, still valid")
        return existing
    release = next_release(store, pipeline)
    with _workplace() as directory:
        return _make(pipeline, store, registry, resolved, made_from, release, directory, narrator)


def resolve(pipeline: Pipeline, registry: Registry) -> dict[str, RegisteredVersion]:
    """The registered version that each member's URI means at this moment."""
    resolved = {name: registry.resolve(str(member.uri)) for name, member in pipeline.members.items()}
    for name, found in resolved.items():
        if (flavor := pipeline.members[name].flavor) is not None:
            require_flavor(found, flavor)
        if found.name.startswith(f"{pipeline.name}."):
            raise PipelineError(
                (Problem(f"members.{name}", f"the model {found.name!r} would meet the pipeline's own: rename either"),)
            )
    return resolved


def identity(pipeline: Pipeline, resolved: Mapping[str, RegisteredVersion]) -> str:
    """The digest of everything a release is made from: spec, members in their order, known cases, Sextant itself."""
    cases = pipeline.calibration
    made_from = {
        "spec": pipeline.spec,
        "members": [[name, v.name, v.version, v.source] for name, v in resolved.items()],
        "cases": file_sha256(cases.data) if cases and cases.data.is_file() else None,
        "sextant": installed_version("triton-sextant"),
    }
    return hashlib.sha256(json.dumps(made_from, sort_keys=True, default=str).encode()).hexdigest()


def find_release(store: Store, pipeline: str, made_from: str) -> Receipt | None:
    """
    The newest release of *pipeline* with this identity that can be served as it is.

    None of them is one that was refused, whose receipt was edited, or whose versions are no longer in the store.
    """
    for release in reversed(releases(store, pipeline)):
        with suppress(ReceiptError):
            receipt = read_receipt(store, pipeline, release)
            whole = all((store.models / model / str(version)).is_dir() for model, version in receipt.models)
            if receipt.identity == made_from and receipt.outcome != "refused" and whole:
                return receipt
    return None


def next_release(store: Store, pipeline: Pipeline) -> int:
    """The number after every release of *pipeline* that left a trace: receipts, ensembles, block versions."""
    blocks = (store.models / f"{pipeline.name}.{step.block}" for step in pipeline.blocks)
    versions = (path.name for block in blocks if block.is_dir() for path in block.iterdir())
    ensembles = (path.name.removeprefix(f"{pipeline.name}.r") for path in store.models.glob(f"{pipeline.name}.r*"))
    traces = [int(name) for name in (*versions, *ensembles) if name.isdigit()]
    return max([store.served_release(pipeline.name) or 0, *releases(store, pipeline.name), *traces]) + 1


def place_again(store: Store, receipt: Receipt) -> None:
    """Put the ensemble of a release made before back in the store, its versions and settings with it."""
    for model, version in receipt.models:
        store.widen(model, version)
        present, texts = store.twins(model), receipt.configs.get(model)
        if present is not None and texts:
            own = Configs(*(text_format.Parse(text, ModelConfig()) for text in texts))
            store.write_configs(merged(present, own, version))
    store.write_ensemble(text_format.Parse(receipt.ensemble, ModelConfig()))


def front_config(receipt: Receipt) -> ModelConfig:
    """The public front of the pipeline, wired to the release of *receipt*."""
    return _renamed(text_format.Parse(receipt.ensemble, ModelConfig()), receipt.pipeline)


def now() -> str:
    """This moment, in UTC, to the second."""
    return dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds")


def _make(
    pipeline: Pipeline,
    store: Store,
    registry: Registry,
    resolved: Mapping[str, RegisteredVersion],
    made_from: str,
    release: int,
    directory: Path,
    narrator: Narrator,
) -> Receipt:
    cases = read_known_cases(pipeline.calibration) if pipeline.calibration else None
    members = []
    for name, found in resolved.items():
        with narrator.step(f"export {found.name} version {found.version}, prove parity") as step:
            members.append(
                prepare(
                    pipeline,
                    pipeline.members[name],
                    found,
                    registry,
                    directory,
                    observed=_observed(pipeline, cases),
                    stored=partial(_stored, store, found.version),
                )
            )
            step.result(_proven(members[-1]))
    with narrator.step("calibrate") as step:
        calibrated = calibrate(pipeline, members, release, cases)
        step.result(_calibrated(pipeline, calibrated))
    with narrator.step(f"stage {pipeline.name}.r{release}") as step:
        receipt = _stage(pipeline, store, members, calibrated, made_from, release)
        step.result(f"{len(receipt.models) + 1} models in {store.models}")
    return receipt


def _stored(store: Store, version: int, model: str) -> Path | None:
    """The folder of a version that the store holds already."""
    folder = store.models / model / str(version)
    return folder if folder.is_dir() else None


def _proven(member: PreparedMember) -> str:
    proof, copied = member.proof, member.copied
    why = "".join(f" ({reason})" for reason in copied.refused.values())
    made = f"{copied.source.flavor} to {member.copy.kind}" if member.copy.converted else f"NOT converted{why}"
    kept = copied.copy.facts().get("why") if member.copy.converted else None  # from TensorRT, by these nodes
    return f"{made}{f' ({kept})' if kept else ''}: {proof}"


def _calibrated(pipeline: Pipeline, calibrated: Calibrated) -> str:
    if pipeline.answer == "tensors":
        return "nothing to calibrate in plain tensors"
    if calibrated.facts is None:
        return "no known cases: chi-square ellipses"
    return f"{calibrated.facts['rows']:,} known cases, median error {calibrated.facts['median_error_m']:.1f} m"


def _observed(pipeline: Pipeline, cases: KnownCases | None) -> NDArray[Any] | None:
    """Rows as the members will see them, for the ranges that the proof draws from."""
    if cases is None:
        return None
    width = cases.features.shape[1]
    parameters = {step.block: {**step.parameters, "width": width} for step in pipeline.preprocessing}
    rows: NDArray[Any] = preprocess(pipeline, parameters, cases.features)
    return rows


def _stage(
    pipeline: Pipeline,
    store: Store,
    members: Sequence[PreparedMember],
    calibrated: Calibrated,
    made_from: str,
    release: int,
) -> Receipt:
    """The ensemble comes last: from then on the release is there, and all that it needs was there before."""
    ensemble = _ensemble(pipeline, members, release)
    candidates = [
        *(_member_candidate(pipeline, member) for member in members),
        *(_block_candidate(pipeline, block, calibrated, members, release) for block in calibrated.parameters),
    ]
    _refuse_breaking(pipeline, store, candidates, ensemble)
    introduced = tuple(candidate.model for candidate in candidates if store.publish(candidate))
    receipt = Receipt(
        pipeline=pipeline.name,
        release=release,
        identity=made_from,
        created=now(),
        spec=json.loads(json.dumps(pipeline.spec, default=str)),
        members={member.name: member.facts() for member in members},
        blocks=calibrated.parameters,
        calibration=calibrated.facts,
        models=tuple((candidate.model, candidate.version) for candidate in candidates),
        introduced=introduced,
        ensemble=text_format.MessageToString(ensemble),
        configs={each.model: [text_format.MessageToString(twin) for twin in each.configs.twins] for each in candidates},
        tools={"python": platform.python_version(), **{tool: installed_version(tool) for tool in TOOLS}},
    )
    write_proof(store, pipeline.name, release, {m.name: (m.feed, m.expected) for m in members})
    write_receipt(store, receipt)
    store.write_ensemble(ensemble)
    return receipt


def _refuse_breaking(pipeline: Pipeline, store: Store, candidates: Sequence[Candidate], ensemble: ModelConfig) -> None:
    """Everything that could break a caller or a release is refused before the first of it is published."""
    for candidate in candidates:
        store.check(candidate)
    front = store.config(pipeline.name)
    if front is not None:
        refuse_breaking(front, _renamed(ensemble, pipeline.name))


def _renamed(config: ModelConfig, name: str) -> ModelConfig:
    copy = ModelConfig()
    copy.CopyFrom(config)
    copy.name = name
    return copy


def _ensemble(pipeline: Pipeline, members: Sequence[PreparedMember], release: int) -> ModelConfig:
    wiring = wire(pipeline, members, release)
    config = ensemble_config(
        f"{pipeline.name}.r{release}",
        release,
        wiring.steps,
        wiring.inputs,
        wiring.outputs,
        pipeline.serving.max_batch_size,
    )
    if pipeline.answer == "tensors" and len(members) == 1 and not pipeline.blocks:
        describe_table(config, members[0].copied.signature, missing_text=members[0].copy.kind == "pyfunc")
    return config


def _member_candidate(pipeline: Pipeline, member: PreparedMember) -> Candidate:
    configs = member.copy.configs(member.model_name, pipeline.serving, [member.version])
    for config in configs.twins:
        describe_table(config, member.copied.signature, missing_text=member.copy.kind == "pyfunc")
    return Candidate(model=member.model_name, version=member.version, configs=configs, write=member.copy.write)


def _block_candidate(
    pipeline: Pipeline, block: str, calibrated: Calibrated, members: Sequence[PreparedMember], release: int
) -> Candidate:
    kind, name = BLOCKS[block], f"{pipeline.name}.{block}"
    before = {step.block for step in pipeline.preprocessing}
    tensors = (*kind.inputs, *kind.outputs) if block in before else ()
    dims = {tensor.name: members[0].inputs[0].dims for tensor in tensors}

    def write(directory: Path) -> None:
        copy_shell(block, directory)
        text = json.dumps(calibrated.parameters[block], indent=2)
        (directory / "parameters.json").write_text(text + "\n", encoding="utf-8")

    config = block_config(name, kind, pipeline.serving, [release], dims)
    return Candidate(model=name, version=release, configs=Configs(config), write=write)


@contextmanager
def _workplace() -> Iterator[Path]:
    """A folder for what is fetched, gone afterwards; what killed exports left goes too."""
    for left in Path(tempfile.gettempdir()).glob(f"{_WORKPLACE}*"):
        owner = left.name.removeprefix(_WORKPLACE).partition("-")[0]
        if owner.isdigit() and not Path("/proc", owner).exists():
            shutil.rmtree(left, ignore_errors=True)
    directory = Path(tempfile.mkdtemp(prefix=f"{_WORKPLACE}{os.getpid()}-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
