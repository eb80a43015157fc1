"""
A release, from the registry to the store: what would be made of a pipeline, and the making of it.

Everything here only adds to a store; no Triton is asked and nothing that is served changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sextant.errors import ReceiptError
from sextant_export.fusing.foresight import foreseen
from sextant_export.journal import now
from sextant_export.narration import Narrator
from sextant_export.phases import PHASES, Release, bench
from sextant_export.pipeline import Pipeline
from sextant_export.placing import front_config, place_again
from sextant_export.receipt import Receipt, read_receipt
from sextant_export.registry import Registry
from sextant_export.resolving import find_release, identity, missing, next_release, resolve
from sextant_export.store import Store
from sextant_export.workshop import Limits

__all__ = [
    "Plan",
    "export",
    "find_release",
    "front_config",
    "identity",
    "missing",
    "next_release",
    "now",
    "place_again",
    "plan",
    "resolve",
]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """
    What :func:`export` would do: make release *release*, or nothing when *exists*; *members* old to new.

    *left* are steps that would not be in the graph for which the spec asks, with the reasons, as far as they can be
    known before an export; None where it asks for none.
    """

    pipeline: str
    release: int
    exists: bool
    serving: int | None
    members: Mapping[str, tuple[int | None, int]]
    left: Mapping[str, str] | None = None


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
        left=_left(pipeline, existing) if pipeline.serving.fuse_graph else None,
    )


def export(
    pipeline: Pipeline,
    store: Store,
    registry: Registry,
    narrator: Narrator | None = None,
    *,
    limits: Limits | None = None,
    pickle: bool = True,
) -> Receipt:
    """
    The release that *pipeline* now is, proven and staged in *store*; the one that is there when nothing changed.

    The code of models runs within *limits*; where *pickle* is False, a model that holds one is refused. Raises the
    ``ExportError`` that says what to do; the store then holds what it held before, or less unfinished work.
    """
    store.prepare()
    release = Release(pipeline=pipeline)
    with bench(store, registry, narrator, limits=limits, pickle=pickle) as at:
        for phase in PHASES:
            release = phase(release, at)
    return release.done


def _left(pipeline: Pipeline, existing: Receipt | None) -> Mapping[str, str]:
    """The steps that are not in the release's graph, as it was made, or as the page foretells."""
    fused = existing.fused if existing else None
    return foreseen(pipeline) if fused is None else fused["left"]
