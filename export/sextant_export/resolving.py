"""Which release a pipeline is at this moment: its members' versions, what it is made from, and its number."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import version as installed_version

from sextant.errors import PipelineError, ReceiptError
from sextant_export.converters import require_flavor
from sextant_export.fusing.naming import GRAPH
from sextant_export.journal import pruned
from sextant_export.known_cases import file_sha256
from sextant_export.pipeline import Pipeline
from sextant_export.problem import Problem
from sextant_export.receipt import Receipt, read_receipt, releases
from sextant_export.registry import RegisteredVersion, Registry
from sextant_export.store import Store


def resolve(pipeline: Pipeline, registry: Registry) -> dict[str, RegisteredVersion]:
    """The registered version that each member's URI means at this moment."""
    resolved = {name: registry.resolve(str(member.uri)) for name, member in pipeline.members.items()}
    first = {(found.name, found.version): name for name, found in reversed(resolved.items())}
    for name, found in resolved.items():
        if (twin := first[found.name, found.version]) != name:
            said = f"is {found.name} version {found.version}, as {twin} is: drop one, and weigh the other"
            raise PipelineError((Problem(f"members.{name}", said),))
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

    None of them is one that was refused or pruned, whose receipt was edited, or whose versions are no longer in the
    store.
    """
    for release in sorted({*releases(store, pipeline)} - pruned(store, pipeline), reverse=True):
        with suppress(ReceiptError):
            receipt = read_receipt(store, pipeline, release)
            if receipt.identity == made_from and receipt.outcome != "refused" and not missing(store, receipt):
                return receipt
    return None


def missing(store: Store, receipt: Receipt) -> tuple[tuple[str, int], ...]:
    """The models and versions of a release that are no longer in *store*."""
    return tuple((model, version) for model, version in receipt.models if version not in store.versions(model))


def next_release(store: Store, pipeline: Pipeline) -> int:
    """The number after every release of *pipeline* that left a trace: receipts, ensembles, block versions, graphs."""
    blocks = [f"{pipeline.name}.{step.block}" for step in pipeline.blocks]
    versions = (path.name for name in (*blocks, f"{pipeline.name}.{GRAPH}*") for path in store.models.glob(f"{name}/*"))
    ensembles = (path.name.removeprefix(f"{pipeline.name}.r") for path in store.models.glob(f"{pipeline.name}.r*"))
    traces = [int(name) for name in (*versions, *ensembles) if name.isdigit()]
    return max([store.served_release(pipeline.name) or 0, *releases(store, pipeline.name), *traces]) + 1
