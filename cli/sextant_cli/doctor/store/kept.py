"""A store as its checks see it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from sextant.errors import ReceiptError
from sextant_cli.doctor.check import NotMade
from sextant_export.receipt import Receipt, pipelines, read_receipt
from sextant_export.signing import Signing
from sextant_export.store import CONFIG, Store


@dataclass(frozen=True, kw_only=True)
class Kept:
    """The *store*, and by which keys its releases are *signing* and checked."""

    store: Store
    signing: Signing = field(default_factory=Signing)

    @cached_property
    def paths(self) -> tuple[Path, ...]:
        """The store and all that lies in it, links not followed; ``NotMade`` where this user may not look."""
        root = self.store.root
        walked = os.walk(root, onerror=_refuse)
        return (root, *(Path(folder) / name for folder, folders, names in walked for name in (*folders, *names)))

    @property
    def configs(self) -> list[Path]:
        """The configuration of each model."""
        return [path for path in self.paths if path.name == CONFIG and path.parent.parent == self.store.models]

    @cached_property
    def serving(self) -> tuple[Receipt, ...]:
        """The receipts of the releases that are promoted; of one that was edited nothing is said here."""
        found = []
        for pipeline in pipelines(self.store):
            if release := self.store.served_release(pipeline):
                try:
                    found.append(read_receipt(self.store, pipeline, release))
                except ReceiptError:
                    continue
        return tuple(found)


def _refuse(error: OSError) -> None:
    raise NotMade(f"{error.filename} cannot be looked into: {error.strerror}") from error
