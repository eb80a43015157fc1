"""NVIDIA's security bulletins on Triton, as data (``bulletins.json``), and which of them hit a version."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

BEFORE = ""
"""The release of whatever is older than the table: smaller than each that fixes anything."""
_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")


@dataclass(frozen=True, kw_only=True)
class Flaw:
    """One *cve* of a *bulletin*: its CVSS base *score*, and the container release that it is *fixed_in*."""

    cve: str
    score: float
    fixed_in: str
    bulletin: int


@dataclass(frozen=True, kw_only=True)
class Bulletins:
    """
    The *flaws* known *as_of* a date; *releases* maps Triton's versions to NVIDIA's containers, ``2.51`` to ``24.10``.

    *advised* is the release to move to.
    """

    as_of: str
    advised: str
    releases: Mapping[str, str]
    flaws: tuple[Flaw, ...]

    def release_of(self, version: str) -> str | None:
        """
        The container release of *version* as a server says it; None where it is newer than the table.

        ``ValueError`` where it is no version.

        >>> bulletins().release_of("2.51.0"), bulletins().release_of("2.59.1"), bulletins().release_of("3.1.0")
        ('24.10', '25.07', None)
        """
        found = _VERSION.match(version)
        if found is None:
            raise ValueError(f"expected a version like 2.73.0, got {version!r}")
        minor = f"{found[1]}.{found[2]}"
        known = self.releases.get(f"{minor}.{found[3]}") or self.releases.get(minor)
        return known or (None if _numbers(minor) > max(map(_numbers, self.releases)) else BEFORE)

    def unfixed(self, version: str) -> tuple[Flaw, ...]:
        """
        The flaws that *version* has, the worst first; none where it is newer than the table.

        >>> worst = bulletins().unfixed("2.60.0")[0]
        >>> worst.cve, worst.score, worst.fixed_in
        ('CVE-2026-47627', 9.8, '26.06')
        """
        release = self.release_of(version)
        hit = [flaw for flaw in self.flaws if release is not None and flaw.fixed_in > release]
        return tuple(sorted(hit, key=lambda flaw: (flaw.score, flaw.fixed_in, flaw.cve), reverse=True))


@cache
def bulletins() -> Bulletins:
    """The table that comes with this Sextant."""
    page = json.loads(files(__package__).joinpath("bulletins.json").read_text(encoding="utf-8"))
    flaws = tuple(
        Flaw(cve=cve, bulletin=bulletin["bulletin"], **facts)
        for bulletin in page["bulletins"]
        for cve, facts in bulletin["flaws"].items()
    )
    return Bulletins(as_of=page["as_of"], advised=page["advised"], releases=page["releases"], flaws=flaws)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in version.split("."))
