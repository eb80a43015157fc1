"""
The history of a pipeline: what its receipts say each release is, and what its journal says was done with it.

A receipt knows when its release was made and when it served last; only the journal knows of rollbacks, of canaries and
of what was pruned. Releases older than the journal have their moments from the receipts alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from sextant.errors import ReceiptError
from sextant_export.journal import FLIPS, MADE, PRUNED, SERVED, TOLD, Event, read_journal
from sextant_export.receipt import Receipt, read_receipt, receipt_path, releases
from sextant_export.store import Store
from sextant_promote.removal import require_known


@dataclass(frozen=True, kw_only=True)
class PastRelease:
    """
    One release: its *outcome*, as in its receipt, ``edited`` or ``gone``, and whether it is *pruned*.

    *members* give each member's registered model and MLflow version by its name in the spec, *gate* the results of its
    gates, *reason* why it was refused or cannot be read, *events* what happened to it, oldest first.
    """

    release: int
    outcome: str
    pruned: bool = False
    created: str | None = None
    served_at: str | None = None
    replaced: int | None = None
    members: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    gate: tuple[Mapping[str, Any], ...] = ()
    reason: str | None = None
    events: tuple[Event, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**vars(self), "gate": list(self.gate), "events": [event.to_dict() for event in self.events]}


@dataclass(frozen=True, kw_only=True)
class History:
    """Every release of *pipeline*, the newest first; *serving* is the one its front is wired to, *since* when."""

    pipeline: str
    serving: int | None
    since: str | None
    releases: tuple[PastRelease, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**vars(self), "releases": [release.to_dict() for release in self.releases]}


def history(store: Store, pipeline: str) -> History:
    """Every release that *pipeline* had in *store*; ``ModelNotReady`` where there never was such a pipeline."""
    require_known(store, pipeline)
    journal = read_journal(store, pipeline)
    serving = store.served_release(pipeline)
    numbers = sorted({*releases(store, pipeline), *(event.release for event in journal)}, reverse=True)
    return History(
        pipeline=pipeline,
        serving=serving,
        since=since(store, pipeline, serving) if serving else None,
        releases=tuple(_past(store, pipeline, number, journal) for number in numbers),
    )


def since(store: Store, pipeline: str, release: int) -> str | None:
    """When *release* was last flipped to, forwards or back, by journal and receipt; None: nobody knows."""
    journal = read_journal(store, pipeline)
    flips = [event.at for event in journal if event.event in FLIPS and event.release == release]
    with suppress(ReceiptError):
        flips.append(read_receipt(store, pipeline, release).served_at or "")
    return max(flips, default="") or None


def _past(store: Store, pipeline: str, number: int, journal: Sequence[Event]) -> PastRelease:
    noted = [event for event in journal if event.release == number and event.event != TOLD]
    gone = any(event.event == PRUNED for event in noted)
    try:
        receipt = read_receipt(store, pipeline, number)
    except ReceiptError as error:
        lost = "edited" if receipt_path(store, pipeline, number).is_file() else "gone"
        return PastRelease(release=number, outcome=lost, pruned=gone, reason=str(error), events=tuple(noted))
    return PastRelease(
        release=number,
        outcome=receipt.outcome,
        pruned=gone,
        created=receipt.created,
        served_at=receipt.served_at,
        replaced=receipt.replaced,
        members={name: {"model": m["model"], "version": m["version"]} for name, m in receipt.members.items()},
        gate=tuple(receipt.gate),
        reason=receipt.reason,
        events=tuple(sorted([*_of_receipt(receipt, noted), *noted], key=lambda event: event.at)),
    )


def _of_receipt(receipt: Receipt, noted: Sequence[Event]) -> Iterator[Event]:
    """What the receipt knows and the journal does not."""
    known = {event.event for event in noted}
    if MADE not in known:
        yield Event(at=receipt.created, event=MADE, release=receipt.release)
    if SERVED not in known and receipt.served_at is not None:
        facts = {"replaced": receipt.replaced} if receipt.replaced else {}
        yield Event(at=receipt.served_at, event=SERVED, release=receipt.release, facts=facts)
