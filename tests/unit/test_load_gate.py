"""A load test as a gate of a spec: what the page says, and what is wrong with it."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from sextant.errors import MissingExtra, PromoteError
from sextant_export.gate import Limit, LoadGate, gate_of
from sextant_export.problems import problems
from sextant_promote.gates import load_test

PAGE = {
    "name": "locate",
    "answer": "position",
    "members": {"ridge": "models:/ridge@champion"},
    "steps": ["members", "fuse", "ellipse"],
    "calibration": {"data": "cases.parquet", "truth": ["latitude", "longitude"]},
}


def told(gate, **changes):
    return [str(problem) for problem in problems({**PAGE, **changes, "gate": gate}) if "gate" in problem.address]


def test_what_is_left_out_has_a_default_and_no_request_may_fail(tmp_path):
    """Limits are written as those of the other gates, also as multiples of what serves."""
    gate = gate_of({"load": {"shape": "spike", "p95_ms": {"at_most": "1.5 x serving"}}}, tmp_path)

    assert (gate.load.users, gate.load.shape, gate.load.duration_s) == (100, "spike", 20.0)
    assert dict(gate.load.limits) == {
        "p95_ms": Limit(sense="at_most", bound=1.5, relative=True),
        "error_share": Limit(sense="at_most", bound=0.0),
    }
    assert (gate.relative, gate.under_load, gate.asks) == (True, True, True)


def test_a_sound_section_has_no_problem():
    gate = {
        "users": 10,
        "shape": "soak",
        "duration_s": 5,
        "throughput_rps": {"at_least": "0.8 x serving"},
        "error_share": {"at_most": 0.01},
    }

    assert told({"load": gate}) == []


@pytest.mark.parametrize(
    ("load", "said"),
    [
        ({"users": 10}, "gate.load: expected a limit, of p50_ms, p95_ms, p99_ms, error_share, throughput_rps"),
        ({"users": 0, "p95_ms": {"at_most": 9}}, "gate.load.users: expected a whole number at least 1"),
        ({"shape": "spyke", "p95_ms": {"at_most": 9}}, "gate.load.shape: 'spyke' is no shape; did you mean 'spike'?"),
        ({"duration": 9, "p95_ms": {"at_most": 9}}, "gate.load.duration: unknown; did you mean 'duration_s'?"),
        ({"p95_ms": {"at_least": 9}}, "gate.load.p95_ms.at_most: missing"),
        ({"p95_ms": 9}, "gate.load.p95_ms: expected a mapping of at_most"),
        ({"p95_ms": {"at_most": "9 x servin"}}, "gate.load.p95_ms.at_most: expected a number, or times what serves"),
        ({"error_share": {"at_most": 2}}, "gate.load.error_share.at_most: expected a number at least 0 and at most 1"),
        ("spike", "gate.load: expected a mapping of users, shape, duration_s"),
    ],
)
def test_each_problem_is_told_with_its_address(load, said):
    assert any(problem.startswith(said) for problem in told({"load": load}))


def test_there_have_to_be_rows_to_ask_with():
    without = {key: value for key, value in PAGE.items() if key != "calibration"}
    found = [str(each) for each in problems({**without, "gate": {"load": {"p95_ms": {"at_most": 9}}}})]

    assert "gate: nothing to measure load on: name known cases under calibration, or rows under gate.data" in found


@pytest.mark.parametrize("printed", ["lost", "done"])
def test_a_server_that_went_away_is_no_pass_whatever_the_limits_are(monkeypatch, printed):
    """The candidate was asked until nobody answered; a share of errors that is allowed is no verdict on that."""
    outcome = {
        "ended": printed,
        "total": {"error_share": 0.01, "errors": {"ServerUnreachable": 9}},
        "sentences": {"ServerUnreachable": "no Triton answers"},
        "warnings": [],
    }
    program = f"print({json.dumps(outcome)!r})"
    monkeypatch.setattr(load_test, "COMMAND", (sys.executable, "-c", program))
    gate = LoadGate(users=2, duration_s=1.0, limits={"error_share": Limit(sense="at_most", bound=0.5)})
    features = {"features": np.zeros((1, 2), np.float32)}
    arm = SimpleNamespace(receipt=SimpleNamespace(name="locate.r2"), sent=lambda _: features)

    def asked():
        return load_test.judged_load(gate, "grpc://127.0.0.1:1", [arm], SimpleNamespace(said="9 known cases"), None)

    if printed == "done":
        assert [each.passed for each in asked()] == [True]
    else:
        with pytest.raises(PromoteError, match="gate.load: locate.r2 has no verdict: 9 x ServerUnreachable: no Triton"):
            asked()


def test_without_the_extra_the_line_to_type_is_told(monkeypatch):
    monkeypatch.setattr(load_test, "find_spec", lambda name: None if name == "locust" else object())

    with pytest.raises(MissingExtra, match=r"gate.load needs an extra: pip install 'triton-sextant\[loadtest\]'"):
        load_test.require_load_test()
