"""
A trial: a candidate answers a growing share of requests until the evidence says that it may serve, or must not.

The front is a router meanwhile; whatever ends the trial, an error and Ctrl-C included, it is the ensemble of the
serving release again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from threading import Event
from typing import Any, Protocol

from sextant.errors import SextantError
from sextant_export.narration import Narrator
from sextant_export.pipeline import Canary, Pipeline
from sextant_export.receipt import Receipt
from sextant_export.registry import Registry
from sextant_export.store import Store
from sextant_promote.canary.arms import Arms, ServedArms
from sextant_promote.canary.decision import ADVANCE, HOLD, UNDECIDED, Decision, decide
from sextant_promote.canary.evidence import Evidence
from sextant_promote.fleet import Fleet


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """
    How a trial ended: *outcome* is ``advance``, ``roll back`` or ``undecided``, and *reason* says why.

    *requests* were answered by the candidate; *evidence* gives the figures of each criterion, ``harm`` and ``harmless``
    being e-values.
    """

    outcome: str
    reason: str
    requests: int
    evidence: Mapping[str, Mapping[str, float]]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, for the receipt."""
        return asdict(self)


class Pace(Protocol):
    """The clock of a trial, and its patience."""

    def now(self) -> float:
        """Seconds since some moment."""

    def wait(self, seconds: float) -> None:
        """Let so much time pass."""


class RealPace:
    """The machine's clock; a wait ends at once on Ctrl-C."""

    def __init__(self) -> None:
        self._never = Event()

    def now(self) -> float:
        """Seconds of a clock that is never set."""
        return time.monotonic()

    def wait(self, seconds: float) -> None:
        """Wait for what never comes."""
        self._never.wait(seconds)


def run_trial(
    pipeline: Pipeline,
    store: Store,
    fleet: Fleet,
    serving: Receipt,
    candidate: Receipt,
    narrator: Narrator,
    registry: Registry,
) -> Verdict:
    """
    Try the release of *candidate*, which is loaded, beside that of *serving* on all servers of *fleet*.

    As ``pipeline.canary`` says, by default where it says nothing; *registry* has the dataset that the spec may name.
    Raises what routing and observing raise; the front is the serving ensemble again in any case.
    """
    with ServedArms(pipeline, store, fleet, serving, candidate, registry) as arms:
        return tried(pipeline.canary or Canary(), arms, candidate.name, narrator, RealPace())


def tried(canary: Canary, arms: Arms, candidate: str, narrator: Narrator, pace: Pace) -> Verdict:
    """The verdict on *candidate*, one step of *canary* after another, at the time of *pace*."""
    trial = _Trial(canary, arms, pace)
    decision = Decision(UNDECIDED, "no step was taken")
    try:
        for step, weight in enumerate(canary.weights or (0.0,), 1):
            with narrator.step(f"try {candidate} on {_share(canary, weight)}") as told:
                decision = trial.step(step, weight)
                told.result(f"{decision.what}: {decision.why}")
            if decision.what != ADVANCE:
                break
    except BaseException:
        with suppress(SextantError):  # what ended the trial is what is told
            arms.unroute()
        raise
    reason = _unrouted(arms, decision)
    evidence = trial.evidence
    return Verdict(outcome=decision.what, reason=reason, requests=evidence.requests, evidence=evidence.to_dict())


def _unrouted(arms: Arms, decision: Decision) -> str:
    """
    Take the router back; gives the reason of *decision*, and what stood in the way.

    Of a candidate that is not to serve that must be known whatever else fails, or it would be tried again.
    """
    try:
        arms.unroute()
    except SextantError as error:
        if decision.what == ADVANCE:
            raise
        return f"{decision.why}; its router is not taken back everywhere: {error}"
    return decision.why


class _Trial:
    """One trial under way: its evidence, and the moment at which it is given up."""

    def __init__(self, canary: Canary, arms: Arms, pace: Pace) -> None:
        self._canary, self._arms, self._pace = canary, arms, pace
        self.evidence = Evidence(canary, arms.known)
        self._ends = pace.now() + canary.at_most_s

    def step(self, step: int, weight: float) -> Decision:
        """Give the candidate *weight* and look, again and again, until something is decided."""
        self._arms.route(weight)
        self.evidence.count_anew()
        if step > 1:
            self.evidence.begin_step()
        while True:
            decision = self._looked(step)
            if decision.what != HOLD:
                return decision
            self._pace.wait(self._canary.poll_s)

    def _looked(self, step: int) -> Decision:
        observed = self._arms.observe()
        if observed is not None:
            self.evidence.observe(observed)
        self.evidence.compare(self._arms.ask())
        decision = decide(self.evidence, self._canary, step)
        if decision.what == HOLD and self._pace.now() >= self._ends:
            return Decision(UNDECIDED, f"{self._canary.at_most_s:g} s were not enough: {decision.why}")
        return decision


def _share(canary: Canary, weight: float) -> str:
    """
    What the candidate is given, for people.

    >>> _share(Canary(), 0.05), _share(Canary(weights=(), shadow=0.1), 0.0)
    ('5% of requests', 'a shadow of 10% of requests')
    """
    shares = {"": weight, "a shadow of ": canary.shadow}
    return " and ".join(f"{kind}{100 * share:.3g}% of requests" for kind, share in shares.items() if share)
