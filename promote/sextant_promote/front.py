"""
The front of a pipeline: the one ensemble under its public name, wired to the pinned steps of the release it serves.

Flipping it is one file and one load call; a failure puts the file back.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from typing import Any

from sextant.errors import LoadFailed, ReceiptError, SextantError
from sextant_export.config import release_of
from sextant_export.journal import now
from sextant_export.receipt import Receipt, read_receipt, write_receipt
from sextant_export.release import front_config
from sextant_export.store import Store
from sextant_promote.fleet import Fleet

ENSEMBLE = 1
ATTEMPTS, PATIENCE_S = 5, 2.0


def serving_receipt(store: Store, pipeline: str) -> Receipt | None:
    """The receipt of the release that the store's front is wired to; None where there is none, or it was changed."""
    release = store.served_release(pipeline)
    try:
        return read_receipt(store, pipeline, release) if release is not None else None
    except ReceiptError:
        return None


def flip(store: Store, fleet: Fleet, receipt: Receipt) -> Receipt:
    """
    Wire the front to a release that is loaded and passed its gates; gives the receipt as it now stands.

    What it replaces is written down first: whatever interrupts the flip, the way back is known. A failure puts both
    front and receipt back.
    """
    replaced = store.served_release(receipt.pipeline)
    served = receipt.ended("served", served_at=now(), reason=None)
    if replaced != receipt.release:
        served = replace(served, replaced=replaced)
    write_receipt(store, served)
    try:
        wire_front(store, fleet, served)
    except BaseException:
        with suppress(SextantError):
            write_receipt(store, receipt)
        raise
    return served


def wire_front(store: Store, fleet: Fleet, receipt: Receipt) -> None:
    """Write the front of *receipt*'s release and load it everywhere; a failure anywhere puts back the one before."""
    before = store.config(receipt.pipeline)
    store.write_ensemble(front_config(receipt))
    try:
        load_front(fleet, receipt)
    except BaseException:
        turn_back(store, fleet, receipt.pipeline, before)
        raise


def load_front(fleet: Fleet, receipt: Receipt, version: int = ENSEMBLE) -> None:
    """
    Load the front until every server says that it serves this *version* of it, and is wired to this release.

    Triton compares time stamps of a few milliseconds' grain and takes a second change within one grain for none, so a
    load that changed nothing is repeated with a newer stamp.
    """
    for _ in range(ATTEMPTS):
        fleet.load(receipt.pipeline)
        if _wired(fleet, receipt, version):
            return
        fleet.touch(receipt.pipeline)
    kind = "" if version == ENSEMBLE else "the router of "
    raise LoadFailed(f"{receipt.pipeline} was loaded again and again but does not become {kind}r{receipt.release}")


def _wired(fleet: Fleet, receipt: Receipt, version: int) -> bool:
    """Whether every server's front becomes this, within ``PATIENCE_S``."""
    deadline = time.monotonic() + PATIENCE_S
    while fleet.ready().get(receipt.pipeline) != {version} or fleet.release(receipt.pipeline) != receipt.release:
        if time.monotonic() > deadline:
            return False
    return True


def turn_back(store: Store, fleet: Fleet, pipeline: str, before: Any | None) -> None:
    """The front as it was, on every server that answers; one that is away finds it in the store when it is back."""
    release = None if before is None else release_of(before)
    if before is None:
        store.remove(pipeline)
    else:
        store.write_ensemble(before)
    for _ in range(ATTEMPTS):
        with suppress(SextantError):
            fleet.unload(pipeline) if before is None else fleet.load(pipeline)
        if set(fleet.answering(lambda control: control.release(pipeline))) <= {release}:
            return
        if before is not None:
            with suppress(SextantError):
                fleet.touch(pipeline)
