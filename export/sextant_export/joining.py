"""
What a new version changes of a model that others use too, and what it must not.

Triton keeps one configuration for all versions of a model, so each rule here asks the same: could a server that loads
the versions before it still load every one of them? Where not, nothing is written, and the sentence says what to do.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tritonclient.grpc.model_config_pb2 import ModelConfig

from sextant.errors import BreakingChange
from sextant_export.config import CLASSES, COLUMNS, GROUP_COLUMN, Configs, backend_of, said, type_word

_NEW_NAME = "register the model, or name the pipeline, under a new name"


def merged(present: Configs, configs: Configs, version: int) -> Configs:
    """
    *configs* for a model that other releases, perhaps other pipelines, use too.

    Their versions stay in the policy, their batches still fit, and the plans for their GPUs are still named; the other
    serving settings are those of the release published last.
    """
    together = configs.with_versions({*present.versions, version})
    largest = max(config.max_batch_size for config in (*present.twins, *configs.twins))
    for config in together.twins:
        config.max_batch_size = largest
        _keep(config, present.main)
    if configs.plans:
        together.main.cc_model_filenames.update(present.plans)
    return together


def refuse_unloadable(present: Configs, configs: Configs, version: int, model: Path) -> None:
    """Raise ``BreakingChange`` where a version of the folder *model* could not be loaded as *configs* say."""
    refuse_breaking(present.main, configs.main)
    others = present.versions - {version}
    changes = backend_of(present.main), backend_of(configs.main)
    if others and changes[0] != changes[1] and "python" in changes:
        raise BreakingChange(
            f"{configs.name} is served by Triton's {changes[0]} backend and would be by {changes[1]}, which cannot "
            f"load {_names(others)}: {_NEW_NAME}, or keep the kind of copy with `flavor:`"
        )
    if configs.plans:
        _refuse_unplanned(present, configs, version, model)


def refuse_breaking(present: ModelConfig, config: ModelConfig) -> None:
    """
    Raise :class:`~sextant.errors.BreakingChange` where inputs or outputs go or change, or the order of columns in one.

    New outputs, and new inputs that may be left out, break nobody.
    """
    if (present.platform == "ensemble") != (config.platform == "ensemble"):
        raise BreakingChange(f"{config.name} is the name of a pipeline, and of one of its models: {_NEW_NAME}")
    for side in ("input", "output"):
        _refuse_other_tensors(present, config, side)
    for name, read, why, may_go in _RELIANCES:
        was, becomes = read(present), read(config)
        if was and was != becomes and (becomes or not may_go):
            raise BreakingChange(f"{config.name}: its {name} would change from {was!r} to {becomes!r}, and {why}")


def _refuse_other_tensors(present: ModelConfig, config: ModelConfig, side: str) -> None:
    was, becomes = (_tensors(getattr(c, side)) for c in (present, config))
    if was == becomes or _only_grows(present, config, side):
        return
    gone, new = ([one for one in here if one not in there] for here, there in ((was, becomes), (becomes, was)))
    raise BreakingChange(
        f"{config.name}: its {side}s would change from {gone} to {new}, and the releases being served "
        "rely on them: register the new model, or name the new pipeline, under a new name"
    )


def _classes(config: ModelConfig) -> list[str]:
    """The classes of a pipeline that answers a label, in the order of their probabilities."""
    return list(map(str, json.loads(said(config, CLASSES) or "[]")))


def _group(config: ModelConfig) -> str:
    """The column that callers send as ``group``."""
    return said(config, GROUP_COLUMN)


def _keep(config: ModelConfig, present: ModelConfig) -> None:
    """Take over the tensors that only *present* has: an older release, placed again, takes none from the newer."""
    for side in ("input", "output"):
        known = {tensor.name for tensor in getattr(config, side)}
        getattr(config, side).extend(tensor for tensor in getattr(present, side) if tensor.name not in known)


def _only_grows(present: ModelConfig, config: ModelConfig, side: str) -> bool:
    """
    Whether every tensor stays and the new ones are nobody's duty: outputs, or inputs that may be left out.

    Only of what has no graph, which would have to hold them: ensembles, and Python that looks at what it is asked.
    """
    if present.platform != "ensemble" and present.backend != "python":
        return False
    was, becomes = ({t.name: t for t in getattr(c, side)} for c in (present, config))
    stays = set(_tensors(was.values())) <= set(_tensors(becomes.values()))
    return stays and all(side == "output" or becomes[name].optional for name in becomes.keys() - was.keys())


def _order(config: ModelConfig) -> list[str]:
    """The columns that stand in one tensor, in its order; elsewhere each tensor is its column's own."""
    table = json.loads(said(config, COLUMNS) or "{}").get("inputs", [])
    return [column["name"] for column in table if len({column["tensor"] for column in table}) == 1]


class _Reliance(NamedTuple):
    """
    What callers rely on beside tensors: its *name*, how it is *read*, and *why* nobody may change it.

    It *may_go* where nothing takes its place.
    """

    name: str
    read: Callable[[ModelConfig], Any]
    why: str
    may_go: bool = False


_RELIANCES = (
    _Reliance(
        "classes",
        _classes,
        "callers know probabilities by their order: keep it with `classes:` under vote, or name the new pipeline under "
        "a new name",
    ),
    _Reliance(
        "group",
        _group,
        "callers who go on sending the one would be answered for the other: name the new pipeline under a new name",
        may_go=True,
    ),
    _Reliance(
        "columns",
        _order,
        "callers that send arrays rely on their order: register the new model, or name the new pipeline, under a new "
        "name",
    ),
)


def _refuse_unplanned(present: Configs, configs: Configs, version: int, model: Path) -> None:
    """A GPU that has a plan of every version being served must have one of the next; more GPUs may come."""
    others = present.versions - {version}
    kept = {capability: file for capability, file in present.plans.items() if capability not in configs.plans}
    if others and (missing := list(_absent(kept, model / str(version)))):
        raise BreakingChange(
            f"{configs.name} version {version} comes without a TensorRT plan for compute capability "
            f"{', '.join(missing)}, on which {_names(others)} is served from one: build it for that too"
        )
    unplanned = [v for v in sorted(others) if not present.plans and any(_absent(configs.plans, model / str(v)))]
    if unplanned:
        raise BreakingChange(
            f"{configs.name} is served by ONNX Runtime, and {_names(unplanned)} has no TensorRT plan, which every "
            "version would need: promote that version with `target: tensorrt` first, which adds its plans, or "
            f"{_NEW_NAME}"
        )
    was, becomes = present.main.max_batch_size, configs.main.max_batch_size
    if was > becomes or (others and was < becomes):
        raise BreakingChange(
            f"{configs.name} is served in batches of up to {was} rows, which its releases rely on, and these TensorRT "
            f"plans are for {becomes}, which is built into them: write serving.max_batch_size: {was}, or {_NEW_NAME}"
        )


def _absent(plans: dict[str, str], directory: Path) -> Iterator[str]:
    return (capability for capability, file in sorted(plans.items()) if not (directory / file).is_file())


def _names(versions: Any) -> str:
    return " and ".join(f"version {version}" for version in sorted(versions))


def _tensors(tensors: Any) -> list[str]:
    return sorted(f"{t.name} {type_word(t)}{list(t.dims)}" for t in tensors)
