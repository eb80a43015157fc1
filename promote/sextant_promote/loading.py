"""Loading a release under its own name: every model it is wired to, then itself, on every server."""

from __future__ import annotations

from collections.abc import Container

from sextant_export.placing import refuse_pruned
from sextant_export.receipt import Receipt
from sextant_export.seals import require_sound
from sextant_export.signing import Signing, require_signed
from sextant_export.store import Store
from sextant_promote.fleet import Fleet


def load_models(fleet: Fleet, receipt: Receipt, changed: Container[str] = ()) -> None:
    """
    Load every model of a release that is not READY yet, members and blocks first, and look each one up.

    One that is READY is loaded again where its configuration has *changed*.
    """
    ready = fleet.ready()
    for model, version in receipt.models:
        if model in changed or version not in ready.get(model, set()):
            fleet.load(model)
    for ensemble in receipt.ensembles:
        if not ready.get(ensemble):
            fleet.load(ensemble)
    fleet.require_ready([*receipt.models, *((ensemble, 1) for ensemble in receipt.ensembles)])


def require_loadable(store: Store, receipt: Receipt, signing: Signing | None) -> None:
    """Raise where a release was pruned, its files are not those that were proven, or its signature is not good."""
    refuse_pruned(store, receipt)
    require_sound(store, receipt)
    require_signed(store, receipt, signing)
