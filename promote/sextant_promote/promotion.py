"""
Promotion and rollback: what a Triton serves under a pipeline's public name.

The front ``<pipeline>`` is an ensemble wired to the pinned models of one release. Everything before the flip only
adds to the store and to the server; the flip rewrites that one configuration and loads it again, which takes
milliseconds and touches no request under way. A failure before the flip takes the candidate back out; what is served
never changes.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sextant.errors import ClientError, LoadFailed, ParityError, PromoteError
from sextant_export.narration import Narrator, Silence
from sextant_export.pipeline import Pipeline
from sextant_export.receipt import Receipt, read_receipt, releases, write_receipt
from sextant_export.registry import Registry
from sextant_export.release import export, front_config, place_again
from sextant_export.store import CONFIG, Store
from sextant_promote.control import Control, wait_for_release
from sextant_promote.gate import require_gates
from sextant_promote.served_proof import prove_served


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """*release* serves; *changed* is False where it did already; *replaced* is the release before it."""

    pipeline: str
    release: int
    changed: bool
    replaced: int | None
    receipt: Receipt


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
    receipt = export(pipeline, store, registry, narrator)
    serving = control.release(pipeline.name)
    if serving == receipt.release == store.served_release(pipeline.name):
        return Promotion(
            pipeline=pipeline.name, release=serving, changed=False, replaced=receipt.replaced, receipt=receipt
        )
    try:
        tried = _try(pipeline, store, control, receipt, narrator)
        with narrator.step(f"flip {pipeline.name} to r{receipt.release}") as step:
            served = flip(store, control, tried)
            step.result("first answers under the public name" if serving is None else f"r{serving} before")
    except (PromoteError, ParityError, ClientError) as error:
        withdraw(store, control, receipt, str(error))
        raise
    return Promotion(
        pipeline=pipeline.name, release=served.release, changed=True, replaced=served.replaced, receipt=served
    )


def rollback(store: Store, pipeline: str, control: Control, to: int | None = None) -> Promotion:
    """
    Serve release *to* again, or the one that the serving release replaced.

    ``PromoteError`` where there is none, ``ReceiptError`` where its receipt was changed.
    """
    serving = store.served_release(pipeline)
    if serving is None:
        raise PromoteError(f"{pipeline} serves no release from {store.root}, so there is nothing to roll back")
    target = to if to is not None else read_receipt(store, pipeline, serving).replaced
    if target is None:
        raise PromoteError(f"r{serving} is the first release of {pipeline}: there is none before it to go back to")
    receipt = read_receipt(store, pipeline, target)
    if target != serving or control.release(pipeline) != target:
        place_again(store, receipt)
        load(control, receipt)
        flip(store, control, receipt)
    return Promotion(pipeline=pipeline, release=target, changed=target != serving, replaced=serving, receipt=receipt)


def load(control: Control, receipt: Receipt) -> None:
    """Load every model of a release that is not READY yet, blocks and members first, and look each one up."""
    ready = control.ready()
    for model, version in receipt.models.items():
        if version not in ready.get(model, set()):
            control.load(model)
    if not ready.get(receipt.name):
        control.load(receipt.name)
    control.require_ready({**receipt.models, receipt.name: 1})


def flip(store: Store, control: Control, receipt: Receipt) -> Receipt:
    """Wire the front to *receipt*'s release, then retire what neither it nor its predecessor needs."""
    before = store.config(receipt.pipeline)
    serving = store.served_release(receipt.pipeline)
    store.write_ensemble(front_config(receipt))
    try:
        load_front(store, control, receipt)
    except PromoteError:
        _restore(store, receipt.pipeline, before)
        raise
    served = receipt
    if receipt.outcome != "served":
        replaced = serving if serving != receipt.release else receipt.replaced
        served = receipt.ended("served", replaced=replaced, served_at=now())
        write_receipt(store, served)
    retire(store, control, receipt.pipeline, keep={receipt.release, serving or receipt.release})
    return served


def load_front(store: Store, control: Control, receipt: Receipt) -> None:
    """
    Load the front until the server says that it is wired to this release.

    Triton compares time stamps of a few milliseconds' grain and takes a second change within one grain for none, so a
    load that changed nothing is repeated with a newer stamp.
    """
    for _ in range(5):
        control.load(receipt.pipeline)
        if wait_for_release(control, receipt.pipeline, receipt.release, timeout_s=0.5):
            return
        os.utime(store.models / receipt.pipeline / CONFIG)
    raise LoadFailed(f"{receipt.pipeline} was loaded again and again but does not become r{receipt.release}")


def retire(store: Store, control: Control, pipeline: str, keep: set[int]) -> None:
    """Take the ensembles of all other releases out of server and store, and their versions out of the policies."""
    for release in releases(store, pipeline):
        name = f"{pipeline}.r{release}"
        if release not in keep and (store.models / name).is_dir():
            control.unload(name)
            store.remove(name)
    store.narrow()


def withdraw(store: Store, control: Control, receipt: Receipt, reason: str) -> None:
    """Take a candidate that failed back out of store and server; its receipt stays, refused, with the reason."""
    write_receipt(store, receipt.ended("refused", reason=reason))
    if store.served_release(receipt.pipeline) == receipt.release:
        return
    store.remove(receipt.name)
    store.narrow()
    pinned = store.pinned()
    gone = [model for model in receipt.introduced if model not in pinned]
    for model in gone:
        store.remove(model)
    _unload(control, [receipt.name, *gone])


def now() -> str:
    """This moment, in UTC, to the second."""
    return dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds")


def _try(pipeline: Pipeline, store: Store, control: Control, receipt: Receipt, narrator: Narrator) -> Receipt:
    with narrator.step(f"load {receipt.name}") as step:
        load(control, receipt)
        step.result(f"{len(receipt.models)} models READY")
    with narrator.step("prove again through Triton") as step:
        proof = prove_served(store, receipt, control)
        step.result(", ".join(f"{name} |delta| {fact['max_abs_delta']:.1e}" for name, fact in proof.items()))
    with narrator.step("gates") as step:
        results = require_gates(pipeline, receipt, control.url)
        step.result("; ".join(map(str, results)) or "none asked for")
    return receipt.ended(receipt.outcome, proof=proof, gate=tuple(result.to_dict() for result in results))


def _restore(store: Store, pipeline: str, before: Any | None) -> None:
    if before is None:
        store.remove(pipeline)
    else:
        store.write_ensemble(before)


def _unload(control: Control, models: list[str]) -> None:
    """Unload what the failed candidate left behind, as far as the server still answers."""
    with suppress(ClientError):
        for model in models:
            control.unload(model)


def summary(promotion: Promotion) -> Mapping[str, Any]:
    """The promotion as plain JSON values, for ``--json``."""
    receipt = promotion.receipt
    return {
        "pipeline": promotion.pipeline,
        "release": promotion.release,
        "changed": promotion.changed,
        "replaced": promotion.replaced,
        "members": {name: dict(member) for name, member in receipt.members.items()},
        "proof": dict(receipt.proof),
        "gate": list(receipt.gate),
    }
