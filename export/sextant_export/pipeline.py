"""
A pipeline spec as a frozen, typed object: the decisions of one YAML page, and nothing that a graph or
registry knows.

``problems`` finds everything wrong with a page; ``load_pipeline`` and ``Pipeline.from_mapping`` raise it at
once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sextant.errors import PipelineError
from sextant_export.calibration_problems import groups_of
from sextant_export.canary import Canary, canary_of
from sextant_export.gate import CoverageGate, Gate, GateData, Limit, gate_of
from sextant_export.live import Live, live_of
from sextant_export.model_uri import ModelUri
from sextant_export.problem import Problem
from sextant_export.problems import problems
from sextant_export.spec_file import read_mapping
from sextant_export.step_problems import MEMBERS

__all__ = [
    "BlockStep",
    "Calibration",
    "Canary",
    "CoverageGate",
    "Gate",
    "GateData",
    "Limit",
    "Live",
    "Member",
    "Members",
    "Pipeline",
    "Problem",
    "Serving",
    "Step",
    "TensorRT",
    "load_pipeline",
    "problems",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorRT:
    """
    How plans are built: by which library, for which GPUs, in how much memory.

    *compute_capabilities* are those of the GPUs, none for the one at hand. *float16* rewrites the graph first, and
    *tolerance* is what it may then differ by. *profile* gives shapes, batch first, for tensors with other open axes.
    """

    builder: str = "tensorrt"
    compute_capabilities: tuple[str, ...] = ()
    float16: bool = False
    tolerance: float | None = None
    workspace_mb: int = 1024
    opt_batch_size: int = 8
    timing_cache: Path | None = None
    profile: Mapping[str, Mapping[str, tuple[int, ...]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """
    One registered model of the pipeline.  Both maps read *model's name: pipeline's tensor*.

    *flavor* is the one to convert, None for the most exact; *fallback* lets what cannot be converted be served by its
    own Python, in the server's *environment* or in an ``archive`` of its own. *target* is ``onnx`` or ``tensorrt``.
    *deterministic* says whether it gives equal rows equal answers, where Sextant cannot know.
    """

    name: str
    uri: ModelUri
    input_map: Mapping[str, str] = field(default_factory=dict)
    output_map: Mapping[str, str] = field(default_factory=dict)
    flavor: str | None = None
    fallback: bool = True
    deterministic: bool | None = None
    environment: str = "server"
    tolerance: float | None = None
    target: str = "onnx"
    accelerator: str | None = None
    tensorrt: TensorRT = TensorRT()


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockStep:
    """One block with the parameters the spec gives it.  Both maps read *block's name: pipeline's tensor*."""

    block: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    input_map: Mapping[str, str] = field(default_factory=dict)
    output_map: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Members:
    """The step at which every member is asked, in parallel."""


Step = BlockStep | Members


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """
    Known cases: a file, its columns of *truth*, and the column *group* of what belongs together, which is no feature.

    *truth* names latitude and longitude, or the label.  *per* says by what rows are calibrated apart from one another,
    as the parameter ``groups`` of ``ellipse`` does: a column that callers send too, bands of distance from a point, or
    bands of deviation.
    """

    data: Path
    truth: tuple[str, ...]
    group: str | None = None
    per: Mapping[str, Any] | None = None

    @property
    def per_column(self) -> str | None:
        """The column whose words rows are calibrated apart by, where the spec names one."""
        return None if self.per is None else self.per.get("column")


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """
    How the pipeline is served: batching, copies of each member, threads of each copy.

    Without *dynamic_batching* a member answers each request by itself, and *max_queue_delay_us* says nothing.
    *response_cache* lets equal requests be answered with what was answered before (:mod:`sextant_export.placing`).
    *fuse_graph* makes one ONNX model of all steps that can be written as a graph.
    """

    max_batch_size: int = 64
    dynamic_batching: bool = True
    max_queue_delay_us: int = 500
    instances: int = 1
    intra_op_thread_count: int = 1
    response_cache: bool = False
    fuse_graph: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """A checked spec; *spec* is the page as it was written, for the receipt."""

    name: str
    answer: str
    members: Mapping[str, Member]
    steps: tuple[Step, ...]
    calibration: Calibration | None = None
    serving: Serving = Serving()
    gate: Gate | None = None
    canary: Canary | None = None
    live: Live | None = None
    spec: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def from_mapping(cls, raw: Mapping[str, Any], directory: Path = Path()) -> Pipeline:
        """
        The pipeline of the page *raw*, its paths seen from *directory*; PipelineError lists every
        problem.
        """
        if found := tuple(problems(raw)):
            raise PipelineError(found)
        calibration = _calibration(raw.get("calibration"), directory)
        return cls(
            name=raw["name"],
            answer=raw["answer"],
            members={name: _member(name, value, directory) for name, value in raw["members"].items()},
            steps=tuple(_step(step) for step in raw["steps"]),
            calibration=calibration,
            serving=Serving(**raw.get("serving", {})),
            gate=gate_of(raw.get("gate"), directory, calibration.truth if calibration else ()),
            canary=canary_of(raw.get("canary")),
            live=live_of(raw.get("live")),
            spec=raw,
        )

    @property
    def blocks(self) -> tuple[BlockStep, ...]:
        """The block steps, in order."""
        return tuple(step for step in self.steps if isinstance(step, BlockStep))

    @property
    def preprocessing(self) -> tuple[BlockStep, ...]:
        """The block steps that stand before the members."""
        place = next(i for i, step in enumerate(self.steps) if isinstance(step, Members))
        return tuple(step for step in self.steps[:place] if isinstance(step, BlockStep))

    def block(self, name: str) -> BlockStep:
        """The step of the block *name*; KeyError where the pipeline has none."""
        return {step.block: step for step in self.blocks}[name]


def load_pipeline(path: Path | str) -> Pipeline:
    """The pipeline in the YAML file at *path*; PipelineError lists every problem with its address."""
    path = Path(path)
    return Pipeline.from_mapping(read_mapping(path), path.parent)


def _member(name: str, value: str | Mapping[str, Any], directory: Path) -> Member:
    raw: Mapping[str, Any] = {"model_uri": value} if isinstance(value, str) else value
    built: dict[str, Any] = {"uri": ModelUri.parse(raw["model_uri"]), **_maps(raw)}
    if "tensorrt" in raw:
        built["tensorrt"] = _tensorrt(raw["tensorrt"], directory)
    decided = {key: raw[key] for key in raw if key not in ("model_uri", *built)}
    return Member(name=name, **built, **decided)


def _tensorrt(raw: Mapping[str, Any], directory: Path) -> TensorRT:
    settled = dict(raw)
    if "compute_capabilities" in raw:
        settled["compute_capabilities"] = tuple(map(str, raw["compute_capabilities"]))
    if "timing_cache" in raw:
        settled["timing_cache"] = directory / raw["timing_cache"]
    if "profile" in raw:
        profile = raw["profile"].items()
        settled["profile"] = {name: {word: tuple(shape[word]) for word in shape} for name, shape in profile}
    return TensorRT(**settled)


def _step(value: Any) -> Step:
    if value == MEMBERS:
        return Members()
    return BlockStep(block=value["block"], parameters=dict(value.get("with", {})), **_maps(value))


def _maps(raw: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    return {key: dict(raw.get(key, {})) for key in ("input_map", "output_map")}


def _calibration(raw: Mapping[str, Any] | None, directory: Path) -> Calibration | None:
    if raw is None:
        return None
    truth = (raw["truth"],) if isinstance(raw["truth"], str) else tuple(raw["truth"])
    per = groups_of(raw["per"]) if "per" in raw else None
    return Calibration(data=directory / raw["data"], truth=truth, group=raw.get("group"), per=per)
