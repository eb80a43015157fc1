"""
Drift: a server that does not serve what the store says, and how it is brought back.

A server restarts empty, joins, loses a model to somebody's hand, or keeps a copy of the store in which a file has
changed. What the store's front is wired to is what every server has to serve; nothing here asks the registry.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sextant.errors import SextantError
from sextant_export.placing import place_again
from sextant_export.receipt import Receipt
from sextant_export.signing import Signing
from sextant_export.store import Store
from sextant_promote.canary.routing import routed
from sextant_promote.fleet import Fleet, Server
from sextant_promote.front import ENSEMBLE, serving_receipt, wire_front
from sextant_promote.lease import lease
from sextant_promote.loading import load_models, require_loadable
from sextant_promote.promotion import take_back_router


@dataclass(frozen=True, kw_only=True)
class Drift:
    """What is wrong on *server*, in words; *differing* are models of its own copy that differ from the store's."""

    server: Server
    sentence: str
    differing: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.server.url} {self.sentence}"


def repair(
    store: Store, fleet: Fleet, pipeline: str, *, files: bool = False, signing: Signing | None = None
) -> Iterator[str]:
    """
    Bring every server to the release that the store says serves, one after the other; gives what was wrong, in words.

    With *files*, a server's own copy of the store is compared with it as well. A router that a killed trial left as the
    front is taken back first. Nothing is written, and no lease taken, where nothing is wrong. ``LeaseHeld`` while
    somebody else is at work on *pipeline*; ``StoreError`` or ``SignatureError`` where the release may not be loaded.
    What stands in the way of one server is raised after all others were repaired.
    """
    receipt = serving_receipt(store, pipeline)
    if receipt is None or not _anything(store, fleet, receipt, files=files):
        return
    with lease(store, pipeline):
        receipt = serving_receipt(store, pipeline)  # who held the lease until now may have promoted
        if receipt is not None:
            yield from _unrouted(store, fleet, receipt)
            yield from _repaired(store, fleet, receipt, files=files, signing=signing)


def drift_of(store: Store, server: Server, pipeline: str) -> Drift | None:
    """What *server* serves of *pipeline* otherwise than *store* says, None where nothing; nothing is changed."""
    receipt = serving_receipt(store, pipeline)
    return None if receipt is None else _drift(store, server, receipt, files=False)


def _anything(store: Store, fleet: Fleet, receipt: Receipt, *, files: bool) -> bool:
    if routed(store, receipt.pipeline):
        return True
    failed: list[SextantError] = []
    return any(True for _ in _found(store, fleet, receipt, files=files, failed=failed)) or bool(failed)


def _unrouted(store: Store, fleet: Fleet, receipt: Receipt) -> Iterator[str]:
    if take_back_router(store, fleet, receipt.pipeline):
        yield f"the router of a trial that was killed is taken back: r{receipt.release} answers everyone again"


def _repaired(store: Store, fleet: Fleet, receipt: Receipt, *, files: bool, signing: Signing | None) -> Iterator[str]:
    failed: list[SextantError] = []
    for drift in _found(store, fleet, receipt, files=files, failed=failed):
        require_loadable(store, receipt, signing)
        try:
            _mend(store, drift, receipt)
        except SextantError as error:
            failed.append(error)
        else:
            yield f"{drift}: repaired"
    if failed:
        raise failed[0]


def _found(store: Store, fleet: Fleet, receipt: Receipt, *, files: bool, failed: list[SextantError]) -> Iterator[Drift]:
    """The drift of each server that can be looked at; of the others the errors, in *failed*."""
    for server in fleet.servers:
        try:
            drift = _drift(store, server, receipt, files=files)
        except SextantError as error:
            failed.append(error)
            continue
        if drift is not None:
            yield drift


def _drift(store: Store, server: Server, receipt: Receipt, *, files: bool) -> Drift | None:
    ready = server.control.ready()
    ensembles = (*receipt.ensembles, receipt.pipeline)
    wanted = (*receipt.models, *((ensemble, ENSEMBLE) for ensemble in ensembles))
    missing = [f"{model} version {version}" for model, version in wanted if version not in ready.get(model, set())]
    if missing:
        return Drift(server=server, sentence=f"does not serve {', '.join(missing)}")
    release = server.control.release(receipt.pipeline)
    if release != receipt.release:
        return Drift(server=server, sentence=f"serves r{release} of {receipt.pipeline}, and not r{receipt.release}")
    differing = server.copy.differing(store) if files and server.copy else ()
    if differing:
        return Drift(server=server, sentence=f"holds other files of {', '.join(differing)}", differing=differing)
    return None


def _mend(store: Store, drift: Drift, receipt: Receipt) -> None:
    """The copy first, then what is missing, then the front; a model whose files had changed is loaded again."""
    alone = Fleet(store, [drift.server])
    with store.alone():
        place_again(store, receipt)
        alone.align()
    for model in drift.differing:
        if store.config(model) is not None:
            alone.load(model)
    load_models(alone, receipt)
    with store.alone():
        wire_front(store, alone, receipt)
