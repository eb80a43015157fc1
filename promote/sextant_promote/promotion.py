"""
Promotion and rollback: what a Triton serves under a pipeline's public name.

The front ``<pipeline>`` is an ensemble wired to the pinned models of one release. Everything before the flip only
adds to the store and to the server; the flip rewrites that one configuration and loads it again, which takes
milliseconds and touches no request under way. A failure before the flip takes the candidate back out; what is served
never changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from sextant.errors import PromoteError, SextantError
from sextant_export.config import Configs
from sextant_export.narration import Narrator, Silence
from sextant_export.pipeline import Pipeline
from sextant_export.receipt import Receipt, read_receipt
from sextant_export.registry import Registry
from sextant_export.release import export, place_again
from sextant_export.store import Store
from sextant_promote.control import Control
from sextant_promote.front import flip, wire_front
from sextant_promote.gate import require_gates
from sextant_promote.retention import retire, withdraw
from sextant_promote.served_proof import prove_served


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """*release* serves; *changed* is False where it did already; *replaced* is the release before it."""

    pipeline: str
    release: int
    changed: bool
    replaced: int | None
    receipt: Receipt

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, for ``--json``."""
        return {
            "pipeline": self.pipeline,
            "release": self.release,
            "changed": self.changed,
            "replaced": self.replaced,
            "members": {name: dict(member) for name, member in self.receipt.members.items()},
            "proof": dict(self.receipt.proof),
            "gate": list(self.receipt.gate),
        }


def promote(
    pipeline: Pipeline, store: Store, registry: Registry, control: Control, narrator: Narrator | None = None
) -> Promotion:
    """
    Make *pipeline*, as registry and spec now say, the release that the Triton behind *control* serves from *store*.

    The same inputs give the same release: promoting twice changes nothing. Raises an ``ExportError`` where no release
    comes of it and a ``PromoteError`` where it is not served; in both cases what was served still is.
    """
    narrator = narrator or Silence()
    control.require_live()
    with store.prepare().alone():
        retire(store, control, pipeline.name)
        before = store.settings()
        receipt = export(pipeline, store, registry, narrator)
        if _serves(store, control, receipt):
            return _promotion(receipt, changed=False)
        try:
            served = _serve(pipeline, store, control, receipt, before, narrator)
        except (SextantError, KeyboardInterrupt) as error:
            withdraw(store, control, receipt, str(error) or "interrupted", before)
            raise
        with suppress(SextantError):  # it serves; what is left over goes with the next promotion
            retire(store, control, pipeline.name)
    return _promotion(served, changed=True)


def rollback(store: Store, pipeline: str, control: Control, to: int | None = None) -> Promotion:
    """
    Serve release *to* again, or the one that the serving release replaced.

    ``PromoteError`` where there is none or it never served, ``ReceiptError`` where its receipt was changed.
    """
    control.require_live()
    with store.prepare().alone():
        serving = store.served_release(pipeline)
        receipt = _target(store, pipeline, serving, to)
        retire(store, control, pipeline, besides=[receipt.release])
        before = store.settings()
        try:
            place_again(store, receipt)
            load(store, control, receipt, before)
            wire_front(store, control, receipt)
        except (SextantError, KeyboardInterrupt) as error:
            withdraw(store, control, receipt, str(error), before)
            raise
        with suppress(SextantError):
            retire(store, control, pipeline, besides=[serving or receipt.release])
    return replace(_promotion(receipt, changed=receipt.release != serving), replaced=serving)


def load(store: Store, control: Control, receipt: Receipt, before: Mapping[str, Configs]) -> None:
    """
    Load every model of a release that is not READY yet, members and blocks first, and look each one up.

    One that is READY is loaded again where its configuration is no longer what it was *before*.
    """
    ready = control.ready()
    for model, version in receipt.models:
        changed = model in before and store.twins(model) != before[model]
        if changed or version not in ready.get(model, set()):
            control.load(model)
    if not ready.get(receipt.name):
        control.load(receipt.name)
    control.require_ready([*receipt.models, (receipt.name, 1)])


def _serves(store: Store, control: Control, receipt: Receipt) -> bool:
    """Whether this very release is what store and server serve, and was finished."""
    served = control.release(receipt.pipeline), store.served_release(receipt.pipeline)
    return receipt.outcome == "served" and served == (receipt.release, receipt.release)


def _serve(
    pipeline: Pipeline,
    store: Store,
    control: Control,
    receipt: Receipt,
    before: Mapping[str, Configs],
    narrator: Narrator,
) -> Receipt:
    with narrator.step(f"load {receipt.name}") as step:
        load(store, control, receipt, before)
        count = len(receipt.models)
        step.result(f"{count} model{'s' if count > 1 else ''} READY")
    with narrator.step("prove again through Triton") as step:
        proof = prove_served(store, receipt, control)
        step.result(", ".join(f"{name} |delta| {fact['max_abs_delta']:.1e}" for name, fact in proof.items()))
    with narrator.step("gates") as step:
        results = require_gates(pipeline, receipt, control.url)
        step.result("; ".join(map(str, results)) or "none asked for")
    with narrator.step(f"flip {pipeline.name} to r{receipt.release}") as step:
        gate = tuple(result.to_dict() for result in results)
        served = flip(store, control, replace(receipt, proof=proof, gate=gate))
        step.result(f"r{served.replaced} before" if served.replaced else "its first release")
    return served


def _target(store: Store, pipeline: str, serving: int | None, to: int | None) -> Receipt:
    if serving is None:
        raise PromoteError(f"{pipeline} serves no release from {store.root}, so there is nothing to roll back")
    target = to if to is not None else read_receipt(store, pipeline, serving).replaced
    if target is None:
        raise PromoteError(f"r{serving} is the first release of {pipeline}: there is none before it to go back to")
    receipt = read_receipt(store, pipeline, target)
    if receipt.outcome != "served":
        raise PromoteError(
            f"r{target} of {pipeline} never served (it is {receipt.outcome}): only a release that passed its gates "
            "can be rolled back to"
        )
    return receipt


def _promotion(receipt: Receipt, *, changed: bool) -> Promotion:
    return Promotion(
        pipeline=receipt.pipeline,
        release=receipt.release,
        changed=changed,
        replaced=receipt.replaced,
        receipt=receipt,
    )
