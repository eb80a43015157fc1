"""
The front of a pipeline: the one ensemble under its public name, wired to the pinned steps of the release it serves.

Flipping it is one file and one load call; a failure puts the file back.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from typing import Any

from sextant.errors import LoadFailed, SextantError
from sextant_export.receipt import Receipt, write_receipt
from sextant_export.release import front_config, now
from sextant_export.store import CONFIG, Store
from sextant_promote.control import Control, wait_for_release

ATTEMPTS = 5


def flip(store: Store, control: Control, receipt: Receipt) -> Receipt:
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
        wire_front(store, control, served)
    except BaseException:
        with suppress(SextantError):
            write_receipt(store, receipt)
        raise
    return served


def wire_front(store: Store, control: Control, receipt: Receipt) -> None:
    """Write the front of *receipt*'s release and load it; a failure puts back the one before."""
    before = store.config(receipt.pipeline)
    store.write_ensemble(front_config(receipt))
    try:
        _load(store, control, receipt)
    except BaseException:
        _restore(store, receipt.pipeline, before)
        with suppress(SextantError):
            control.load(receipt.pipeline)
        raise


def _load(store: Store, control: Control, receipt: Receipt) -> None:
    """
    Load the front until the server says that it is wired to this release.

    Triton compares time stamps of a few milliseconds' grain and takes a second change within one grain for none, so a
    load that changed nothing is repeated with a newer stamp.
    """
    for _ in range(ATTEMPTS):
        control.load(receipt.pipeline)
        if wait_for_release(control, receipt.pipeline, receipt.release, timeout_s=0.5):
            return
        os.utime(store.models / receipt.pipeline / CONFIG)
    raise LoadFailed(f"{receipt.pipeline} was loaded again and again but does not become r{receipt.release}")


def _restore(store: Store, pipeline: str, before: Any | None) -> None:
    if before is None:
        store.remove(pipeline)
    else:
        store.write_ensemble(before)
