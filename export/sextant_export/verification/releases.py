"""Each release by itself: its seals, the evidence of its proof, its signature."""

from __future__ import annotations

from collections.abc import Iterator

from sextant.errors import SignatureError
from sextant_export.evidence import proof_path
from sextant_export.known_cases import file_sha256
from sextant_export.receipt import Receipt, receipt_path
from sextant_export.seals import CHANGED, MISSING
from sextant_export.signing import Signing, check_signature, lasting, lasting_path, signature_path
from sextant_export.verification.finding import SIGNATURE, UNCHECKED, UNSEALED, Finding
from sextant_export.verification.records import Records

_AGAIN = "delete the release's receipt and promote again"
_RESTORE = f"restore it from a backup, or {_AGAIN}"


def check_releases(records: Records, signing: Signing | None) -> Iterator[Finding]:
    """What is wrong with any release to be verified, beside its models."""
    for receipt in records.own:
        yield from _seals(records, receipt)
        yield from _evidence(records, receipt)
        yield from _signature(records, receipt, signing or Signing())


def _seals(records: Records, receipt: Receipt) -> Iterator[Finding]:
    if receipt.name in records.open and receipt.models and not receipt.digests:
        path = receipt_path(records.store, receipt.pipeline, receipt.release)
        yield records.finding(UNSEALED, path, "seals no file, because it was written before there were seals", _AGAIN)


def _evidence(records: Records, receipt: Receipt) -> Iterator[Finding]:
    path = proof_path(records.store, receipt.pipeline, receipt.release)
    if receipt.evidence is None:
        return
    if path.is_file() and file_sha256(path) != receipt.evidence:
        yield records.finding(CHANGED, path, f"has other bytes than the evidence of {receipt.name}", _RESTORE)
    elif receipt.name in records.open and not path.is_file():
        yield records.finding(MISSING, path, f"is gone, the evidence of {receipt.name}", _RESTORE)


def _signature(records: Records, receipt: Receipt, signing: Signing) -> Iterator[Finding]:
    path = signature_path(records.store, receipt)
    if path.is_file():
        yield from _lasting(records, receipt)
    elif not signing.required or receipt.name not in records.open:
        return
    if signing.public_key is None:
        yield records.finding(UNCHECKED, path, "was not checked", "name the public_key under [signing] in sextant.toml")
        return
    try:
        check_signature(records.store, receipt, signing.public_key)
    except SignatureError as error:
        what = f"does not sign {receipt.name} ({error})"
        yield records.finding(SIGNATURE, path, what, f"find out why, then {_AGAIN}")


def _lasting(records: Records, receipt: Receipt) -> Iterator[Finding]:
    """The part of the receipt that is signed, as others read it."""
    path = lasting_path(records.store, receipt)
    if not path.is_file():
        yield records.finding(MISSING, path, f"is gone, of which {receipt.name} has a signature", _RESTORE)
    elif path.read_bytes() != lasting(receipt):
        yield records.finding(CHANGED, path, f"says otherwise than the receipt of {receipt.name}", _RESTORE)
