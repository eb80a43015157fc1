"""What an examination came to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sextant_cli.doctor.finding import CRITICAL, SEVERITIES, WARNING, Finding


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A check that found nothing, or that was not made: *reason* says why."""

    check: str
    where: str
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Report:
    """
    The *findings*, worst first; the checks that *passed*; those that were *not_made*, which say nothing.

    *made* counts the checks that were made, each once for every subject.
    """

    findings: tuple[Finding, ...]
    passed: tuple[Outcome, ...]
    not_made: tuple[Outcome, ...]
    made: int

    @property
    def counts(self) -> Mapping[str, int]:
        """How many findings there are of each severity, worst first."""
        found = Counter(finding.severity for finding in self.findings)
        return {severity: found[severity] for severity in SEVERITIES}

    @property
    def troubled(self) -> bool:
        """Whether something is critical or a warning: what a pipeline of CI should stop for."""
        return bool(self.counts[CRITICAL] or self.counts[WARNING])

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "checks": self.made,
            **self.counts,
            "findings": [finding.to_dict() for finding in self.findings],
            "passed": [{"check": each.check, "where": each.where} for each in self.passed],
            "not_made": [vars(each) for each in self.not_made],
        }
