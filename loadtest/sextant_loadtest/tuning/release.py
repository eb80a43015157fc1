"""The release that is tuned: one that the store has of the same page, whatever its settings were."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace

from sextant.errors import LoadTestError, ReceiptError
from sextant_export.journal import pruned
from sextant_export.pipeline import Pipeline, Serving
from sextant_export.receipt import Receipt, read_receipt, releases
from sextant_export.registry import RegisteredVersion, Registry
from sextant_export.release import identity, missing, resolve
from sextant_export.store import Store

BUILT_IN = ("max_batch_size", "fuse_graph")
"""Settings that a release is built for, and that cannot be given to it afterwards."""


def release_of(page: Pipeline, store: Store, registry: Registry) -> Receipt:
    """
    The newest release in *store* of what *page* now is, but for the settings that are tuned.

    ``LoadTestError`` where there is none: models have to be copied and proven before they are measured.
    """
    resolved = resolve(page, registry)
    for receipt in _whole(page.name, store):
        if _is_of(receipt, page, resolved):
            return receipt
    raise LoadTestError(
        f"{store.root} has no release of {page.name} as its page and the registry now say: make one with "
        f"`sextant promote`, or with `sextant promote --until gate` where it is not to serve yet"
    )


def _whole(pipeline: str, store: Store) -> Iterator[Receipt]:
    """The releases whose files are in *store*, newest first."""
    for number in sorted({*releases(store, pipeline)} - pruned(store, pipeline), reverse=True):
        with suppress(ReceiptError):
            receipt = read_receipt(store, pipeline, number)
            if not missing(store, receipt):
                yield receipt


def _is_of(receipt: Receipt, page: Pipeline, resolved: Mapping[str, RegisteredVersion]) -> bool:
    given = receipt.spec.get("serving")
    serving = Serving(**given or {})
    if any(getattr(serving, name) != getattr(page.serving, name) for name in BUILT_IN):
        return False
    spec = {key: value for key, value in page.spec.items() if key != "serving"}
    like = replace(page, spec=spec if given is None else {**spec, "serving": given})
    return identity(like, resolved) == receipt.identity
