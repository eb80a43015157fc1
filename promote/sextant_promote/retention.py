"""
What stays in the store's repository, and what is taken out of it.

Of a pipeline's releases only the serving one and the one it replaced keep their ensembles there, so that a rollback
needs no loading. All others keep their version directories and their receipts, and come back when asked for. What an
interrupted promotion left behind looks like any other release that is not wanted, and goes the same way.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from contextlib import suppress

from sextant.errors import ExportError, SextantError
from sextant_export.config import candidate_of, release_of
from sextant_export.receipt import Receipt, read_receipt, write_receipt
from sextant_export.store import Store
from sextant_promote.fleet import Fleet
from sextant_promote.shared import Changes, undo


def wanted(store: Store, pipeline: str) -> set[int]:
    """The release that the front is wired to, the one it replaced, and the one that a router tries beside it."""
    front = store.config(pipeline)
    serving = release_of(front) if front else None
    if serving is None:
        return set()
    try:
        replaced = read_receipt(store, pipeline, serving).replaced
    except ExportError:
        replaced = None
    return {release for release in (serving, replaced, candidate_of(front)) if release is not None}


def retire(store: Store, fleet: Fleet, pipeline: str, *, besides: Collection[int] = ()) -> None:
    """
    Take every release of *pipeline* that is not wanted, nor in *besides*, out of the repository and the policies.

    One that some server still sends callers to stays.
    """
    kept = wanted(store, pipeline) | fleet.candidates(pipeline) | set(besides)
    for name, release in present_ensembles(store, pipeline).items():
        if release not in kept:
            with suppress(SextantError):
                fleet.unload(name)
            store.remove(name)
    store.narrow()


def withdraw(store: Store, fleet: Fleet, receipt: Receipt, reason: str, changed: Changes) -> None:
    """
    Take a candidate that failed back out: its ensemble, the models it introduced, the settings it *changed*.

    The receipt of a release that never served stays, refused,
    with the *reason*; one that has served stays what it was.
    """
    retire(store, fleet, receipt.pipeline)
    gone = [] if receipt.outcome == "served" else _remove_introduced(store, receipt)
    undone = [*((fleet.unload, model) for model in gone), *((fleet.load, model) for model in undo(store, changed))]
    for again, model in undone:
        with suppress(SextantError):  # a server that is away keeps no other from the rest
            again(model)
    with suppress(SextantError):
        if store.config(receipt.pipeline) is not None and not fleet.ready().get(receipt.pipeline):
            fleet.load(receipt.pipeline)
    if receipt.outcome != "served":
        with suppress(SextantError):
            write_receipt(store, receipt.ended("refused", reason=reason))


def present_releases(store: Store, pipeline: str) -> set[int]:
    """The releases whose ensembles stand in the repository, whatever their receipts say."""
    return {*present_ensembles(store, pipeline).values()}


def present_ensembles(store: Store, pipeline: str) -> dict[str, int]:
    """The ensembles that are releases of *pipeline*, each with its number; a model may be called like one."""
    name = re.compile(rf"{re.escape(pipeline)}\.r(\d+)(\.cached\.\w+)?")
    matches = (name.fullmatch(model) for model in store.ensembles())
    return {match[0]: int(match[1]) for match in matches if match}


def _remove_introduced(store: Store, receipt: Receipt) -> list[str]:
    pinned = store.pinned()
    gone = [model for model in receipt.introduced if model not in pinned]
    for model in gone:
        store.remove(model)
    return gone
