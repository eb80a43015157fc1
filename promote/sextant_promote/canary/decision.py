"""What the evidence of a trial allows at this moment: to hold, to advance by a step, to roll back, or to give up."""

from __future__ import annotations

from math import log
from typing import NamedTuple

from sextant.sequential import PairedTest
from sextant_export.canary import Canary
from sextant_promote.canary.evidence import SETTLED, Evidence

HOLD, ADVANCE, ROLL_BACK, UNDECIDED = "hold", "advance", "roll back", "undecided"
_BROKEN = "requests that the router itself failed: {}; a process of it ended, see the log of the server"


class Decision(NamedTuple):
    """*what* is to be done, and *why*, in words."""

    what: str
    why: str


def decide(evidence: Evidence, canary: Canary, step: int) -> Decision:
    """
    What to do in *step*, counted from one.

    A candidate is rolled back when the evidence of harm reaches 1/alpha, at any time.  Where the router itself fails
    callers, the trial is given up.  A step ends after so many
    requests and when each criterion's evidence of harmlessness has gone its part of the way, (1/alpha)^(step/steps):
    the more requests a candidate gets the more it must have shown, and the last step ends on 1/alpha.
    """
    if evidence.log_harm >= log(1 / canary.alpha):
        return Decision(ROLL_BACK, evidence.told(evidence.worst))
    if evidence.broken:
        return Decision(UNDECIDED, _BROKEN.format(evidence.broken))
    needed = log(1 / canary.alpha) * step / max(1, len(canary.weights))
    unshown = [name for name, test in evidence.judged().items() if test.log_harmless < needed]
    if spent := [name for name in unshown if _spent(evidence, name)]:
        return Decision(UNDECIDED, f"{evidence.told(spent[0])}, which is above the margin and yet no proof of harm")
    if not evidence.settled:
        return Decision(HOLD, f"fewer than {SETTLED} answers of the serving arm: too few to say what is usual")
    lacking = [*_few(evidence, canary), *map(evidence.told, unshown)]
    return Decision(HOLD, f"not shown: {'; '.join(lacking)}") if lacking else Decision(ADVANCE, _shown(evidence))


def _few(evidence: Evidence, canary: Canary) -> list[str]:
    answered = evidence.requests_in_step
    return [f"{answered} of {canary.requests} answers"] if answered < canary.requests else []


def _spent(evidence: Evidence, name: str) -> bool:
    """Whether every known case was asked, so that nothing more will be learned of this criterion."""
    test = evidence.tests[name]
    return isinstance(test, PairedTest) and test.asked == test.population


def _shown(evidence: Evidence) -> str:
    shown = "; ".join(map(evidence.told, evidence.judged()))
    return f"no worse by its margins: {shown}" if shown else "nothing was asked of it"
