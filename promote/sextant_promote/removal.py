"""
Removal: a pipeline is served no more, and the store holds nothing that only it needed, except its receipts.

The front goes first, then its releases, then the models that nothing else is wired to; each is unloaded before it
leaves the store. Whatever interrupts this, the store loads, and the same call ends the work.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sextant.errors import ModelNotReady, ReceiptError
from sextant_export.journal import now
from sextant_export.problem import guess, is_name
from sextant_export.receipt import Receipt, pipelines, read_receipt, releases, write_receipt
from sextant_export.registry import Registry
from sextant_export.store import Store
from sextant_export.unfinished import clear_unfinished
from sextant_promote.control import Control
from sextant_promote.fleet import Fleet
from sextant_promote.lease import lease
from sextant_promote.registry_record import record_removal
from sextant_promote.retention import present_ensembles

REMOVED = "removed"


@dataclass(frozen=True, kw_only=True)
class Removal:
    """
    *models* went, in this order; none where the pipeline had been removed before.

    *warnings* say what could not be told to the registry.
    """

    pipeline: str
    models: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def remove(store: Store, pipeline: str, fleet: Fleet | Control, registry: Registry | None = None) -> Removal:
    """
    Take *pipeline* out of what *fleet* serves and out of *store*; its receipts stay, as history.

    *registry*, where there is one, is told that the pipeline's versions serve no more. Removing twice changes nothing.
    ``ModelNotReady`` where the store never had such a pipeline.
    """
    require_known(store, pipeline)
    fleet = Fleet.of(store, fleet)
    fleet.require_live()
    with lease(store.prepare(), pipeline), store.alone():
        clear_unfinished(store, pipeline)
        gone = tuple(model for model in _own(store, pipeline) if store.config(model) is not None)
        for model in gone:
            fleet.unload(model)
            store.remove(model)
        store.narrow()
        fleet.align()
        _close_receipts(store, pipeline)
    warnings = record_removal(registry, _receipts(store, pipeline)) if registry else ()
    return Removal(pipeline=pipeline, models=gone, warnings=warnings)


def require_known(store: Store, pipeline: str) -> None:
    """Raise ``ModelNotReady``, with a guess, where *store* never had such a *pipeline*."""
    if not is_name(pipeline) or (not releases(store, pipeline) and store.served_release(pipeline) is None):
        said = guess(pipeline, pipelines(store)) or f"; {store.root} holds no pipeline"
        raise ModelNotReady(f"{pipeline!r} was never promoted from {store.root}{said}")


def _own(store: Store, pipeline: str) -> list[str]:
    """The front, the releases, and the models that only they use, in the order in which they may go."""
    ensembles = [pipeline, *sorted(present_ensembles(store, pipeline))]
    used = {model for receipt in _receipts(store, pipeline) for model, _ in receipt.models}
    used |= {step.model_name for name in ensembles for step in _steps(store, name)}
    return [*ensembles, *sorted(used - {*ensembles} - _of_others(store, pipeline, ensembles))]


def _of_others(store: Store, pipeline: str, ensembles: list[str]) -> set[str]:
    """Models that another pipeline serves, or may be rolled back to."""
    others = [name for name in store.ensembles() if name not in ensembles]
    receipts = (receipt for name in pipelines(store) if name != pipeline for receipt in _receipts(store, name))
    kept = {model for receipt in receipts if _open(receipt) for model, _ in receipt.models}
    return kept | {step.model_name for name in others for step in _steps(store, name)}


def _steps(store: Store, ensemble: str) -> tuple[Any, ...]:
    config = store.config(ensemble)
    return tuple(config.ensemble_scheduling.step) if config is not None else ()


def _receipts(store: Store, pipeline: str) -> Iterator[Receipt]:
    """Those that can be read: an edited one is left as it is."""
    for number in releases(store, pipeline):
        with suppress(ReceiptError):
            yield read_receipt(store, pipeline, number)


def _open(receipt: Receipt) -> bool:
    return receipt.outcome not in {"refused", REMOVED}


def _close_receipts(store: Store, pipeline: str) -> None:
    for receipt in _receipts(store, pipeline):
        if _open(receipt):
            write_receipt(store, receipt.ended(REMOVED, reason=f"removed {now()}"))
