"""
The front of a pipeline as a router between two of its releases, and as the ensemble of one again.

Both live in the front's own folder: version 1 is the ensemble, every higher one a router with its weights in
``parameters.json``.  A version directory appears whole before the configuration names it, the configuration is replaced
in one step, and what it names no more goes only after every server loaded another; so a crash at any instant leaves a
store that loads.  The number of a router is the millisecond it was made in: none comes twice, and a server that is
still unloading one is never handed another under its number.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

from tritonclient.grpc import model_config_pb2 as proto
from tritonclient.grpc.model_config_pb2 import ModelConfig

from sextant.errors import SextantError
from sextant_export.config import CANDIDATE, Configs, candidate_of, release_of
from sextant_export.receipt import Receipt
from sextant_export.release import front_config
from sextant_export.shells import write_block
from sextant_export.store import Store
from sextant_promote.fleet import Fleet
from sextant_promote.front import ENSEMBLE, load_front

PROCESSES = 4
"""Of a router; each has 32 requests under way at the most, and with 100 callers none should wait for another."""
DRAINS_S, DRAIN_POLL_S = 30.0, 0.01
"""How long a router may take to answer what it took; one whose process died never does."""


def route(
    store: Store, fleet: Fleet, serving: Receipt, candidate: Receipt, *, weight: float, shadow: float = 0.0
) -> None:
    """
    Let *candidate* answer the share *weight* of the pipeline's requests, and mirror the share *shadow* to it.

    Both releases are loaded.  Where a router stands already, another takes its place and its counters.  Whatever goes
    wrong, the front is the ensemble of *serving* again as far as the servers can be reached.
    """
    try:
        version = _write(store, serving, candidate, weight, shadow)
        load_front(fleet, serving, version)
        _sweep(store, fleet, serving.pipeline)
    except BaseException:
        with suppress(SextantError):
            unroute(store, fleet, serving)
        raise


def unroute(store: Store, fleet: Fleet, serving: Receipt) -> None:
    """Make the front the ensemble of *serving*, whatever it was; the store says so even where a server is away."""
    with store.alone():
        store.write_ensemble(front_config(serving))
    try:
        load_front(fleet, serving)
    finally:  # where one server is away, the others still have requests under way
        _sweep(store, fleet, serving.pipeline)


def routed(store: Store, pipeline: str) -> bool:
    """Whether the front in the store is a router, as a killed trial leaves it."""
    front = store.config(pipeline)
    return front is not None and candidate_of(front) is not None


def trial_weight(store: Store, pipeline: str) -> tuple[int, float] | None:
    """The release that the front in the store tries, and the share of requests that it answers; None: it tries none."""
    front = store.config(pipeline)
    candidate = None if front is None else candidate_of(front)
    if front is None or candidate is None:
        return None
    (version,) = front.version_policy.specific.versions
    with suppress(OSError, ValueError):  # another process takes the router away
        return candidate, float(_parameters(store.models / pipeline / str(version))["weight"])
    return None


def router_config(front: ModelConfig, candidate: int, version: int) -> ModelConfig:
    """The configuration of the router *version* that stands for *front*: to callers it is the same model."""
    config = ModelConfig(name=front.name, backend="python", max_batch_size=front.max_batch_size)
    config.input.extend(front.input)
    config.output.extend(front.output)
    for name, value in front.parameters.items():
        config.parameters[name].CopyFrom(value)
    config.parameters[CANDIDATE].string_value = str(candidate)
    config.version_policy.specific.versions.append(version)
    config.instance_group.add(count=PROCESSES, kind=proto.ModelInstanceGroup.KIND_CPU)
    return config


def _write(store: Store, serving: Receipt, candidate: Receipt, weight: float, shadow: float) -> int:
    """Put a router beside the versions of the front and name it in the configuration; gives its version."""
    pipeline = serving.pipeline
    with store.alone():
        version = max(time.time_ns() // 1_000_000, *(known + 1 for known in store.versions(pipeline)), ENSEMBLE + 1)
        parameters = {
            "pipeline": pipeline,
            "serving": serving.release,
            "candidate": candidate.release,
            "weight": weight,
            "shadow": shadow,
            "trial": _trial(store, serving, candidate) or version,
        }
        store.add_version(pipeline, version, partial(write_block, "route", parameters))
        store.write_configs(Configs(router_config(front_config(serving), candidate.release, version)))
    return version


def _trial(store: Store, serving: Receipt, candidate: Receipt) -> int | None:
    """The trial that the router in the store is of, where it is one of the same two releases."""
    standing = store.config(serving.pipeline)
    if standing is None or (release_of(standing), candidate_of(standing)) != (serving.release, candidate.release):
        return None
    (version,) = standing.version_policy.specific.versions
    with suppress(OSError, ValueError):
        return int(_parameters(store.models / serving.pipeline / str(version)).get("trial", 0)) or None
    return None


def _parameters(directory: Path) -> dict[str, Any]:
    parameters: dict[str, Any] = json.loads((directory / "parameters.json").read_text(encoding="utf-8"))
    return parameters


def _sweep(store: Store, fleet: Fleet, pipeline: str) -> None:
    """Take the routers that no server loads any more out of the front's folder, once they answered all they took."""
    gone = _left(store, pipeline)
    _drain(fleet, pipeline, gone)
    with store.alone():
        for version in gone:
            store.remove_version(pipeline, version)
    if gone:
        fleet.align()


def _left(store: Store, pipeline: str) -> set[int]:
    """The routers that the configuration does not name any more."""
    front = store.config(pipeline)
    named = set(front.version_policy.specific.versions) if front else set()
    return store.versions(pipeline) - named - {ENSEMBLE}


def _drain(fleet: Fleet, pipeline: str, routers: set[int]) -> None:
    """Wait for what *routers* still have under way: each asks its arms by name, which keeps none of them loaded."""
    ends, never = time.monotonic() + DRAINS_S, Event()
    while fleet.draining(pipeline) & routers and time.monotonic() < ends:
        never.wait(DRAIN_POLL_S)
