"""Whether a load was borne: every limit with what was measured, and one word for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sextant_loadtest.figures import DIGITS
from sextant_loadtest.limits import Limits
from sextant_loadtest.load import DONE, LOST, Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One limit of one class of *users*: the *figure*, what was *wanted* and *measured*, and whether that *passed*."""

    users: str
    figure: str
    wanted: str
    measured: float | None
    passed: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "users": self.users,
            "figure": self.figure,
            "wanted": self.wanted,
            "measured": None if self.measured is None else round(self.measured, DIGITS),
            "passed": self.passed,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of an *outcome* against its limits: *judged*, one by one."""

    outcome: Outcome
    judged: tuple[Judged, ...]

    @property
    def passed(self) -> bool:
        """Whether the load lasted to its end, something was asked, and every limit was kept."""
        return self.outcome.ended == DONE and bool(self.judged) and all(each.passed for each in self.judged)

    def __str__(self) -> str:
        """One sentence."""
        plan, missed = self.outcome.plan, sum(not each.passed for each in self.judged)
        when = f"after {self.outcome.seconds:.0f} s of {plan.duration_s:g} s"
        if self.outcome.ended == LOST:
            return f"{plan.pipeline}: NOT within limits: the server went away {when}"
        if self.outcome.ended != DONE:
            return f"{plan.pipeline}: interrupted {when}, so there is no verdict"
        if not self.outcome.total.requests:
            return f"{plan.pipeline}: no request ended in {plan.duration_s:g} s, so there is nothing to judge"
        if missed:
            return f"{plan.pipeline}: NOT within limits: {missed} of {len(self.judged)} missed"
        return f"{plan.pipeline}: within limits, all {len(self.judged)}"

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of ``sextant loadtest --json``."""
        return {
            "pipeline": self.outcome.plan.pipeline,
            "passed": self.passed,
            "verdict": str(self),
            "limits": [each.to_dict() for each in self.judged],
            **self.outcome.to_dict(),
        }


def judge(outcome: Outcome, limits: Limits) -> Verdict:
    """The *outcome* held against *limits*: each class of users by itself. One that asked nothing keeps to none."""
    judged = [
        Judged(
            users=users,
            figure=name,
            wanted=str(limit),
            measured=(measured := getattr(figures, name)),
            passed=figures.requests > 0 and measured is not None and limit.holds(measured),
        )
        for users, figures in outcome.by_class.items()
        for name, limit in limits.of(users).items()
    ]
    return Verdict(outcome=outcome, judged=tuple(judged))
