"""Keys that are there, and not used."""

from __future__ import annotations

from collections.abc import Iterator

from sextant_cli.doctor.check import Check
from sextant_cli.doctor.finding import WARNING, Finding
from sextant_cli.doctor.settings.told import Told


def _look(told: Told) -> Iterator[Finding]:
    signing = told.settings.signing
    for name, path in (("private_key", signing.private_key), ("public_key", signing.public_key)):
        if path and not path.is_file():
            yield Finding(
                severity=WARNING,
                found=f"there is no {path}, which [signing] names as {name}",
                why="no release can be made" if name == "private_key" else "no signature can be checked",
                change=f"put the key there, or name another {name}",
            )
    if signing.public_key and not signing.required:
        yield Finding(
            severity=WARNING,
            found="there is a public_key, and signatures are not required",
            why="whoever can write in the store can have anything loaded that bears no signature",
            change="required = true under [signing]",
        )


SIGNING = Check("signing", "Are signatures required where there is a key to check them?", _look)
