"""
Signatures of releases, which anyone can check without Sextant.

A seal tells damage from what Sextant wrote; a signature tells a forger from whoever holds the private key. Signed are
the digests of all that a release is made of, by path in the store: the files of its versions, its evidence, and
``r<N>.lasting.json``, the receipt without what may still become of the release. So a flip, a rollback, or a TensorRT
plan that joins a version leave the signature valid. It stands in ``r<N>.sig``, a Sigstore bundle.

The digests are those that the seals took; whether the files still have them, :mod:`sextant_export.seals` says.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from types import ModuleType
from typing import Any

from sextant.errors import MissingExtra, SignatureError
from sextant_export.evidence import proof_path
from sextant_export.receipt import Receipt, receipt_path
from sextant_export.store import Store, sync, writing

BECOMES = frozenset({"outcome", "replaced", "served_at", "proof", "gate", "canary", "reason"})
"""The fields of a receipt that say what became of the release; all others last."""

_DEFAULTS: Mapping[str, Any] = {
    field.name: field.default if field.default_factory is MISSING else field.default_factory()
    for field in fields(Receipt)
}


@dataclass(frozen=True, kw_only=True)
class Signing:
    """
    PEM files of an elliptic key: the *private_key* signs releases, the *public_key* checks them.

    Where signatures are *required*, no release is loaded whose signature is missing or does not fit.
    """

    private_key: Path | None = None
    public_key: Path | None = None
    required: bool = False


def require_signer(signing: Signing | None) -> None:
    """
    Raise before a release is made that could not be signed.

    ``SignatureError`` where the private key is not there, or none is named and signatures are required;
    ``MissingExtra`` where nothing can sign with it.
    """
    if signing is None:
        return
    if signing.private_key is not None:
        _bundles()
        if not signing.private_key.is_file():
            raise SignatureError(f"there is no {signing.private_key}, which [signing] names as private_key")
    elif signing.required:
        raise SignatureError(
            "signatures are required, and [signing] names no private_key, so that a release made here could not be "
            "loaded: name it in sextant.toml, or promote where the key is"
        )


def sign_release(store: Store, receipt: Receipt, signing: Signing) -> Path | None:
    """
    Sign a release that was made just now; gives the signature's file, None where *signing* has no private key.

    Not for a release that lay in the store, where others may have been: to sign it, make it again. ``SignatureError``
    where the key cannot sign.
    """
    if signing.private_key is None:
        return None
    path = signature_path(store, receipt)
    partial = path.with_name(f".{path.name}.partial")
    with writing(path):
        _put(lasting(receipt), lasting_path(store, receipt))
        _bundles().sign(store.root, signed_digests(store, receipt), signing.private_key, partial)
        sync(partial)
        partial.replace(path)
    return path


def require_signed(store: Store, receipt: Receipt, signing: Signing | None) -> None:
    """
    Raise ``SignatureError`` where *signing* requires a signature of the release and it is missing or does not fit.

    No file of a model is read: :func:`~sextant_export.seals.require_sound` does that.
    """
    if signing is None or not signing.required:
        return
    if signing.public_key is None:
        raise SignatureError("signatures are required, and [signing] names no public_key: name it in sextant.toml")
    try:
        check_signature(store, receipt, signing.public_key)
    except SignatureError as error:
        raise SignatureError(
            f"{receipt.name} is not loaded, because signatures are required: {error}; restore the receipt with its "
            f"signature, or delete {receipt_path(store, receipt.pipeline, receipt.release)} and promote again"
        ) from error


def check_signature(store: Store, receipt: Receipt, public_key: Path) -> None:
    """Raise ``SignatureError`` where the release has no signature that fits by *public_key*."""
    path = signature_path(store, receipt)
    if not path.is_file():
        raise SignatureError(f"there is no {path}")
    _bundles().check(store.root, signed_digests(store, receipt), public_key, path)


def signed_digests(store: Store, receipt: Receipt) -> dict[str, str]:
    """The SHA-256 of each file that a signature of the release covers, by path in the store."""
    models = store.models.relative_to(store.root).as_posix()
    digests = {
        f"{models}/{version}/{file}": digest
        for version, files in receipt.digests.items()
        for file, digest in files.items()
    }
    beside = {lasting_path(store, receipt): hashlib.sha256(lasting(receipt)).hexdigest()}
    if receipt.evidence is not None:
        beside[proof_path(store, receipt.pipeline, receipt.release)] = receipt.evidence
    return {**digests, **{path.relative_to(store.root).as_posix(): digest for path, digest in beside.items()}}


def lasting(receipt: Receipt) -> bytes:
    """
    What the release is made of, as JSON: the receipt's fields but those that say what became of it.

    A field that has its default is left out, so that one more in a later Sextant changes nothing that was signed.
    """
    content = {name: value for name, value in asdict(receipt).items() if value != _DEFAULTS[name]}
    said = {name: value for name, value in json.loads(json.dumps(content)).items() if name not in BECOMES}
    return json.dumps(said, sort_keys=True, indent=2).encode() + b"\n"


def signature_path(store: Store, receipt: Receipt) -> Path:
    """Where the signature of a release stands, beside its receipt."""
    return receipt_path(store, receipt.pipeline, receipt.release).with_suffix(".sig")


def lasting_path(store: Store, receipt: Receipt) -> Path:
    """Where the part of a receipt that is signed stands."""
    return receipt_path(store, receipt.pipeline, receipt.release).with_suffix(".lasting.json")


def _put(content: bytes, path: Path) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(content)
    sync(partial)
    partial.replace(path)


def _bundles() -> ModuleType:
    try:
        from sextant_export import bundles
    except ImportError as error:
        raise MissingExtra("signing", "signing releases, and checking their signatures,") from error
    return bundles
