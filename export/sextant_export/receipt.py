"""
A receipt: all that makes a release what it is, in one sealed JSON file.

``releases/<pipeline>/r<N>.json`` is written whole and carries a *seal*, the SHA-256 of its own canonical JSON. The seal
is no signature: it tells a hand's edit or a flipped bit from what Sextant wrote, not a forger from a friend.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from sextant.errors import ReceiptError, StoreError
from sextant_export.store import Store, sync, writing

FORMAT = 2
_NAME = re.compile(r"r([1-9][0-9]*)\.json")


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """
    One release of one pipeline.

    *identity* is the digest of everything the release is made from: equal identities are the same release.
    *members* gives for each member its registered model, version, run, digests and proof. *models* are the Triton
    models and versions that *ensemble*, a configuration as text, is wired to, *introduced* those of them that the store
    did not have before. *configs* are these models' configurations, each with its twin where it has one, as text:
    later releases may have changed what all versions of a model share. *fused* says, where the spec asks for one graph,
    which steps it holds, how it was proven, and why others were left. *digests* are the seals of the files of each of
    *models* (:mod:`sextant_export.seals`), and *evidence* is the seal of the file of evidence; of a receipt without
    them nothing can be checked. *cached* says that equal requests may be answered from Triton's response cache.
    *outcome* is ``staged``, ``served``, ``refused`` or ``removed``; *replaced* is the release before. *proof*, *gate*
    and *canary* are what was found of it through Triton.
    """

    pipeline: str
    release: int
    identity: str
    created: str
    spec: Mapping[str, Any]
    members: Mapping[str, Mapping[str, Any]]
    blocks: Mapping[str, Mapping[str, Any]]
    calibration: Mapping[str, Any] | None
    models: tuple[tuple[str, int], ...]
    introduced: tuple[str, ...]
    ensemble: str
    tools: Mapping[str, str]
    configs: Mapping[str, Sequence[str]] = field(default_factory=dict)
    fused: Mapping[str, Any] | None = None
    outcome: str = "staged"
    replaced: int | None = None
    served_at: str | None = None
    proof: Mapping[str, Any] = field(default_factory=dict)
    gate: tuple[Mapping[str, Any], ...] = ()
    canary: Mapping[str, Any] | None = None
    reason: str | None = None
    digests: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    evidence: str | None = None
    cached: bool = False
    format: int = FORMAT

    @property
    def name(self) -> str:
        """The Triton model of this release: ``locate.r3``."""
        return f"{self.pipeline}.r{self.release}"

    @property
    def ensembles(self) -> tuple[str, ...]:
        """The Triton models that are this release: ``locate.r3``, and the one that caches answers, where one does."""
        return (self.name, f"{self.name}.cached.{self.identity[:12]}") if self.cached else (self.name,)

    def ended(self, outcome: str, **facts: Any) -> Receipt:
        """This release with what became of it."""
        return replace(self, outcome=outcome, **facts)


def write_receipt(store: Store, receipt: Receipt) -> Path:
    """Write *receipt*, sealed, in one step."""
    content = json.loads(json.dumps(asdict(receipt)))
    path = receipt_path(store, receipt.pipeline, receipt.release)
    partial = path.with_name(f".{path.name}.partial")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps({**content, "seal": seal(content)}, indent=2) + "\n", encoding="utf-8")
        sync(partial)
        partial.replace(path)
    return path


def read_receipt(store: Store, pipeline: str, release: int) -> Receipt:
    """
    The receipt of ``r<release>``.

    :class:`~sextant.errors.ReceiptError` where it is unreadable or its seal does not fit its content.
    """
    path = receipt_path(store, pipeline, release)
    content = _parsed(path)
    if content.pop("seal", None) != seal(content):
        raise ReceiptError(
            f"{path} was changed after it was written (its seal does not fit), so nothing is loaded from it: "
            "restore the file, or delete it and run `sextant promote` to make the release again"
        )
    lists = {"gate": tuple(content["gate"]), "introduced": tuple(content["introduced"])}
    return Receipt(**{**content, **lists, "models": tuple((model, version) for model, version in content["models"])})


def releases(store: Store, pipeline: str) -> list[int]:
    """The numbers of all releases of *pipeline*, oldest first."""
    folder = store.releases / pipeline
    names = (_NAME.fullmatch(path.name) for path in folder.iterdir()) if folder.is_dir() else ()
    return sorted(int(match[1]) for match in names if match)


def pipelines(store: Store) -> list[str]:
    """The pipelines that have a release in *store*."""
    folders = store.releases.iterdir() if store.releases.is_dir() else ()
    return sorted(folder.name for folder in folders if folder.is_dir() and releases(store, folder.name))


def receipt_path(store: Store, pipeline: str, release: int) -> Path:
    """Where the receipt of ``r<release>`` stands."""
    return store.releases / pipeline / f"r{release}.json"


def seal(content: Mapping[str, Any]) -> str:
    """
    SHA-256 of the canonical JSON of *content*.

    >>> seal({"b": 1, "a": [2]}) == seal({"a": [2], "b": 1})
    True
    """
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _parsed(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ReceiptError(f"there is no {path}: `sextant status` lists the releases there are") from error
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise ReceiptError(f"{path} is not whole JSON any more ({error}): restore it, or delete it") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ReceiptError(
            f"{path}: expected a receipt of format {FORMAT}: it was written by another version of Sextant"
        )
    return content
