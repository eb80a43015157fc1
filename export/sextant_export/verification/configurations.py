"""
The configurations against the receipts.

What a release alone is wired by, its ensemble and the front that serves it, must be as its receipt says. What several
releases share must say, field by field, what some receipt says, and serve exactly the versions that ensembles pin.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from sextant.errors import StoreError
from sextant_export.config import candidate_of, read_config, release_of
from sextant_export.placing import front_config, release_configs
from sextant_export.receipt import Receipt
from sextant_export.store import CONFIG, TWIN
from sextant_export.verification.finding import CONFIGURATION, DO_TRIAL, LEFT, Finding
from sextant_export.verification.records import Records, as_dict

_RESTORE = "restore it from a backup, or from the receipt"
_POLICY = "version_policy"


def check_configurations(records: Records) -> Iterator[Finding]:
    """Each configuration that is not what the receipts say."""
    paths = sorted(path for name in (CONFIG, TWIN) for path in records.store.models.glob(f"*/{name}"))
    read = {path: _read(path) for path in paths}
    configs = {path: config for path, config in read.items() if config is not None}
    pins = _pins(configs.values())
    for path in (path for path in paths if records.concerns(_model(records, path))):
        if path not in configs:
            yield _found(records, path, "is no model configuration")
            continue
        if path.read_bytes() != text_format.MessageToString(configs[path]).encode():
            yield _found(records, path, "is not written as Sextant writes it")
        yield from _check(records, path, configs[path], pins)
    yield from _gone(records)


def _read(path: Path) -> ModelConfig | None:
    try:
        return read_config(path)
    except StoreError:
        return None


def _model(records: Records, path: Path) -> str:
    """The model that the configuration at *path* is of."""
    return path.relative_to(records.store.models).parts[0]


def _check(records: Records, path: Path, config: ModelConfig, pins: Mapping[str, set[int]]) -> Iterator[Finding]:
    name = _model(records, path)
    receipt = records.ensembles.get(name)
    if receipt is not None:
        yield from _as_released(records, path, config, receipt)
    elif name in records.fronts:
        yield from _front(records, path, config)
    elif any(version.startswith(f"{name}/") for version in records.versions):
        yield from _shared(records, path, config, pins.get(name, set()))


def _front(records: Records, path: Path, config: ModelConfig) -> Iterator[Finding]:
    """The front is wired to the release that it claims."""
    if (candidate := candidate_of(config)) is not None:
        yield records.finding(LEFT, path, f"tries r{candidate} in a canary", DO_TRIAL)
        return
    release = release_of(config)
    receipt = records.ensembles.get(f"{path.parent.name}.r{release}")
    if receipt is None:
        yield _found(records, path, f"claims to be r{release}, of which there is no sound receipt")
    elif receipt.outcome != "served":
        yield _found(records, path, f"serves r{release}, which its receipt calls {receipt.outcome}")
    else:
        yield from _as_released(records, path, config, receipt)


def _as_released(records: Records, path: Path, config: ModelConfig, receipt: Receipt) -> Iterator[Finding]:
    told = {each.name: each for each in (*release_configs(receipt), front_config(receipt))}
    if differing := _unlike(as_dict(config), [as_dict(told[path.parent.name])]):
        yield _found(records, path, f"is not the ensemble of {receipt.name}: it differs in {differing}")


def _shared(records: Records, path: Path, config: ModelConfig, pinned: set[int]) -> Iterator[Finding]:
    """The configuration of a model that releases, perhaps of several pipelines, have in common."""
    model, twin = _model(records, path), int(path.name != CONFIG)
    told = records.told(model, twin)
    if (told or twin) and (differing := _unlike(as_dict(config), told, but=_POLICY)):
        yield _found(records, path, f"says of {differing} what no receipt says")
    served = set(config.version_policy.specific.versions)
    for version in sorted(pinned - served):
        yield _found(records, path, f"does not serve version {version}, which an ensemble is wired to")
    for version in sorted(served - pinned if pinned else ()):
        yield from _surplus(records, path, f"{model}/{version}")


def _surplus(records: Records, path: Path, version: str) -> Iterator[Finding]:
    """A version that is served and that nothing is wired to."""
    what = f"serves {version}, which no ensemble is wired to"
    if version in records.versions or version in records.unfinished:
        yield records.finding(LEFT, path, what, "promote again, which ends what was interrupted")
    else:
        yield _found(records, path, what)


def _gone(records: Records) -> Iterator[Finding]:
    """A configuration that must be there, and is not."""
    names = {receipt.pipeline for receipt in records.own if receipt.outcome == "served"}
    for receipt in records.own:
        names |= {model for model, _ in receipt.models if receipt.name in records.open}
    needed = {records.store.models / name / CONFIG for name in names}
    needed |= {records.store.models / name / TWIN for name in names if _has_twin(records, name)}
    for path in sorted(path for path in needed if not path.is_file()):
        yield _found(records, path, "is gone")


def _has_twin(records: Records, model: str) -> bool:
    """Whether every release that is told of *model* has a twin of its configuration."""
    told = [receipt.configs[model] for receipt in records.receipts if model in receipt.configs]
    return bool(told) and all(len(texts) > 1 for texts in told)


def _pins(configs: Any) -> dict[str, set[int]]:
    """The versions of each model that some ensemble is wired to."""
    pins: dict[str, set[int]] = {}
    for step in (step for config in configs for step in config.ensemble_scheduling.step):
        pins.setdefault(step.model_name, set()).add(step.model_version)
    return pins


def _unlike(said: Mapping[str, Any], told: list[dict[str, Any]], but: str = "") -> str:
    """The fields of *said*, *but* one, in words, that have a value that none of *told* gives them."""
    names = {name for each in (said, *told) for name in each} - {but}
    return ", ".join(sorted(name for name in names if not _given(said.get(name), [each.get(name) for each in told])))


def _given(value: Any, told: list[Any]) -> bool:
    """Whether one of *told* is *value*, or each part of it is in one, as where outputs grew from release to release."""
    if value in told:
        return True
    parts, given = _parts(value), [_parts(each) for each in told if each]
    known = [part for each in given for part in each]
    return all(part in known for part in parts) and any(all(part in parts for part in each) for each in given)


def _parts(value: Any) -> list[Any]:
    return list(value.items()) if isinstance(value, dict) else value if isinstance(value, list) else [value]


def _found(records: Records, path: Path, what: str) -> Finding:
    return records.finding(CONFIGURATION, path, what, _RESTORE)
