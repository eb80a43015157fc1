"""A deployment in MLflow's JSON: what it is, what it is made of, and whether it answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from sextant.errors import ExportError, ReceiptError
from sextant_export.receipt import Receipt, pipelines, read_receipt
from sextant_export.store import Store
from sextant_promote.control import Control

READY, UNAVAILABLE, UNKNOWN = "READY", "UNAVAILABLE", "UNKNOWN"


def deployments(store: Store) -> list[str]:
    """The names of everything that is promoted in *store*."""
    return [name for name in pipelines(store) if store.served_release(name) is not None]


def brief(store: Store, control: Control | None, name: str) -> dict[str, Any]:
    """
    The deployment *name* as the list has it.

    *state* is READY where the server behind *control* serves what the store says; UNKNOWN without a server to ask.
    """
    release = store.served_release(name) or 0
    known = {"name": name, "release": release, "state": _state(store, control, name)}
    try:
        receipt = read_receipt(store, name, release)
    except ReceiptError as error:
        return {**known, "reason": str(error)}
    return {**known, **_made_of(receipt), "triton_model_path": str(store.models / name)}


def whole(store: Store, control: Control | None, name: str) -> dict[str, Any]:
    """The deployment *name* with its members, its proofs and its gates."""
    known = brief(store, control, name)
    if "reason" in known:
        return known
    receipt = read_receipt(store, name, int(known["release"]))
    return {
        **known,
        "created": receipt.created,
        "served_at": receipt.served_at,
        "replaced": receipt.replaced,
        "serving": dict(receipt.spec.get("serving", {})),
        "members": {member: dict(facts) for member, facts in receipt.members.items()},
        "proof": dict(receipt.proof),
        "gate": list(receipt.gate),
    }


def flavor_of(receipt: Receipt) -> str:
    """The flavour that is served, or each member's."""
    return _joined(str(facts["flavor"]) for facts in receipt.members.values())


def single_numbers(store: Store, name: str) -> frozenset[str]:
    """The outputs that are one number a row in the model's own signature; Triton gives each row an axis for it."""
    with suppress(ExportError):
        members = read_receipt(store, name, store.served_release(name) or 0).members.values()
        signatures = [facts["signature"] or {} for facts in members]
        return frozenset(o["tensor"] for each in signatures for o in each.get("outputs", ()) if not o["dims"])
    return frozenset()


def _made_of(receipt: Receipt) -> dict[str, Any]:
    members = receipt.members.values()
    return {
        "version": _joined(str(facts["version"]) for facts in members),
        "flavor": flavor_of(receipt),
        "mlflow_model_uri": _joined(_uri(member) for member in receipt.spec["members"].values()),
    }


def _uri(member: str | Mapping[str, Any]) -> str:
    return member if isinstance(member, str) else str(member["model_uri"])


def _state(store: Store, control: Control | None, name: str) -> str:
    if control is None:
        return UNKNOWN
    return READY if control.release(name) == store.served_release(name) else UNAVAILABLE


def _joined(words: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(words))
