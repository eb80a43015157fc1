"""What serves where: the store's word, the server's word, and every release there is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from sextant.errors import ReceiptError
from sextant_export.receipt import pipelines, read_receipt, releases
from sextant_export.store import Store
from sextant_promote.control import Control


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
class PipelineStatus:
    """*promoted* is the release the store's front is wired to, *serving* what the server says; None: none."""

    pipeline: str
    promoted: int | None
    serving: int | None
    releases: tuple[ReleaseStatus, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def status(store: Store, control: Control | None) -> tuple[PipelineStatus, ...]:
    """Every pipeline of *store*, newest release first; *serving* is None without a server to ask."""
    return tuple(
        PipelineStatus(
            pipeline=name,
            promoted=store.served_release(name),
            serving=control.release(name) if control else None,
            releases=tuple(_release(store, name, number) for number in reversed(releases(store, name))),
        )
        for name in pipelines(store)
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
