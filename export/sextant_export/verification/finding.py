"""One thing that is not as the receipts say: what, where, and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from sextant_export.seals import CHANGED, MISSING, UNEXPECTED

RECEIPT, SIGNATURE, CONFIGURATION = "receipt", "signature", "configuration"
UNSEALED, UNCHECKED, LEFT = "unsealed", "unchecked", "left over"
KINDS = (RECEIPT, SIGNATURE, CHANGED, MISSING, CONFIGURATION, UNEXPECTED, UNSEALED, UNCHECKED, LEFT)
"""Worst first: from what makes everything else worthless to what only takes up room."""

DO_TRIAL = "wait for the end of the trial; where nobody is at work, promote again, which ends it"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A *kind* of ``KINDS``; *where* is a path in the store, *what* is the matter with it, and *do* what helps."""

    kind: str
    where: str
    what: str
    do: str

    def __str__(self) -> str:
        return f"{self.where} {self.what}: {self.do}"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, for ``--json``."""
        return asdict(self)


def worst_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """By kind, then by place."""
    return tuple(sorted(findings, key=lambda finding: (KINDS.index(finding.kind), finding.where, finding.what)))
