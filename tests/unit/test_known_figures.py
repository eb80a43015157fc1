"""A round of known cases, in figures that can be watched."""

from __future__ import annotations

import pytest

from sextant_promote.known_figures import figures
from sextant_promote.results import Result


def asked(case, *, release=7, **facts):
    return Result(
        at=f"2026-01-01T00:00:{case:02d}.000+00:00", case=case, expected=None, server="", release=release, **facts
    )


def fix(case, held, *, release=7):
    """A position 10 m off, or 10 m more a case."""
    inside = {"0.5": False, "0.95": held}
    return asked(case, release=release, error_m=10.0 * case, inside=inside, correct=held)


def test_there_are_none_before_the_first_round():
    assert figures([]) is None


def test_a_round_of_positions_has_its_coverage_and_median_error():
    found = figures([fix(case, case != 2) for case in range(1, 6)])

    assert (found.release, found.answered, found.unanswered, found.accuracy) == (7, 5, 0, None)
    assert found.median_error_m == 30.0
    assert found.at == "2026-01-01T00:00:05.000+00:00"
    assert {level: (one.promised, one.share) for level, one in found.coverage.items()} == {
        "0.5": (0.5, 0.0),
        "0.95": (0.95, 0.8),
    }


def test_a_round_of_labels_has_its_accuracy():
    found = figures([asked(case, prediction="hall", correct=case % 4 != 0) for case in range(4)])

    assert (found.accuracy, found.median_error_m, found.coverage) == (0.75, None, {})


@pytest.mark.parametrize(("held", "chance"), [(20, True), (17, True), (10, False)])
def test_chance_is_told_from_a_promise_that_is_not_kept(held, chance):
    """Of twenty cases, three misses at 95 % happen; ten do not."""
    (found,) = (figures([fix(case, case < held) for case in range(20)]).coverage["0.95"],)

    assert (found.upper >= found.promised) == chance
    assert found.share <= found.upper


def test_only_the_newest_round_counts():
    """Rounds ask the same cases in rising order: where a case is not lower, another round begins."""
    old, new = [fix(case, held=False) for case in (3, 5, 9)], [fix(case, held=True) for case in (3, 5, 9)]

    assert figures(old + new).coverage["0.95"].share == 1.0


def test_a_round_that_was_left_is_no_part_of_the_one_before():
    """A server went away; what was asked before it does not count with it."""
    whole, left = [fix(case, held=True) for case in (3, 5, 9)], [asked(3, error="nothing answers")]

    found = figures(whole + left)

    assert (found.answered, found.unanswered, found.coverage) == (0, 1, {})


def test_what_another_release_answered_is_not_counted():
    found = figures([fix(3, held=False, release=6), fix(5, held=True), fix(9, held=True)])

    assert (found.release, found.answered, found.coverage["0.95"].share) == (7, 2, 1.0)
