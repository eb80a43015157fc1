"""The evidence of a trial as the table that people are shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sextant_promote.canary.trial import Verdict
from sextant_promote.columns import aligned

HEAD = ("criterion", "candidate", "serving", "margin", "harm", "harmless")
_NUMBERS = range(1, len(HEAD))
_LARGE = 1e6

Facts = Mapping[str, float]


def evidence_table(verdict: Verdict) -> str:
    """
    What each criterion of *verdict* counted: shares, the margin that is tolerated, and the evidence as e-values.

    The harm or the harmlessness of a candidate is shown where its e-value reaches 1/alpha, 20 by default.

    >>> errors = {"margin": 0.005, "harm": 31.02, "harmless": 0.0012}
    >>> errors |= {"candidate": 200, "candidate_share": 0.03, "serving": 4000, "serving_share": 0.002}
    >>> wrong = {"margin": 0.02, "harm": 1.3, "harmless": 4.2, "asked": 160, "worse_by": 0.0125}
    >>> found = Verdict(outcome="roll back", reason="", requests=200, evidence={"errors": errors, "wrong": wrong})
    >>> print(evidence_table(found))
    criterion      candidate        serving  margin  harm  harmless
    errors         3% of 200  0.2% of 4,000   +0.5%    31    0.0012
    wrong      +1.25% of 160              -     +2%   1.3       4.2
    """
    judged = {name: facts for name, facts in verdict.evidence.items() if "harm" in facts}
    rows = [HEAD, *(_row(name, facts) for name, facts in judged.items())]
    return "\n".join([*aligned(rows, right=_NUMBERS), *_below(verdict.evidence)])


def _row(name: str, facts: Facts) -> tuple[str, ...]:
    evidence = f"+{_percent(facts['margin'])}", _e_value(facts["harm"]), _e_value(facts["harmless"])
    if "asked" in facts:
        return name, _of(f"{100 * facts['worse_by']:+.3g}%", facts["asked"]), "-", *evidence
    return name, _share(facts, "candidate"), _share(facts, "serving"), *evidence


def _share(facts: Facts, arm: str) -> str:
    return _of(_percent(facts[f"{arm}_share"]), facts[arm])


def _of(share: str, counted: float) -> str:
    """
    A share of what was counted; of nothing there is none.

    >>> _of("0.2%", 4000), _of("0%", 0)
    ('0.2% of 4,000', '-')
    """
    return f"{share} of {counted:,.0f}" if counted else "-"


def _percent(share: float) -> str:
    return f"{100 * share:.3g}%"


def _e_value(value: float) -> str:
    """
    An e-value in two digits or three; beyond all doubt it is no matter how far.

    >>> _e_value(22.71), _e_value(0.00123), _e_value(1e300)
    ('22.7', '0.00123', '> 1e+06')
    """
    return f"> {_LARGE:.0e}" if value > _LARGE else f"{value:.3g}"


def _below(evidence: Mapping[str, Facts]) -> Iterator[str]:
    if "bound_ms" in evidence.get("slow", {}):
        yield f"slow: beyond {evidence['slow']['bound_ms']:g} ms, or not at all"
    if compared := evidence.get("differing"):
        yield f"of {compared['compared']:,.0f} mirrored answers {compared['differing']:,.0f} differ"
