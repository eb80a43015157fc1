"""What serves where: the store's word, the server's word, and every release there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sextant.errors import ReceiptError
from sextant_export.receipt import pipelines, read_receipt, releases
from sextant_export.store import Store
from sextant_promote.control import Control
from sextant_promote.fallback import Gpu, fallback_of, fallback_on


@dataclass(frozen=True, kw_only=True)
class ReleaseStatus:
    """One release: its *outcome* (``staged``, ``served``, ``refused``, ``edited``), since when, made of what."""

    release: int
    outcome: str
    created: str | None = None
    served_at: str | None = None
    members: Mapping[str, str] = field(default_factory=dict)
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class MemberStatus:
    """
    One member of the promoted release: its *kind* of copy, *why* it is no other, its *plans* with their fingerprints.

    *backend* is what the server serves it by, None without one. *fallback* says why that is not the plans, and
    *fallbacks* the same for each GPU that was asked about, None where its plan serves.
    """

    model: str
    version: int
    kind: str
    why: str | None = None
    plans: tuple[Mapping[str, Any], ...] = ()
    backend: str | None = None
    fallback: str | None = None
    fallbacks: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PipelineStatus:
    """
    *promoted* is the release the store's front is wired to, *serving* what the server says; None: none.

    *members* are those of the promoted release, by their names in the spec.
    """

    pipeline: str
    promoted: int | None
    serving: int | None
    releases: tuple[ReleaseStatus, ...]
    members: Mapping[str, MemberStatus] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def status(store: Store, control: Control | None, gpus: Sequence[Gpu] = ()) -> tuple[PipelineStatus, ...]:
    """
    Every pipeline of *store*, newest release first; *serving* is None without a server to ask.

    *gpus* are kinds of GPU somewhere else: each member says whether a server with one could serve its plans.
    """
    return tuple(
        PipelineStatus(
            pipeline=name,
            promoted=store.served_release(name),
            serving=control.release(name) if control else None,
            releases=tuple(_release(store, name, number) for number in reversed(releases(store, name))),
            members=_members(store, control, name, gpus),
        )
        for name in pipelines(store)
    )


def _members(store: Store, control: Control | None, pipeline: str, gpus: Sequence[Gpu]) -> Mapping[str, MemberStatus]:
    promoted = store.served_release(pipeline)
    try:
        facts = read_receipt(store, pipeline, promoted).members if promoted else {}
    except ReceiptError:  # the release itself says so
        return {}
    return {name: _member(control, fact, gpus) for name, fact in facts.items()}


def _member(control: Control | None, fact: Mapping[str, Any], gpus: Sequence[Gpu]) -> MemberStatus:
    plans = tuple(fact.get("plans", ()))
    backend = control.backend(fact["model"], fact["version"]) if control else None
    return MemberStatus(
        model=fact["model"],
        version=fact["version"],
        kind=fact["kind"],
        why=fact.get("why"),
        plans=plans,
        backend=backend,
        fallback=fallback_of(backend, plans),
        fallbacks={str(gpu): fallback_on(gpu, plans) for gpu in gpus if plans},
    )


def _release(store: Store, pipeline: str, number: int) -> ReleaseStatus:
    try:
        receipt = read_receipt(store, pipeline, number)
    except ReceiptError as error:
        return ReleaseStatus(release=number, outcome="edited", reason=str(error))
    return ReleaseStatus(
        release=number,
        outcome=receipt.outcome,
        created=receipt.created,
        served_at=receipt.served_at,
        members={name: f"{m['model']} version {m['version']}" for name, m in receipt.members.items()},
        reason=receipt.reason,
    )
