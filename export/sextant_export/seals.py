"""
Seals: what every file of a release was when it was proven, so that one changed byte shows ever after.

They stand in the receipt, which carries a seal of its own. A seal tells damage and a hand's edit from what Sextant
wrote; a forger writes seals too, and only a signature stops him (:mod:`sextant_export.signing`). Outside stays what
must be free to change: configurations, which all versions of a model share, what Python leaves in ``__pycache__``, and
TensorRT plans that join a version later, which the release that brings them seals.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from sextant.errors import ReceiptError, StoreError
from sextant_export.evidence import proof_path
from sextant_export.journal import pruned
from sextant_export.known_cases import file_sha256
from sextant_export.receipt import Receipt, pipelines, read_receipt, releases
from sextant_export.store import NOTE, PLAN, Store, files_of

MISSING, CHANGED, UNEXPECTED = "missing", "changed", "unexpected"
_OPEN = {"staged", "served"}
_PHRASES = {
    MISSING: "is gone, and belongs to",
    CHANGED: "has other bytes than it had when it was proven for",
    UNEXPECTED: "does not belong to",
}
_RESTORE = "restore it from a backup, or delete the version's folder and its releases' receipts, then promote again"
DO = {MISSING: _RESTORE, CHANGED: _RESTORE, UNEXPECTED: "take it away"}
"""What is to be done about each fault."""


def sealed(store: Store, models: Iterable[tuple[str, int]]) -> dict[str, dict[str, str]]:
    """The SHA-256 of each file of each of *models*: ``{"forest/3": {"model.onnx": "9f86d0..."}}``."""
    return {f"{model}/{version}": _digests(store.models / model / str(version)) for model, version in models}


def with_seals(store: Store, receipt: Receipt) -> Receipt:
    """
    *receipt* with the seals of its versions and of its evidence, which are all in *store*.

    ``StoreError`` where another release sealed a file that they share with other bytes: what the store holds was
    damaged since, and is not sealed once more.
    """
    digests = sealed(store, receipt.models)
    for other in _open_receipts(store):
        for version in digests.keys() & other.digests.keys():
            for file, digest in other.digests[version].items():
                if digests[version].get(file, digest) != digest:
                    raise StoreError(_refusal(store.models / version / file, CHANGED, other))
    return replace(receipt, digests=digests, evidence=file_sha256(proof_path(store, receipt.pipeline, receipt.release)))


def require_sound(store: Store, receipt: Receipt) -> None:
    """
    Raise ``StoreError`` where a file of the release is gone, changed, or none of its own.

    A receipt without seals says nothing about files, and nothing is refused.
    """
    for path, fault in faults(store, receipt.digests):
        raise StoreError(f"{receipt.name} is not loaded: {_refusal(path, fault, receipt)}")


def faults(store: Store, digests: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[Path, str]]:
    """Each file that is not as *digests* say, and whether it is ``missing``, ``changed`` or ``unexpected``."""
    for version, files in digests.items():
        place = store.models / version
        there = {path.relative_to(place).as_posix(): path for path in files_of(place)}
        for file, digest in files.items():
            if file not in there:
                yield place / file, MISSING
            elif file_sha256(there[file]) != digest:
                yield place / file, CHANGED
        yield from ((there[file], UNEXPECTED) for file in there.keys() - files.keys() if not _is_plan(file))


def open_releases(store: Store, receipts: Iterable[Receipt]) -> frozenset[str]:
    """The names of those that serve or may serve again, so that their files must be whole."""
    gone = {f"{pipeline}.r{release}" for pipeline in pipelines(store) for release in pruned(store, pipeline)}
    return frozenset(receipt.name for receipt in receipts if receipt.outcome in _OPEN) - gone


def _digests(place: Path) -> dict[str, str]:
    return {path.relative_to(place).as_posix(): file_sha256(path) for path in files_of(place)}


def _open_receipts(store: Store) -> list[Receipt]:
    receipts = []
    for pipeline in pipelines(store):
        for release in releases(store, pipeline):
            with suppress(ReceiptError):
                receipts.append(read_receipt(store, pipeline, release))
    names = open_releases(store, receipts)
    return [receipt for receipt in receipts if receipt.name in names]


def _refusal(path: Path, fault: str, receipt: Receipt) -> str:
    return f"{path} {_PHRASES[fault]} {receipt.name}: {DO[fault]}"


def _is_plan(file: str) -> bool:
    """Whether *file* is a TensorRT plan or the note of one."""
    return file.removesuffix(NOTE).endswith(PLAN)
