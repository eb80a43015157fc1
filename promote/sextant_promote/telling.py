"""
What is told of a release once it serves, by journal, MLflow and result log, and whoever flipped to it did not tell.

It was killed, or the registry was away. Whoever comes next, a promotion or the pass of a watch, tells the rest.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from sextant.errors import ReceiptError
from sextant_export.journal import TOLD, since_flip
from sextant_export.pipeline import Pipeline
from sextant_export.receipt import read_receipt
from sextant_export.store import Store
from sextant_promote import phases
from sextant_promote.front import serving_receipt
from sextant_promote.lease import lease
from sextant_promote.phases import Candidate
from sextant_promote.registry_record import record
from sextant_promote.site import Site


def complete(pipeline: Pipeline, site: Site) -> None:
    """Tell the rest of the release of *pipeline* that serves; nothing happens, and no lease is taken, where all is."""
    if is_told(site.store, pipeline.name):
        return
    with lease(site.store, pipeline.name):
        receipt = serving_receipt(site.store, pipeline.name)
        if receipt is not None:
            tell_the_rest(Candidate(pipeline=pipeline, receipt=receipt), site)


def is_told(store: Store, pipeline: str) -> bool:
    """Whether journal and MLflow know of the release that serves."""
    serving = store.served_release(pipeline)
    return serving is None or any(event.event == TOLD for event in since_flip(store, pipeline, serving))


def tell_the_rest(candidate: Candidate, site: Site) -> tuple[str, ...]:
    """What is still to be told of a release that serves is told; gives what could not be, in words."""
    store, receipt, before = site.store, candidate.done, None
    if is_told(store, receipt.pipeline):
        return ()
    with suppress(ReceiptError):
        before = read_receipt(store, receipt.pipeline, receipt.replaced) if receipt.replaced else None
    if since_flip(store, receipt.pipeline, receipt.release):
        return record(store, site.registry, receipt, before)
    return phases.record(replace(candidate, serving=before), site).warnings
