"""One thing that is wrong: how bad it is, what was found, why it matters, what to change."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

CRITICAL, WARNING, NOTE = "critical", "warning", "note"
SEVERITIES = (CRITICAL, WARNING, NOTE)
"""Worst first: act now; act before it hurts; good to know."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """
    *found* is a sentence with its figure, *why* what comes of it, *change* the flag, the command or the line to write.

    *where* is the server, the file or the folder it is about; *check* is filled in by the examination.
    """

    severity: str
    found: str
    why: str
    change: str
    where: str = ""
    check: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, for ``--json``."""
        return asdict(self)
