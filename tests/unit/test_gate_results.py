"""Gates once they are measured: limits held, results told, the table that people read."""

from __future__ import annotations

import json
import math
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from sextant.errors import PromoteError
from sextant_export.gate import Limit
from sextant_export.pipeline import Pipeline
from sextant_export.receipt import Receipt
from sextant_promote.gates import GateResult, Load, gate_table, memory_meter
from sextant_promote.gates.contract import judged_contract
from sextant_promote.gates.load import p95s_ms, throughputs_rps
from sextant_promote.gates.parity import parity_share
from sextant_promote.gates.requiring import of_serving
from sextant_promote.gates.result import figure, judged


def limit(sense, bound, *, relative=False):
    return Limit(sense=sense, bound=bound, relative=relative)


@pytest.mark.parametrize(
    ("asked", "measured", "serving", "holds"),
    [
        (limit("at_most", 9.0), 9.0, None, True),
        (limit("at_most", 9.0), 9.01, None, False),
        (limit("at_least", 0.9), 0.9, 0.5, True),
        (limit("at_least", 0.98, relative=True), 0.79, 0.8, True),
        (limit("at_least", 0.98, relative=True), 0.78, 0.8, False),
        (limit("at_most", 1.0, relative=True), 8.2, 8.2, True),
        (limit("at_most", 1.05, relative=True), 1e9, None, True),
        (limit("at_most", 9.0), math.nan, None, False),
        (limit("at_least", 0.5, relative=True), math.nan, None, False),
    ],
)
def test_a_limit_holds_or_does_not(asked, measured, serving, holds):
    assert asked.holds(measured, serving) is holds
    assert judged("any", asked, measured, serving).passed is holds


def test_a_result_says_what_its_limit_came_to():
    relative = limit("at_most", 1.05, relative=True)

    assert judged("p95_ms", relative, 41.0, 40.0).wanted == "at most 42 = 1.05 x serving"
    assert judged("p95_ms", relative, 41.0, None).wanted == "at most 1.05 x serving"
    assert judged("p95_ms", relative, 41.0, None, note="quick").note == "quick; nothing serves yet"


def test_a_figure_that_the_serving_release_lacks_is_an_error_only_where_it_counts():
    name = "coverage of the 95% ellipse"

    assert of_serving({}, name, limit("at_least", 0.9)) is None
    assert of_serving({name: 0.94}, name, limit("at_least", 1.0, relative=True)) == 0.94
    with pytest.raises(PromoteError, match="coverage of the 95% ellipse: the serving release does not answer it"):
        of_serving({}, name, limit("at_least", 1.0, relative=True))


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (61.04, "61"), (8.616, "8.62"), (2345.6, "2350"), (1e7, "10000000"), (math.inf, "inf")],
)
def test_a_figure_has_the_digits_that_it_is_worth(value, text):
    assert figure(value) == text


def test_what_just_failed_does_not_read_as_what_was_wanted():
    assert str(judged("accuracy", limit("at_least", 0.93), 0.92999, None)) == "accuracy 0.92999 (NOT at least 0.93)"


def test_a_table_is_aligned_and_says_each_remark_once():
    on = "300 known cases of cases.parquet, SHA-256 1f2e3d4c5b6a"
    results = [
        judged("coverage of the 95% ellipse", limit("at_least", 0.93), 0.95223, 0.9487, "no future", on),
        judged("median_error_m", limit("at_most", 1.05, relative=True), 9.871, 8.616, on=on),
        judged("throughput_rps", limit("at_least", 1000.0), 2345.6, None, on=on),
    ]

    assert gate_table(results).splitlines() == [
        "gate                         wanted                         measured  serving  passed",
        "coverage of the 95% ellipse  at least 0.93                     0.952    0.949  yes",
        "median_error_m               at most 9.05 = 1.05 x serving      9.87     8.62  NO",
        "throughput_rps               at least 1000                      2350        -  yes",
        f"on {on}",
        "coverage of the 95% ellipse: no future",
    ]


def test_a_result_is_plain_json():
    result = GateResult(gate="ece", wanted="at most 0.05", measured=0.02, passed=True)

    assert json.loads(json.dumps(result.to_dict())) == {
        "gate": "ece",
        "wanted": "at most 0.05",
        "measured": 0.02,
        "passed": True,
        "serving": None,
        "note": "",
        "on": "",
    }


SERVING = """
platform: "ensemble"
input { name: "features" data_type: TYPE_FP32 dims: 8 }
input { name: "group" data_type: TYPE_STRING dims: 1 optional: true }
output { name: "label" data_type: TYPE_STRING dims: 1 }
"""


def receipt(ensemble="", **facts):
    made = {"pipeline": "zone", "release": 2, "identity": "", "created": "", "spec": {}, "members": {}, "blocks": {}}
    made |= {"calibration": None, "models": (), "introduced": (), "tools": {}}
    return Receipt(**made, ensemble=ensemble, **facts)


def test_another_output_changes_no_contract():
    more = SERVING + 'output { name: "confidence" data_type: TYPE_FP32 dims: 1 }'

    result = judged_contract(receipt(more), receipt(SERVING))

    assert (result.passed, result.measured, result.note) == (True, 0.0, "")


@pytest.mark.parametrize(
    ("ensemble", "note"),
    [
        (SERVING.replace("dims: 8", "dims: 9"), "input features: FP32 [8] became FP32 [9]"),
        (SERVING.replace(" optional: true", ""), "input group: STRING [1], optional became STRING [1]"),
        (
            SERVING.replace('"label" data_type: TYPE_STRING', '"label" data_type: TYPE_INT64'),
            "output label: STRING [1]",
        ),
        (SERVING.replace('"label"', '"zone"'), "output label: STRING [1] is gone"),
        (SERVING + 'input { name: "site" data_type: TYPE_FP32 dims: 1 }', "input site: FP32 [1] is added"),
    ],
)
def test_whatever_else_changes_does(ensemble, note):
    result = judged_contract(receipt(ensemble), receipt(SERVING))

    assert (result.passed, result.measured) == (False, 1.0)
    assert result.note.startswith(note)


def test_parity_is_the_worst_of_all_proofs():
    facts = {"near": {"max_abs_delta": 1.0, "tolerance": 8.0}, "far": {"max_abs_delta": 3.0, "tolerance": 4.0}}
    exact = {"words": {"max_abs_delta": 0.0, "tolerance": 0.0}}

    assert parity_share(receipt(proof={**facts, **exact})) == 0.75
    assert parity_share(receipt(proof=exact)) == 0
    with pytest.raises(PromoteError, match="zone.r2 was not proven through Triton"):
        parity_share(receipt())


def test_a_load_is_bounded_and_asks_in_turns():
    asked = []
    arms = [lambda row: asked.append(("candidate", row)), lambda row: asked.append(("serving", row))]

    times = p95s_ms(arms, Load(calls=4))

    assert len(times) == 2
    assert [name for name, _ in asked[-8:]] == ["candidate", "serving", "serving", "candidate"] * 2
    assert [row for _, row in asked[-8:]] == [0, 0, 1, 1, 2, 2, 3, 3]


def test_throughput_is_counted_for_each_by_itself():
    rows = [[], []]

    rates = throughputs_rps([rows[0].append, rows[1].append], Load(callers=2, seconds=0.02))

    assert all(rate > 0 for rate in rates)
    assert all({0, 1} <= set(asked) for asked in rows)


def test_an_error_under_load_ends_it():
    def broken(row):
        raise PromoteError("broken")

    with pytest.raises(PromoteError, match="broken"):
        throughputs_rps([broken], Load(callers=2, seconds=60.0))


PAGE = {
    "name": "raw",
    "answer": "tensors",
    "members": {"net": "models:/net/1"},
    "steps": ["members"],
    "gate": {"memory_mb": {"at_most": 100}},
}


@pytest.fixture
def metrics():
    """A metrics endpoint as Triton's; gives its URL and the lines it says."""
    lines = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write("\n".join(lines).encode())

        def log_message(self, *said):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/metrics", lines
        server.shutdown()
        thread.join()


def test_the_memory_of_a_server_elsewhere_is_that_of_its_machine(metrics):
    url, lines = metrics
    lines[:] = ["# HELP nv_cpu_memory_used_bytes CPU used", "nv_cpu_memory_used_bytes 1e9"]

    meter = memory_meter(Pipeline.from_mapping(PAGE), "grpc://192.0.2.1:8001", url)
    lines[1] = "nv_cpu_memory_used_bytes 1250000000"

    assert meter.growth_mb() == 250
    assert meter.source == (
        "of the server's whole machine (nv_cpu_memory_used_bytes), since before its models were loaded"
    )


def test_memory_that_cannot_be_seen_is_an_error_and_not_nothing(metrics):
    page = Pipeline.from_mapping(PAGE)

    with pytest.raises(PromoteError, match="gate.memory_mb: no tritonserver of this machine listens at grpc://192"):
        memory_meter(page, "grpc://192.0.2.1:8001")
    with pytest.raises(PromoteError, match="have no nv_cpu_memory_used_bytes: leave the gate out"):
        memory_meter(page, "grpc://192.0.2.1:8001", metrics[0])
    with pytest.raises(PromoteError, match="cannot be read"):
        memory_meter(page, "grpc://192.0.2.1:8001", metrics[0].replace("http", "nothing"))
    assert memory_meter(replace(page, gate=None), "grpc://192.0.2.1:8001") is None
