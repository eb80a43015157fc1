"""
Reconciliation: one pass over one pipeline, after which what serves is what the registry's aliases say, or it is known
why not.

First what serves is kept in order, for which the registry is not needed. Then the aliases are looked up. The set of
versions that they mean is one release, by its identity: it serves already, or it served before and is rolled back to,
or it is promoted. A set that was refused once is not tried again before it changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sextant.errors import (
    AccessDenied,
    AddressRefused,
    DeadlineExceeded,
    LeaseHeld,
    MissingExtra,
    ModelNotReady,
    ReceiptError,
    RegistryUnreachable,
    ServerBusy,
    ServerError,
    ServerUnreachable,
    SextantError,
    SignatureError,
    StoreError,
)
from sextant_export.pipeline import Pipeline
from sextant_export.receipt import Receipt
from sextant_export.release import find_release, identity, resolve
from sextant_promote.drift import repair
from sextant_promote.front import serving_receipt
from sextant_promote.live import log_known_cases
from sextant_promote.promotion import Promotion, promote, rollback
from sextant_promote.refusals import count_loss, forget, refused, remember
from sextant_promote.site import Site
from sextant_promote.telling import complete

REPAIRED, PROMOTED, ROLLED_BACK, REFUSED, WARNED = "repaired", "promoted", "rolled back", "refused", "warned"

PASSING = (
    RegistryUnreachable,
    ServerUnreachable,
    DeadlineExceeded,
    ServerBusy,
    AccessDenied,
    StoreError,
    ServerError,
    SignatureError,
    MissingExtra,
    ModelNotReady,
    AddressRefused,
    ReceiptError,
)
"""Errors of the place where a release is made and served, and not of what it is made from: they pass."""

LOSSES = 3
"""So often a server may stop serving a candidate while it is tried: it was started again, or the candidate kills it."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a pass did, in one word (*event*) and one *sentence*; *release* is the one that serves afterwards."""

    pipeline: str
    event: str
    sentence: str
    release: int | None = None


def keep(pipeline: str, site: Site, *, files: bool = False) -> Iterator[Outcome]:
    """Bring every server to what the store says serves."""
    for sentence in repair(site.store, site.fleet, pipeline, files=files, signing=site.signing):
        release = site.store.served_release(pipeline)
        yield Outcome(pipeline=pipeline, event=REPAIRED, sentence=sentence, release=release)


def aim(pipeline: Pipeline, site: Site, **making: Any) -> Iterator[Outcome]:
    """
    Bring what the store says serves to what the registry says; gives what it did, nothing where all was so already.

    *making* are options of :func:`~sextant_promote.promotion.promote`. Raises what passes (``PASSING``, ``LeaseHeld``),
    and what stands in the way of knowing what the aliases mean (``RegistryError``, ``PipelineError``).
    """
    store, name = site.store, pipeline.name
    wanted = identity(pipeline, resolve(pipeline, site.registry))
    serving = serving_receipt(store, name)
    if serving is not None and serving.identity == wanted:
        forget(store, name, wanted)
        complete(pipeline, site)
    elif (reason := refused(store, name, wanted)) is not None:
        yield _refused(name, serving, reason)
    else:
        site.fleet.require_live()
        try:
            yield from _tried(pipeline, site, serving, wanted, making)
        except SextantError as error:
            if _passes(error, site, name, wanted) or _moved(pipeline, site, wanted):
                raise
            remember(store, name, wanted, str(error))
            yield _refused(name, serving, str(error))


def _passes(error: SextantError, site: Site, pipeline: str, wanted: str) -> bool:
    """Whether the same try may succeed later: one that was too slow, only where the servers are it without it."""
    if isinstance(error, DeadlineExceeded | ServerBusy):
        site.fleet.require_live()
        return False
    if isinstance(error, ModelNotReady):
        return count_loss(site.store, pipeline, wanted) < LOSSES
    return isinstance(error, (*PASSING, LeaseHeld))


def _tried(
    pipeline: Pipeline, site: Site, serving: Receipt | None, wanted: str, making: Mapping[str, Any]
) -> Iterator[Outcome]:
    """A release that served before passed its gates then; any other has to show what it is."""
    earlier = find_release(site.store, pipeline.name, wanted)
    if earlier is not None and earlier.outcome == "served":
        yield from _again(pipeline, site, serving, earlier)
        return
    fleet, signing = site.fleet, site.signing
    done = promote(pipeline, site.store, site.registry, fleet, site.narrator, signing=signing, **making)
    if done.changed:
        yield _outcome(done)
        yield from _warnings(done.pipeline, done.release, done.warnings)


def _moved(pipeline: Pipeline, site: Site, wanted: str) -> bool:
    """Whether the aliases mean something else by now: what was found out since may be of that."""
    return identity(pipeline, resolve(pipeline, site.registry)) != wanted


def _again(pipeline: Pipeline, site: Site, serving: Receipt | None, earlier: Receipt) -> Iterator[Outcome]:
    """The release that served before; what a promotion tells registry and result log is told here."""
    store, registry = site.store, site.registry
    done = rollback(
        store,
        pipeline.name,
        site.fleet,
        earlier.release,
        registry=registry,
        signing=site.signing,
        unless=lambda: _moved(pipeline, site, earlier.identity),
    )
    if not done.changed:  # another watch was faster, or the alias
        return
    yield _outcome(done, backwards=serving is not None and earlier.release < serving.release)
    unlogged = log_known_cases(pipeline, store, registry, done.receipt, *site.fleet.urls)
    yield from _warnings(done.pipeline, done.release, done.warnings + unlogged)


def _warnings(pipeline: str, release: int, sentences: Iterable[str]) -> Iterator[Outcome]:
    return (Outcome(pipeline=pipeline, event=WARNED, sentence=each, release=release) for each in sentences)


def _outcome(done: Promotion, *, backwards: bool = False) -> Outcome:
    members = ", ".join(f"{m['model']} version {m['version']}" for m in done.receipt.members.values())
    before = f", r{done.replaced} before" if done.replaced else ""
    return Outcome(
        pipeline=done.pipeline,
        event=ROLLED_BACK if backwards else PROMOTED,
        sentence=f"r{done.release} serves{before}: {members}",
        release=done.release,
    )


def _refused(pipeline: str, serving: Receipt | None, reason: str) -> Outcome:
    """The same words whether it was refused now or before, so that it is said once."""
    release = serving.release if serving else None
    still = f"r{release} serves on" if release else "nothing serves yet"
    return Outcome(
        pipeline=pipeline,
        event=REFUSED,
        sentence=f"not tried again until it changes, {still}: {reason}",
        release=release,
    )
