"""What a release puts into a store: its members, its blocks, and the ensemble that joins them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from tritonclient.grpc.model_config_pb2 import ModelConfig

from sextant.backend import Block
from sextant.blocks import BLOCKS, Vote
from sextant_export.cache_problems import refuse_open
from sextant_export.config import (
    GROUP_COLUMN,
    Configs,
    block_config,
    describe_classes,
    ensemble_config,
    onnx_config,
)
from sextant_export.fusing.fusion import Fusion
from sextant_export.member import PreparedMember
from sextant_export.pipeline import Pipeline
from sextant_export.shells import write_block
from sextant_export.store import Candidate
from sextant_export.table import describe_table
from sextant_export.wiring import wire


@dataclass(frozen=True, kw_only=True)
class Staged:
    """The models of a release, *candidates*, and the *ensemble* that is wired to them."""

    candidates: tuple[Candidate, ...]
    ensemble: ModelConfig


def stage(
    pipeline: Pipeline,
    members: Sequence[PreparedMember],
    parameters: Mapping[str, Mapping[str, Any]],
    release: int,
    fusion: Fusion | None = None,
) -> Staged:
    """
    *release* of *pipeline*: its *members*, and its blocks with their complete *parameters*, by name.

    What *fusion* made one graph of is served as that graph alone.
    """
    blocks = {name: BLOCKS[name](given) for name, given in parameters.items()}
    fused_members, fused_blocks = (fusion.members, fusion.blocks) if fusion else ((), ())
    left = [name for name in blocks if name not in fused_blocks]
    candidates = (
        *(_member_candidate(pipeline, member) for member in members if member.name not in fused_members),
        *(_block_candidate(pipeline, name, blocks[name], parameters[name], release) for name in left),
        *_graph_candidates(pipeline, fusion),
    )
    return Staged(candidates=candidates, ensemble=_ensemble(pipeline, members, blocks, release, fusion))


def _ensemble(
    pipeline: Pipeline,
    members: Sequence[PreparedMember],
    blocks: Mapping[str, Block],
    release: int,
    fusion: Fusion | None,
) -> ModelConfig:
    wiring = wire(pipeline, members, release, blocks)
    if fusion is not None:
        wiring = fusion.wired(wiring)
    if pipeline.serving.response_cache:
        refuse_open(wiring.inputs)
    config = ensemble_config(
        f"{pipeline.name}.r{release}",
        release,
        wiring.steps,
        wiring.inputs,
        wiring.outputs,
        pipeline.serving.max_batch_size,
    )
    if isinstance(vote := blocks.get("vote"), Vote):
        describe_classes(config, vote.classes.names)
    if pipeline.calibration and (column := pipeline.calibration.per_column):
        config.parameters[GROUP_COLUMN].string_value = column
    if pipeline.answer == "tensors" and len(members) == 1 and not pipeline.blocks:
        describe_table(config, members[0].copied.signature, missing_text=members[0].copy.kind == "pyfunc")
    return config


def _graph_candidates(pipeline: Pipeline, fusion: Fusion | None) -> Iterator[Candidate]:
    if fusion is None or fusion.proven is None:
        return
    graph = fusion.proven.graph
    config = onnx_config(fusion.model, graph.inputs, graph.outputs, pipeline.serving, [fusion.release])
    yield Candidate(model=fusion.model, version=fusion.release, configs=Configs(config), write=graph.write)


def _member_candidate(pipeline: Pipeline, member: PreparedMember) -> Candidate:
    configs = member.copy.configs(member.model_name, pipeline.serving, [member.version])
    for config in configs.twins:
        describe_table(config, member.copied.signature, missing_text=member.copy.kind == "pyfunc")
    return Candidate(model=member.model_name, version=member.version, configs=configs, write=member.copy.write)


def _block_candidate(
    pipeline: Pipeline, name: str, block: Block, parameters: Mapping[str, Any], release: int
) -> Candidate:
    model = f"{pipeline.name}.{name}"
    config = block_config(model, block, pipeline.serving, [release])
    write = partial(write_block, name, parameters)
    return Candidate(model=model, version=release, configs=Configs(config), write=write)
