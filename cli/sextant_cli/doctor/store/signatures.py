"""Releases that serve, and bear no signature."""

from __future__ import annotations

from collections.abc import Iterator

from sextant_cli.doctor.check import Check
from sextant_cli.doctor.finding import NOTE, WARNING, Finding
from sextant_cli.doctor.store.kept import Kept
from sextant_export.signing import signature_path


def _look(kept: Kept) -> Iterator[Finding]:
    bare = [receipt.name for receipt in kept.serving if not signature_path(kept.store, receipt).is_file()]
    if bare and not kept.signing.required:  # where they are, verification says which is missing
        yield Finding(
            severity=WARNING if kept.signing.public_key else NOTE,
            found=f"{len(bare)} of {len(kept.serving)} releases that serve are not signed: {', '.join(bare)}",
            why="seals tell damage, not forgery: whoever can write in the store writes seals too",
            change="name a private_key under [signing], delete the receipt, and promote again (docs/store.md)",
        )


SIGNATURES = Check("store-signatures", "Are the releases that serve signed?", _look)
