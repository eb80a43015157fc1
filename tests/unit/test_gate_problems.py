"""The gates of a spec: all that is wrong with them at once, and what a sound section means."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from sextant_export.gate import CoverageGate, Gate, GateData, Limit
from sextant_export.pipeline import Pipeline, problems

POSITION = {
    "name": "locate",
    "answer": "position",
    "members": {"forest": "models:/forest@champion"},
    "steps": ["members", {"block": "fuse"}, {"block": "ellipse", "with": {"confidence_levels": [0.5, 0.9]}}],
    "calibration": {"data": "cases.parquet", "truth": ["latitude", "longitude"]},
}
LABEL = {
    "name": "zone",
    "answer": "label",
    "members": {"forest": "models:/forest@champion"},
    "steps": ["members", {"block": "vote", "with": {"confidence_levels": [0.9]}}],
    "calibration": {"data": "cases.parquet", "truth": "zone"},
}
TENSORS = {"name": "raw", "answer": "tensors", "members": {"net": "models:/net/1"}, "steps": ["members"]}


def without(page, key):
    return {name: value for name, value in page.items() if name != key}


def said(page, gate):
    return [str(problem) for problem in problems({**copy.deepcopy(page), "gate": gate})]


def read(page, gate):
    return Pipeline.from_mapping({**page, "gate": gate}, Path("pages")).gate


def at_most(bound, *, relative=False):
    return Limit(sense="at_most", bound=bound, relative=relative)


def at_least(bound, *, relative=False):
    return Limit(sense="at_least", bound=bound, relative=relative)


@pytest.mark.parametrize("written", ["1.05 x serving", "1.05x serving", " 1.05  x  serving ", "1.05xserving"])
def test_a_limit_may_be_a_multiple_of_what_serves(written):
    assert read(POSITION, {"p95_ms": {"at_most": written}}).p95_ms == at_most(1.05, relative=True)


def test_a_section_with_all_that_fits_a_position():
    gate = read(
        POSITION,
        {
            "parity": {"at_most": 0.5},
            "coverage": [{"level": 0.9, "at_least": "0.99 x serving"}, {"level": 0.5, "at_least": 0.4}],
            "median_error_m": {"at_most": 9},
            "p95_error_m": {"at_most": "1.1 x serving"},
            "p95_ms": {"at_most": 50},
            "throughput_rps": {"at_least": 100},
            "memory_mb": {"at_most": 900},
            "io_contract": "same",
            "data": {"file": "held_back.csv"},
        },
    )

    assert gate == Gate(
        parity=at_most(0.5),
        coverage=(
            CoverageGate(level=0.9, at_least=at_least(0.99, relative=True)),
            CoverageGate(level=0.5, at_least=at_least(0.4)),
        ),
        median_error_m=at_most(9.0),
        p95_error_m=at_most(1.1, relative=True),
        p95_ms=at_most(50.0),
        throughput_rps=at_least(100.0),
        memory_mb=at_most(900.0),
        io_contract=True,
        data=GateData(truth=("latitude", "longitude"), file=Path("pages/held_back.csv")),
    )
    assert gate.relative


def test_a_section_with_all_that_fits_a_label():
    gate = {
        "coverage": {"level": 0.9, "at_least": 0.85},
        "accuracy": {"at_least": "0.98 x serving"},
        "ece": {"at_most": 0.05},
        "agreement": {"at_least": 0.8},
        "data": {"dataset": "forest", "context": "testing", "truth": "area", "group": "walk"},
    }

    assert said(LABEL, gate) == []
    assert read(LABEL, gate).data == GateData(truth=("area",), dataset="forest", context="testing", group="walk")


def test_tensors_have_a_proof_a_speed_and_a_contract():
    gate = {"parity": {"at_most": 1}, "p95_ms": {"at_most": 5}, "memory_mb": {"at_most": 50}, "io_contract": "same"}

    assert said(TENSORS, gate) == []
    assert said({**TENSORS, "steps": [{"block": "scale"}, "members"]}, gate) == [
        "gate.p95_ms: only where no block stands before the member"
    ]


@pytest.mark.parametrize(
    ("page", "gate", "problem"),
    [
        (POSITION, {"p95ms": {"at_most": 1}}, "gate.p95ms: unknown; did you mean 'p95_ms'?"),
        (POSITION, {"p95_ms": {}}, "gate.p95_ms.at_most: missing"),
        (POSITION, {"p95_ms": {"at_most": True}}, "gate.p95_ms.at_most: expected a number above 0, got True"),
        (
            POSITION,
            {"p95_ms": {"at_most": "1.05 x old"}},
            "gate.p95_ms.at_most: expected a number, or times what serves, like '1.05 x serving', got '1.05 x old'",
        ),
        (POSITION, {"p95_ms": {"at_most": "0 x serving"}}, "gate.p95_ms.at_most: expected a number above 0, got 0.0"),
        (POSITION, {"parity": {"at_most": 2}}, "gate.parity.at_most: expected a number at most 1 and above 0, got 2"),
        (
            POSITION,
            {"coverage": []},
            "gate.coverage: expected {level: 0.95, at_least: 0.93}, or a list of such, got []",
        ),
        (
            POSITION,
            {"coverage": [{"level": 0.9, "at_least": 0.5}, {"level": 0.9, "at_least": 0.6}]},
            "gate.coverage[1].level: 0.9 stands twice",
        ),
        (
            POSITION,
            {"coverage": [{"level": 0.95, "at_least": 0.5}]},
            "gate.coverage[0].level: 0.95 is none of the ellipse's confidence_levels [0.5, 0.9]",
        ),
        (
            {**LABEL, "steps": ["members", {"block": "vote"}]},
            {"coverage": {"level": 0.9, "at_least": 0.5}},
            "gate.coverage.level: this vote answers no prediction sets: write confidence_levels under vote",
        ),
        (POSITION, {"accuracy": {"at_least": 0.9}}, "gate.accuracy: only of a pipeline that answers label"),
        (LABEL, {"p95_error_m": {"at_most": 9}}, "gate.p95_error_m: only of a pipeline that answers position"),
        (
            TENSORS,
            {"coverage": {"level": 0.9, "at_least": 0.5}},
            "gate.coverage: only of a pipeline that answers position or label",
        ),
        (
            POSITION,
            {"memory_mb": {"at_most": "2 x serving"}},
            "gate.memory_mb.at_most: expected a number: what the serving release takes cannot be told apart",
        ),
        (POSITION, {"io_contract": "sane"}, "gate.io_contract: 'sane' is no contract; did you mean 'same'?"),
        (
            without(POSITION, "calibration"),
            {"p95_ms": {"at_most": 1}, "parity": {"at_most": 1}},
            "gate: nothing to measure p95_ms on: name known cases under calibration, or rows under gate.data",
        ),
        (
            POSITION,
            {"data": "held.csv"},
            "gate.data: expected file: <file>, or dataset: <member>, and truth: <columns>",
        ),
        (POSITION, {"data": {}}, "gate.data: expected one of file: <file> and dataset: <member>"),
        (
            POSITION,
            {"data": {"file": "held.xlsx"}},
            "gate.data.file: expected a file of .parquet, .csv, .npz, as seen from the spec's folder, got 'held.xlsx'",
        ),
        (POSITION, {"data": {"dataset": "forst"}}, "gate.data.dataset: 'forst' is no member; did you mean 'forest'?"),
        (POSITION, {"data": {"file": "a.csv", "context": "x"}}, "gate.data.context: only of a dataset"),
        (
            POSITION,
            {"data": {"file": "a.csv", "truth": "place"}},
            "gate.data.truth: expected a list of 2 strings (the columns of latitude and longitude), got 'place'",
        ),
        (without(POSITION, "calibration"), {"data": {"file": "a.csv"}}, "gate.data.truth: missing"),
        (LABEL, {"data": {"file": "a.csv", "truth": ["a"]}}, "gate.data.truth: expected the column of the label"),
        (TENSORS, {"data": {"file": "a.csv"}}, "gate.data: only of a pipeline that answers position or label"),
    ],
)
def test_a_problem_has_its_address_and_a_guess(page, gate, problem):
    (line,) = said(page, gate)

    assert line.startswith(problem)


def test_a_figure_passes_on_one_side_only():
    assert said(POSITION, {"p95_ms": {"at_least": 1}}) == [
        "gate.p95_ms.at_least: unknown; did you mean 'at_most'?",
        "gate.p95_ms.at_most: missing",
    ]


def test_every_problem_comes_at_once():
    gate = {"p95ms": {}, "coverage": {"level": 2}, "accuracy": {"at_least": 2}, "data": {"file": 3}}

    assert [line.partition(": ")[0] for line in said(POSITION, gate)] == [
        "gate.p95ms",
        "gate.coverage.level",
        "gate.coverage.at_least",
        "gate.accuracy.at_least",
        "gate.data.file",
        "gate.accuracy",
        "gate.coverage.level",
    ]


def test_gates_that_need_no_known_case_need_no_calibration():
    assert said(without(POSITION, "calibration"), {"parity": {"at_most": 1}, "io_contract": "same"}) == []


def test_what_is_counted_on_the_rows_of_the_calibration_is_remarked():
    coverage = {"coverage": {"level": 0.9, "at_least": 0.85}}

    (remark,) = read(POSITION, coverage).remarks

    assert remark.startswith("gate.coverage: counted on the rows that the calibration is made of")
    assert read(POSITION, {**coverage, "data": {"file": "a.csv"}}).remarks == ()
    assert read(POSITION, {"median_error_m": {"at_most": 9}}).remarks == ()
    assert len(read(LABEL, {**coverage, "ece": {"at_most": 0.05}}).remarks) == 2
