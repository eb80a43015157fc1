"""The sections ``canary`` and ``live`` of a spec: what is wrong with them, and what they mean."""

from __future__ import annotations

import pytest

from sextant_export.canary import Canary
from sextant_export.live import Live
from sextant_export.pipeline import Pipeline, problems

PAGE = {
    "name": "zone",
    "answer": "label",
    "members": {"forest": "models:/forest@champion"},
    "steps": ["members", {"block": "vote"}],
    "calibration": {"data": "cases.parquet", "truth": "zone"},
}


def said(**sections):
    return [str(problem) for problem in problems({**PAGE, **sections})]


def test_true_means_the_defaults_and_false_none():
    page = Pipeline.from_mapping({**PAGE, "canary": True, "live": True})
    bare = Pipeline.from_mapping({**PAGE, "canary": False, "live": False})

    assert (page.canary, page.live) == (Canary(), Live())
    assert (bare.canary, bare.live) == (None, None)
    assert (Pipeline.from_mapping(PAGE).canary, Pipeline.from_mapping(PAGE).live) == (None, None)


def test_what_is_written_is_what_is_meant():
    page = {"canary": {"weights": [0.1, 0.5], "alpha": 0.01, "requests": 50}, "live": {"every_s": 60, "rows": 5}}

    read = Pipeline.from_mapping({**PAGE, **page})

    assert read.canary == Canary(weights=(0.1, 0.5), alpha=0.01, requests=50)
    assert read.live == Live(every_s=60, rows=5)


def test_a_shadow_alone_is_a_trial():
    assert said(canary={"weights": [], "shadow": 0.1}) == []
    assert said(canary={"shadow": 1, "errors": 0, "slow": 0}) == []


@pytest.mark.parametrize(
    ("canary", "problem"),
    [
        ("yes", "canary: expected true, or a mapping of weights, shadow, alpha, requests"),
        ({"weight": [0.1]}, "canary.weight: unknown; did you mean 'weights'?"),
        ({"weights": 0.1}, "canary.weights: expected a list of shares that rise, like [0.05, 0.25, 0.5], got 0.1"),
        ({"weights": [0.5, 0.5]}, "canary.weights: expected each share above the one before, got [0.5, 0.5]"),
        ({"weights": [0.5, 1]}, "canary.weights[1]: expected a number above 0 and below 1, got 1"),
        ({"weights": []}, "canary.weights: none, and no shadow: the candidate would never be asked"),
        (
            {"weights": [], "shadow": 0.1, "errors": 0},
            "canary.errors: of a shadow alone expected a margin above 0: there is little else to show",
        ),
        ({"alpha": 0.5}, "canary.alpha: expected a number above 0 and below 0.5, got 0.5"),
        ({"shadow": 1.5}, "canary.shadow: expected a number at least 0 and at most 1, got 1.5"),
        ({"requests": 0}, "canary.requests: expected a whole number at least 1, got 0"),
        ({"at_most_s": 0}, "canary.at_most_s: expected a number above 0, got 0"),
        ({"poll_s": -1}, "canary.poll_s: expected a number above 0, got -1"),
        ({"slow": -0.1}, "canary.slow: expected a number at least 0 and below 1, got -0.1"),
        ({"wrong": 1}, "canary.wrong: expected a number at least 0 and below 1, got 1"),
    ],
)
def test_what_is_wrong_with_a_canary_has_its_address(canary, problem):
    (line,) = said(canary=canary)

    assert line.startswith(problem)


@pytest.mark.parametrize(
    ("live", "problem"),
    [
        (5, "live: expected true, or a mapping of every_s, rows, timeout_s, got 5"),
        ({"every": 5}, "live.every: unknown; did you mean 'every_s'?"),
        ({"every_s": 0}, "live.every_s: expected a number above 0, got 0"),
        ({"rows": 1.5}, "live.rows: expected a whole number at least 1, got 1.5"),
        ({"timeout_s": "1"}, "live.timeout_s: expected a number above 0, got '1'"),
    ],
)
def test_what_is_wrong_with_live_has_its_address(live, problem):
    (line,) = said(live=live)

    assert line.startswith(problem)


def test_live_predictions_are_of_known_cases():
    page = {key: value for key, value in PAGE.items() if key != "calibration"}

    assert [str(problem) for problem in problems({**page, "live": True})] == [
        "live: nothing to predict: name known cases under calibration"
    ]
