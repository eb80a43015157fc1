"""Whether a store is what its receipts say, by ``sextant verify``; and links that lead out of it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from types import MappingProxyType

from sextant_cli.doctor.check import Check
from sextant_cli.doctor.finding import CRITICAL, NOTE, WARNING, Finding
from sextant_cli.doctor.store.kept import Kept
from sextant_export.seals import CHANGED, MISSING, UNEXPECTED
from sextant_export.verification import verify
from sextant_export.verification.finding import CONFIGURATION, LEFT, RECEIPT, SIGNATURE, UNCHECKED, UNSEALED

MEANS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        RECEIPT: (CRITICAL, "nobody can say what the release is made of"),
        SIGNATURE: (CRITICAL, "somebody else than the holder of the key made this release"),
        CHANGED: (CRITICAL, "what is served is not what was proven"),
        MISSING: (WARNING, "the release cannot be loaded again, nor gone back to"),
        CONFIGURATION: (WARNING, "a server serves otherwise than was released"),
        UNEXPECTED: (WARNING, "Triton loads what stands in models/, whoever put it there"),
        UNSEALED: (NOTE, "a changed byte in it would not show"),
        UNCHECKED: (NOTE, "a forged signature would not show"),
        LEFT: (NOTE, "a promotion is at work, or was killed; it takes up room"),
    }
)
"""How bad each kind of finding of ``sextant verify`` is, and what comes of it."""


def _sound(kept: Kept) -> Iterator[Finding]:
    found = verify(kept.store, signing=kept.signing)
    for kind, group in groupby(found, key=lambda finding: finding.kind):
        first, *others = group
        severity, why = MEANS[kind]
        more = f"; {len(others)} more {kind}: `sextant verify --store {kept.store.root}` lists them" if others else ""
        yield Finding(severity=severity, found=f"{first.where} {first.what}{more}", why=why, change=first.do)


def _links(kept: Kept) -> Iterator[Finding]:
    root = os.path.realpath(kept.store.root)
    for path in sorted(kept.paths):
        real = Path(os.path.realpath(path))
        if path.is_symlink() and not real.is_relative_to(root):
            yield Finding(
                severity=WARNING,
                where=str(path),
                found=f"a link leads out of the store, to {real}",
                why="what is served can be changed from outside, by whoever may write there, and no seal covers it",
                change="put the file itself there, and verify",
            )


SOUND = Check("store-sound", "Is every file what its receipt says; are releases sealed; was work interrupted?", _sound)
LINKS = Check("store-links", "Do links lead out of the store?", _links)
