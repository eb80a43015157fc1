"""What the receipts of a store say together, and which of it is to be verified."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from google.protobuf import json_format, text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from sextant.errors import ReceiptError
from sextant_export.receipt import Receipt, pipelines, read_receipt, receipt_path, releases
from sextant_export.seals import open_releases
from sextant_export.store import Store
from sextant_export.unfinished import unfinished
from sextant_export.verification.finding import RECEIPT, Finding

_BROKEN = "was changed after it was written, or is not whole"
_RESTORE = "restore it from a backup, or delete it and promote again"


@dataclass(frozen=True)
class Records:
    """
    All *receipts* of *store* that can be read; verified is *pipeline*, or everything where it is None.

    They are *complete* where every one can be read: only then can it be said of a model that no receipt knows it.
    """

    store: Store
    receipts: tuple[Receipt, ...]
    pipeline: str | None = None
    complete: bool = True

    @property
    def own(self) -> tuple[Receipt, ...]:
        """The receipts to be verified."""
        return tuple(receipt for receipt in self.receipts if self.pipeline in {None, receipt.pipeline})

    @cached_property
    def open(self) -> frozenset[str]:
        """The names of the releases whose files must be whole."""
        return open_releases(self.store, self.receipts)

    @cached_property
    def seals(self) -> Mapping[str, Mapping[str, str]]:
        """The digests of each version's files; a release that is no more counts where no other speaks."""
        closed = {version: digests for each in self.receipts for version, digests in each.digests.items()}
        seals: dict[str, dict[str, str]] = {}
        for receipt in (each for each in self.receipts if each.name in self.open):
            for version, digests in receipt.digests.items():
                seals.setdefault(version, {}).update(digests)
        return {**closed, **seals}

    @cached_property
    def versions(self) -> Mapping[str, tuple[str, ...]]:
        """The names of the releases that each version, like ``forest/3``, belongs to."""
        users: dict[str, list[str]] = {}
        for receipt in self.receipts:
            for model, version in receipt.models:
                users.setdefault(f"{model}/{version}", []).append(receipt.name)
        return {version: tuple(names) for version, names in users.items()}

    @cached_property
    def unfinished(self) -> frozenset[str]:
        """The versions, like ``forest/3``, that a promotion puts into the store, or did when it was killed."""
        return frozenset(f"{model}/{version}" for model, version in unfinished(self.store))

    @cached_property
    def ensembles(self) -> Mapping[str, Receipt]:
        """The release that each Triton model like ``locate.r3`` is."""
        return {name: receipt for receipt in self.receipts for name in receipt.ensembles}

    @cached_property
    def fronts(self) -> frozenset[str]:
        """The public names of pipelines."""
        return frozenset(receipt.pipeline for receipt in self.receipts)

    def concerns(self, model: str) -> bool:
        """Whether the Triton model *model* is to be verified."""
        name = self.pipeline
        return name is None or model == name or model.startswith(f"{name}.") or model in self._members

    def told(self, model: str, twin: int) -> list[dict[str, Any]]:
        """What the receipts say of a configuration of *model*: the main one (0), or its twin (1)."""
        configs = (receipt.configs.get(model, ()) for receipt in self.receipts)
        return [as_dict(text) for text in sorted({texts[twin] for texts in configs if len(texts) > twin})]

    def finding(self, kind: str, path: Path, what: str, do: str) -> Finding:
        """A finding about *path*, which is in the store."""
        return Finding(kind=kind, where=path.relative_to(self.store.root).as_posix(), what=what, do=do)

    @cached_property
    def _members(self) -> frozenset[str]:
        return frozenset(model for receipt in self.own for model, _ in receipt.models)


def read_records(store: Store, pipeline: str | None) -> tuple[Records, list[Finding]]:
    """The receipts that can be read, and a finding for each of the others."""
    read = {(name, release): _read(store, name, release) for name, release in _all(store)}
    receipts = tuple(receipt for receipt in read.values() if receipt is not None)
    records = Records(store, receipts, pipeline, complete=len(receipts) == len(read))
    broken = [key for key, receipt in read.items() if receipt is None and pipeline in {None, key[0]}]
    return records, [records.finding(RECEIPT, receipt_path(store, *key), _BROKEN, _RESTORE) for key in broken]


def as_dict(config: ModelConfig | str) -> dict[str, Any]:
    """A configuration, or its text, as plain values."""
    if isinstance(config, str):
        config = text_format.Parse(config, ModelConfig())
    said: dict[str, Any] = json_format.MessageToDict(config, preserving_proto_field_name=True)
    return said


def _all(store: Store) -> Iterator[tuple[str, int]]:
    return ((name, release) for name in pipelines(store) for release in releases(store, name))


def _read(store: Store, name: str, release: int) -> Receipt | None:
    """The receipt, None where it is not what :func:`~sextant_export.receipt.write_receipt` writes, to the byte."""
    try:
        receipt = read_receipt(store, name, release)
    except (ReceiptError, TypeError, KeyError, ValueError):  # the last three where a hand has sealed it again
        return None
    text = receipt_path(store, name, release).read_text(encoding="utf-8")
    return receipt if text == json.dumps(json.loads(text), indent=2) + "\n" else None
