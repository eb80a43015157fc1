"""Every check on every subject; one that cannot be made stops no other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import psutil

from sextant.errors import SextantError
from sextant_cli.doctor.check import Check, NotMade
from sextant_cli.doctor.checks import MACHINE, SERVER, SETTINGS, STORE
from sextant_cli.doctor.finding import SEVERITIES, Finding
from sextant_cli.doctor.machine.here import Here
from sextant_cli.doctor.report import Outcome, Report
from sextant_cli.doctor.server.triton import Triton
from sextant_cli.doctor.settings.told import Told
from sextant_cli.doctor.store.kept import Kept
from sextant_export.narration import Narrator, Silence

SKIPPED = "left out by --skip"
NO_SERVER = "nothing serves this store, and none was named: `sextant serve` starts one, --server names one"
NO_STORE = "none is here: --store names one"


@dataclass(frozen=True, kw_only=True)
class Subjects:
    """What is to be examined: *here*, this machine; what it was *told*; the *store*, if there is one; *servers*."""

    here: Here
    told: Told
    store: Kept | None = None
    servers: Sequence[Triton] = ()

    @property
    def absent(self) -> Iterator[Outcome]:
        """The checks that cannot be made because there is nothing to look at."""
        if not self.servers:
            yield from (Outcome(check=check.name, where="servers", reason=NO_SERVER) for check in SERVER)
        if self.store is None:
            yield from (Outcome(check=check.name, where="a store", reason=NO_STORE) for check in STORE)

    def __iter__(self) -> Iterator[tuple[str, Any, tuple[Check[Any], ...]]]:
        """Each subject by its name, with its checks; servers first, for what is wrong there is wrong for others."""
        yield from ((server.url, server, SERVER) for server in self.servers)
        if self.store is not None:
            yield str(self.store.store.root), self.store, STORE
        yield self.told.where, self.told, SETTINGS
        yield "this machine", self.here, MACHINE


@dataclass
class _Notes:
    findings: list[Finding] = field(default_factory=list)
    passed: list[Outcome] = field(default_factory=list)
    not_made: list[Outcome] = field(default_factory=list)


def examine(subjects: Subjects, *, skip: Sequence[str] = (), narrator: Narrator | None = None) -> Report:
    """
    The report on *subjects*, without the checks named in *skip*.

    Nothing is changed anywhere, and no server is asked to change anything. Findings come worst first; of one severity,
    servers first, then in the order of the checks.
    """
    notes, telling = _Notes(), narrator or Silence()
    for where, subject, checks in subjects:
        with telling.step(f"look at {where}") as step:
            for check in checks:
                _make(check, subject, where, skip, notes)
            step.result(f"{len(checks)} checks")
    made = sum(len(checks) for _, _, checks in subjects) - len(notes.not_made)
    not_made = (*notes.not_made, *subjects.absent)
    findings = sorted(notes.findings, key=lambda finding: SEVERITIES.index(finding.severity))
    return Report(findings=tuple(findings), passed=tuple(notes.passed), not_made=not_made, made=made)


def _make(check: Check[Any], subject: Any, where: str, skip: Sequence[str], notes: _Notes) -> None:
    """What one check found goes to *notes*, also what it found before it could not go on."""
    outcome, before = Outcome(check=check.name, where=where), len(notes.findings)
    if check.name in skip:
        notes.not_made.append(replace(outcome, reason=SKIPPED))
        return
    try:
        for found in check.look(subject):
            notes.findings.append(replace(found, check=check.name, where=found.where or where))
    except (NotMade, SextantError, OSError, psutil.Error) as error:
        notes.not_made.append(replace(outcome, reason=str(error)))
    except Exception as error:  # noqa: BLE001  one check that breaks does not take along what the others found
        notes.not_made.append(replace(outcome, reason=f"it broke, which is a bug: {type(error).__name__}: {error}"))
    else:
        if len(notes.findings) == before:
            notes.passed.append(outcome)
