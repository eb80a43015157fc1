"""Where a release is made and served: the store, the registry, the fleet, and whoever is told about it."""

from __future__ import annotations

from dataclasses import dataclass, field

from sextant_export.narration import Narrator, Silence
from sextant_export.registry import Registry
from sextant_export.signing import Signing
from sextant_export.store import Store
from sextant_promote.fleet import Fleet


@dataclass(frozen=True, kw_only=True)
class Site:
    """What every phase of a promotion works on, the same from the first to the last."""

    store: Store
    fleet: Fleet
    registry: Registry
    narrator: Narrator = field(default_factory=Silence)
    signing: Signing | None = None
