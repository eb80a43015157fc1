"""What a trial makes of counts and known cases: what is evidence, and what it decides."""

from __future__ import annotations

from math import inf, isnan, log

import numpy as np
import pytest

from sextant.sequential import SharesTest
from sextant_export.canary import Canary
from sextant_promote.canary.decision import ADVANCE, HOLD, ROLL_BACK, UNDECIDED, decide
from sextant_promote.canary.evidence import Evidence, slow_bound
from sextant_promote.canary.observations import ArmCounts, Observed

ONE_STEP = Canary(weights=(0.5,), requests=100)
NOBODY = ArmCounts(requests=0, errors=0, within={})


def arm(requests, errors=0, slow=0.2):
    """An arm of which the share *slow* of the answers takes more than 10 ms, and none more than 20."""
    answered = requests - errors
    quick = round(answered * (1 - slow))
    return ArmCounts(requests=requests, errors=errors, within={5.0: 0, 10.0: quick, 20.0: answered, inf: answered})


def observed(serving, candidate, **compared):
    return Observed(serving=serving, candidate=candidate, **{"compared": 0, "differing": 0, **compared})


def watched(canary, *observations, known=None):
    """The evidence after these observations, the first of them when nothing was counted yet."""
    evidence = Evidence(canary, known)
    for each in (observed(NOBODY, NOBODY), *observations):
        evidence.observe(each)
    return evidence


def growing(looks, **candidate):
    """Observations in each of which both arms have answered 100 requests more."""
    return [observed(arm(100 * i), arm(100 * i, **{k: v(i) for k, v in candidate.items()})) for i in range(1, looks)]


def test_what_teaches_the_usual_is_no_evidence():
    evidence = watched(ONE_STEP, observed(arm(100), arm(100, errors=90)))

    assert evidence.settled
    assert evidence.bound_ms == 10.0
    assert evidence.log_harm == 0.0
    assert evidence.requests == 100


def test_too_few_answers_teach_nothing_yet():
    evidence = watched(ONE_STEP, observed(arm(30), arm(2)), observed(arm(49), arm(5)))

    assert not evidence.settled
    assert evidence.requests == 0
    assert decide(evidence, ONE_STEP, 1) == (
        HOLD,
        "fewer than 50 answers of the serving arm: too few to say what is usual",
    )


@pytest.mark.parametrize(
    ("within", "bound"),
    [
        ({1.0: 0, 2.0: 40, 4.0: 74, 8.0: 99}, 4.0),
        ({1.0: 60, 2.0: 100}, 1.0),
        ({1.0: 0, 2.0: 100}, 2.0),
        ({1.0: 50, 2.0: 100}, 1.0),
        ({1.0: 0, inf: 100}, None),
        ({}, None),
    ],
    ids=["nearest", "coarse", "never exceeded", "tie", "above all", "no histogram"],
)
def test_slow_is_what_about_a_quarter_of_the_serving_answers_are(within, bound):
    found = slow_bound(ArmCounts(requests=100, errors=0, within=within))

    assert isnan(found) if bound is None else found == bound


def test_arms_alike_advance():
    evidence = watched(ONE_STEP, *growing(30))

    decision = decide(evidence, ONE_STEP, 1)

    assert decision.what == ADVANCE
    assert decision.why == (
        "no worse by its margins: errors 0 of 2,900 against 0 of 2,900; "
        "slow (above 10 ms) 580 of 2,900 against 580 of 2,900"
    )


@pytest.mark.parametrize(
    ("fault", "worst"),
    [({"errors": lambda i: 5 * i}, "errors"), ({"slow": lambda i: 0.6}, "slow")],
)
def test_a_fault_is_rolled_back_and_named(fault, worst):
    evidence = watched(ONE_STEP, *growing(12, **fault))

    decision = decide(evidence, ONE_STEP, 1)

    assert decision.what == ROLL_BACK
    assert evidence.worst == worst
    assert decision.why.startswith(worst)


def test_a_little_slower_is_no_harm():
    """Four points, of a margin of ten; and yet it holds the trial up no more than equal arms do."""
    evidence = watched(ONE_STEP, *growing(60, slow=lambda i: 0.24))

    assert evidence.slow.log_harm < 0
    assert decide(evidence, ONE_STEP, 1).what == ADVANCE


def test_nothing_advances_before_enough_answers():
    canary = Canary(weights=(0.5,), requests=5_000)

    decision = decide(watched(canary, *growing(30)), canary, 1)

    assert decision == (HOLD, "not shown: 2900 of 5000 answers")


def test_the_last_step_asks_for_more_than_the_first():
    """Evidence of 3 is enough for the first of three steps at alpha .05, and 20 for the last."""
    canary = Canary(weights=(0.1, 0.2, 0.5), requests=1, slow=0.0)
    evidence = watched(canary, *growing(8))

    assert log(20) / 3 < evidence.errors.log_harmless < log(20)
    assert decide(evidence, canary, 1).what == ADVANCE
    assert decide(evidence, canary, 3).what == HOLD


def test_a_step_counts_its_own_requests():
    evidence = watched(Canary(), *growing(4))
    evidence.begin_step()

    assert (evidence.requests, evidence.requests_in_step) == (300, 0)


@pytest.mark.parametrize("margins", [{"errors": 0.0, "slow": 0.0}])
def test_a_margin_of_nothing_holds_nothing_up(margins):
    canary = Canary(weights=(0.5,), requests=100, **margins)

    assert decide(watched(canary, *growing(3)), canary, 1) == (ADVANCE, "nothing was asked of it")


def test_without_a_histogram_nothing_is_slow():
    plain = [ArmCounts(requests=100 * i, errors=0, within={}) for i in range(1, 40)]
    evidence = watched(ONE_STEP, *(observed(each, each) for each in plain))

    assert list(evidence.judged()) == ["errors"]
    assert decide(evidence, ONE_STEP, 1).what == ADVANCE


def test_more_events_than_requests_are_held_to_the_requests():
    """A scrape falls between two counters now and then."""
    broken = ArmCounts(requests=110, errors=115, within={10.0: 130})
    evidence = watched(ONE_STEP, observed(arm(100), arm(100)), observed(arm(200), broken))

    assert evidence.errors.seen.candidate_events == 10
    assert evidence.slow.seen.candidate_events == 20


def test_known_cases_accuse():
    evidence = watched(ONE_STEP, *growing(3), known={"wrong": 1_000})
    evidence.compare(np.tile([1.0, 0.0, 0.0, 0.0], 20))

    assert evidence.worst == "wrong"
    assert decide(evidence, ONE_STEP, 1) == (ROLL_BACK, "wrong +25.0 points on 80 known cases")


def test_known_cases_hold_the_trial_up_until_they_are_shown():
    evidence = watched(ONE_STEP, *growing(30), known={"missed": 1_000})
    before = decide(evidence, ONE_STEP, 1)
    evidence.compare(np.zeros(400))

    assert before == (HOLD, "not shown: missed +0.0 points on 0 known cases")
    assert decide(evidence, ONE_STEP, 1).what == ADVANCE


def test_when_all_cases_are_asked_and_nothing_is_shown_it_is_over():
    evidence = watched(ONE_STEP, *growing(30), known={"wrong": 100})
    evidence.compare(np.tile([1.0, -1.0, 0.0, 1.0, 0.0], 4))
    evidence.compare(np.zeros(80))

    decision = decide(evidence, ONE_STEP, 1)

    assert decision.what == UNDECIDED
    assert decision.why.startswith("wrong +4.0 points on 100 known cases, which is above the margin")


def mirrored(looks, errors=0):
    """Observations of a shadow alone, asked a tenth of 200 requests a look, of which it fails *errors*."""
    for i in range(1, looks):
        shadow = ArmCounts(requests=20 * i, errors=errors * i, within={})
        yield observed(arm(200 * i), NOBODY, compared=20 * i, differing=18 * i, shadow=shadow)


def test_what_a_shadow_says_is_told_and_not_judged():
    """Its answers count as requests; that they differ is for people."""
    canary = Canary(weights=(), shadow=0.1, requests=20, errors=0.05)
    evidence = watched(canary, *mirrored(20), known={"wrong": 400})
    evidence.compare(np.zeros(300))

    assert list(evidence.judged()) == ["errors", "wrong"]
    assert decide(evidence, canary, 1).what == ADVANCE
    assert evidence.to_dict()["differing"] == {"compared": 380, "differing": 342}


def test_what_fails_as_a_shadow_is_an_error_of_the_candidate():
    canary = Canary(weights=(), shadow=0.1)
    evidence = watched(canary, *mirrored(9, errors=3))

    assert decide(evidence, canary, 1) == (ROLL_BACK, "errors 24 of 160 against 0 of 1,600")
    assert evidence.slow.seen.candidate == 0


def test_a_shadow_alone_does_not_advance_before_it_has_shown_something():
    canary = Canary(weights=(), shadow=0.1, requests=20)

    assert decide(watched(canary, *mirrored(4)), canary, 1) == (HOLD, "not shown: errors 0 of 60 against 0 of 600")


def test_a_router_that_fails_its_callers_ends_the_trial():
    """Whatever the arms have shown, the callers are better off without it."""
    evidence = watched(ONE_STEP, *growing(30), observed(arm(2_900), arm(2_900), broken=2))

    decision = decide(evidence, ONE_STEP, 1)

    assert decision.what == UNDECIDED
    assert decision.why == "requests that the router itself failed: 2; a process of it ended, see the log of the server"


def test_the_facts_are_plain_numbers():
    facts = watched(ONE_STEP, *growing(12, errors=lambda i: 50 * i), known={"wrong": 3}).to_dict()

    assert facts["slow"]["bound_ms"] == 10.0
    assert facts["errors"]["candidate_share"] == 0.5
    assert facts["errors"]["harm"] > 1e50
    assert facts["wrong"] == {"margin": 0.02, "harm": 1.0, "harmless": 1.0, "asked": 0, "worse_by": 0.0}


def test_evidence_beyond_all_numbers_is_written_as_one():
    evidence = watched(ONE_STEP, known={"wrong": 10})
    evidence.compare(np.zeros(10))

    assert evidence.to_dict()["wrong"]["harmless"] == 1e300


def test_harm_is_the_mean_of_all_criteria():
    """So that three criteria accuse falsely no more often than one."""
    evidence = watched(ONE_STEP, *growing(3), known={"wrong": 50})
    evidence.compare(np.ones(5))
    alone = [np.exp(test.log_harm) for test in evidence.tests.values()]

    assert isinstance(evidence.errors, SharesTest)
    assert evidence.log_harm == pytest.approx(log(np.mean(alone)))
