"""
What stays in the store's repository, and what is taken out of it.

Of a pipeline's releases only the serving one and the one it replaced keep their ensembles there, so that a rollback
needs no loading. All others keep their version directories and their receipts, and come back when asked for. What an
interrupted promotion left behind looks like any other release that is not wanted, and goes the same way.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from contextlib import suppress

from sextant.errors import ExportError, SextantError
from sextant_export.config import Configs
from sextant_export.receipt import Receipt, read_receipt, write_receipt
from sextant_export.store import Store
from sextant_promote.control import Control


def wanted(store: Store, pipeline: str) -> set[int]:
    """The release that the front is wired to, and the one it replaced."""
    serving = store.served_release(pipeline)
    if serving is None:
        return set()
    try:
        replaced = read_receipt(store, pipeline, serving).replaced
    except ExportError:
        replaced = None
    return {serving} if replaced is None else {serving, replaced}


def retire(store: Store, control: Control, pipeline: str, *, besides: Collection[int] = ()) -> None:
    """Take every release of *pipeline* that is not wanted, nor in *besides*, out of the repository and the policies."""
    kept = wanted(store, pipeline) | set(besides)
    for release in present_releases(store, pipeline) - kept:
        name = f"{pipeline}.r{release}"
        with suppress(SextantError):
            control.unload(name)
        store.remove(name)
    store.narrow()


def withdraw(store: Store, control: Control, receipt: Receipt, reason: str, before: Mapping[str, Configs]) -> None:
    """
    Take a candidate that failed back out: its ensemble, the models it introduced, the settings it changed.

    *before* are the models' configurations as they were. The receipt of a release that never served stays, refused,
    with the *reason*; one that has served stays what it was.
    """
    retire(store, control, receipt.pipeline)
    gone = [] if receipt.outcome == "served" else _remove_introduced(store, receipt)
    changed = _restore_settings(store, before)
    with suppress(SextantError):
        for model in gone:
            control.unload(model)
        for model in changed:
            control.load(model)
        if store.config(receipt.pipeline) is not None and not control.ready().get(receipt.pipeline):
            control.load(receipt.pipeline)
    if receipt.outcome != "served":
        with suppress(SextantError):
            write_receipt(store, receipt.ended("refused", reason=reason))


def present_releases(store: Store, pipeline: str) -> set[int]:
    """The releases whose ensembles stand in the repository, whatever their receipts say; a model may be so called."""
    name = re.compile(rf"{re.escape(pipeline)}\.r(\d+)")
    matches = (name.fullmatch(model) for model in store.ensembles())
    return {int(match[1]) for match in matches if match}


def _remove_introduced(store: Store, receipt: Receipt) -> list[str]:
    pinned = store.pinned()
    gone = [model for model in receipt.introduced if model not in pinned]
    for model in gone:
        store.remove(model)
    return gone


def _restore_settings(store: Store, before: Mapping[str, Configs]) -> list[str]:
    """Put back what the candidate changed for models that others share; gives their names."""
    present = ((model, store.twins(model)) for model in before)
    restored = {model: before[model].with_versions(configs.versions) for model, configs in present if configs}
    return [model for model, configs in restored.items() if store.write_configs(configs)]
