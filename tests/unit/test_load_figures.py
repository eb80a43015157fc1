"""What a load comes to: figures of samples, shapes over time, rows drawn, and the verdict."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sextant.errors import LimitsError, LoadTestError, ModelFailed, ParametersError
from sextant_export.gate import LOADS, SHAPES
from sextant_loadtest.answers import require_sound
from sextant_loadtest.curves import CURVES, users_at
from sextant_loadtest.drawing import drawn
from sextant_loadtest.figures import Figures, Samples
from sextant_loadtest.generators import shares
from sextant_loadtest.limits import Limits, read_limits
from sextant_loadtest.load import DONE, INTERRUPTED, LOST, LoadPlan, Outcome
from sextant_loadtest.measurements import Measurements
from sextant_loadtest.report import page, write_report
from sextant_loadtest.table import table
from sextant_loadtest.verdict import judge

PLAN = LoadPlan(pipeline="locate", urls=("grpc://127.0.0.1:8001",), users=2, duration_s=10.0)
GRPC = "PositionOverGrpc"


def report(at, requests, *, process=0, users=2, busy=0.1, sentences=None):
    return {
        "process": process,
        "at": at,
        "users": users,
        "busy": busy,
        "sentences": sentences or {},
        "requests": requests,
    }


def outcome(rows, ended=DONE, busy=0.1, classes=()):
    """What a load of *rows* of ``(begun, took_ms, error)`` comes to."""
    measured = Measurements(classes)
    measured.begin(100.0)
    requests = [(GRPC, 100.0 + begun, took, error) for begun, took, error in rows]
    measured.take(report(110.0, requests, busy=busy, sentences={"ServerBusy": "its queue is full"}))
    return Outcome(plan=PLAN, began="2026-01-01T00:00:00+00:00", ended=ended, **measured.summary())


HUNDRED = [(i / 10, float(i + 1), "") for i in range(100)]


def test_percentiles_are_those_of_the_times_themselves():
    """Not of a histogram's bins: NumPy's own quantiles of the same numbers."""
    found = outcome(HUNDRED)

    assert found.p50_ms == pytest.approx(np.quantile(np.arange(1, 101), 0.5))
    assert found.p95_ms == pytest.approx(np.quantile(np.arange(1, 101), 0.95))
    assert found.p99_ms == pytest.approx(np.quantile(np.arange(1, 101), 0.99))
    assert found.throughput_rps == pytest.approx(100 / 10.0)  # from the first request to the last answer


def test_requests_under_way_are_counted_by_the_time_they_take():
    """Two callers that are always waiting for an answer are two requests under way (Little)."""
    samples = Samples.of([(second, 1000.0, "") for second in range(10) for _ in range(2)])

    assert Figures.of(samples, 10.0).under_way == pytest.approx(2.0)


def test_samples_of_several_parts_keep_their_errors_apart():
    """Each part has names of its own, which are no longer at the same places in the whole."""
    parts = [Samples.of([(0, 1, "ServerBusy"), (1, 2, "")]), Samples.of([(2, 3, "DeadlineExceeded")] * 2)]
    whole = Samples.joined(parts)

    assert whole.errors == {"DeadlineExceeded": 2, "ServerBusy": 1}
    assert whole.where(whole.answered).took_ms.tolist() == [2.0]
    assert (len(Samples.joined([])), Samples.joined([]).errors) == (0, {})


def test_what_failed_has_no_part_in_times_and_throughput():
    found = outcome([*HUNDRED, (0.0, 9_999.0, "ServerBusy"), (0.0, 9_999.0, "ServerBusy")])

    assert (found.total.requests, dict(found.total.errors)) == (102, {"ServerBusy": 2})
    assert found.total.error_share == pytest.approx(2 / 102)
    assert found.total.max_ms == 100.0
    assert found.sentences == {"ServerBusy": "its queue is full"}


def test_where_nothing_was_answered_there_are_no_times():
    found = outcome([(0.0, 3.0, "ServerBusy")])

    assert (found.p50_ms, found.throughput_rps, found.total.error_share) == (None, 0.0, 1.0)


def test_only_a_server_that_stays_unreachable_is_lost():
    """One that was heard of meanwhile, be it by a refusal, is there."""
    measured = Measurements()
    measured.begin(0.0)
    measured.take(report(2.0, [(GRPC, 0.5, 1.0, ""), (GRPC, 1.5, 1.0, "ServerUnreachable")]))
    away = measured.unreachable_s
    measured.take(report(4.0, [(GRPC, 3.0, 1.0, "ServerBusy")]))

    assert (away, measured.unreachable_s) == (pytest.approx(1.499), 0.0)


def test_users_of_several_processes_add_up():
    measured = Measurements()
    measured.begin(0.0)
    measured.take(report(1.0, [], process=0, users=34))
    measured.take(report(1.0, [], process=1, users=33))

    assert measured.moments[-1].users == 67
    assert (sum(shares(100, 3)), shares(1, 4)) == (100, [1])


@pytest.mark.parametrize(("users", "processes"), [(2, 8), (4, 4), (7, 3), (101, 2)])
def test_in_every_process_there_is_a_user_of_each_protocol(users, processes):
    """A process deals its own users out: of one user each, all would speak the same."""
    dealt = shares(users, processes, protocols=2)

    assert (sum(dealt), min(dealt) >= 2, len(dealt) <= processes) == (users, True, True)
    assert sum((each + 1) // 2 for each in dealt) == (users + 1) // 2


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("steady", [100, 100, 100, 100, 100]),
        ("ramp", [1, 32, 63, 94, 100]),
        ("spike", [10, 10, 100, 10, 10]),
        ("soak", [1, 100, 100, 100, 100]),
    ],
)
def test_each_shape_has_its_users_over_time(shape, expected):
    """At the beginning, in each quarter and just before the end; after that it is over."""
    there = [users_at(shape, at, 100, 60.0) for at in (0.0, 15.0, 30.0, 45.0, 59.9)]

    assert there == expected
    assert users_at(shape, 60.0, 100, 60.0) is None


def test_a_spec_knows_the_shapes_that_there_are():
    assert tuple(CURVES) == SHAPES


def test_rows_are_drawn_by_the_seed_and_otherwise_for_each_user():
    """The same again, other rows for another user, and each row about as often as any other."""
    inputs = {"features": np.arange(20).reshape(10, 2), "group": np.array([[b"a"], [b"b"]] * 5, object)}

    def questions(*seed):
        asked = drawn(inputs, 1, seed)
        return [int(next(asked)["features"][0, 0]) for _ in range(3000)]

    assert questions(7, 0) == questions(7, 0)
    assert questions(7, 0) != questions(7, 1)
    assert min(Counter(questions(7, 0)).values()) > 200
    pair = next(drawn(inputs, 3, [1]))
    assert (pair["features"].shape, pair["group"].shape) == ((3, 2), (3, 1))


@pytest.mark.parametrize("kind", ["position", "label", "record"])
def test_an_answer_of_another_kind_is_no_answer(kind):
    with pytest.raises(ModelFailed, match=f"expected a {kind} for each of 1 rows"):
        require_sound([{"doubled": np.zeros(1)}], kind, 1)


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"users": 0}, "users: expected a number above 0, got 0"),
        ({"shape": "spyke"}, "shape: 'spyke' is none; did you mean 'spike'?"),
        ({"urls": ()}, "urls: expected one of gRPC, one of HTTP, or both"),
        ({"urls": ("grpc://a:1", "grpc://b:1")}, "urls: expected one of gRPC"),
        ({"urls": ("grpc://a:1", "http://b:1"), "users": 1}, "users: expected one for each protocol at least, got 1"),
        ({"duration_s": float("nan")}, "duration_s: expected a number above 0, got nan"),
        ({"duration_s": float("inf")}, "duration_s: expected a number above 0, got inf"),
        ({"rate_rps": 0.0}, "rate_rps: expected a number above 0, got 0.0"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(facts, said):
    with pytest.raises(ParametersError) as refusal:
        LoadPlan(**{"pipeline": "locate", "urls": ("grpc://a:1",), **facts})

    assert said in str(refusal.value)


def test_a_token_is_in_no_outcome():
    plan = LoadPlan(pipeline="locate", urls=("grpcs://models.example",), ca=Path("ca.pem"), token="s3cret")

    assert "s3cret" not in json.dumps(plan.to_dict()) + repr(plan)
    assert plan.to_dict()["ca"] == "ca.pem"


def limits(tmp_path, text):
    path = tmp_path / "limits.toml"
    path.write_text(text)
    return read_limits(path)


def test_every_problem_of_limits_is_told_with_its_address(tmp_path):
    text = """
        [every]
        p95 = 500
        p50_ms = 90
        p99_ms = 80
        error_share = 2
        throughput_rps = "many"
        [PositionOverGrcp]
        p95_ms = 1
        [LabelOverHttp]
        p95_ms = true
    """
    with pytest.raises(LimitsError) as refusal:
        limits(tmp_path, text)

    problems = [str(problem).removeprefix(f"{tmp_path}/limits.toml: ") for problem in refusal.value.problems]
    assert problems == [
        "every.p95: unknown; did you mean 'p95_ms'?",
        "every.error_share: expected a number at least 0 and at most 1, got 2",
        "every.throughput_rps: expected a number above 0, got 'many'",
        "every.p99_ms: 80 is less than p50_ms, which is 90 and never more",
        "PositionOverGrcp: no class of users is called so; did you mean 'PositionOverGrpc'?",
        "LabelOverHttp.p95_ms: expected a number above 0, got True",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "every: missing"), ("[every", "is no TOML"), (None, "cannot be read: No such file")],
    ids=["empty", "broken", "absent"],
)
def test_limits_that_cannot_be_read_are_told(tmp_path, text, said):
    with pytest.raises(LimitsError, match=said):
        limits(tmp_path, text) if text is not None else read_limits(tmp_path / "nowhere.toml")


def test_what_a_class_says_takes_the_place_of_what_every_class_has(tmp_path):
    found = limits(tmp_path, "[every]\np95_ms = 500\nthroughput_rps = 9\n[LabelOverHttp]\np95_ms = 600\n")

    assert {name: limit.bound for name, limit in found.of("LabelOverHttp").items()} == {
        "p95_ms": 600.0,
        "error_share": 0.0,
        "throughput_rps": 9.0,
    }


@pytest.mark.parametrize("name", LOADS)
def test_each_figure_is_kept_and_missed_on_its_own_side(name):
    """A bound just beyond what was measured passes, one just short of it does not."""
    found = outcome([*HUNDRED, (0.0, 1.0, "ServerBusy")])
    measured = getattr(found.total, name)
    easy, hard = (1.01, 0.99) if LOADS[name] == "at_most" else (0.99, 1.01)

    kept, missed = (
        {each.figure: each.passed for each in judge(found, Limits(every={name: measured * share})).judged}
        for share in (easy, hard)
    )

    assert (kept[name], missed[name]) == (True, False)


def test_without_limits_no_request_may_fail():
    assert judge(outcome(HUNDRED), Limits()).passed
    assert not judge(outcome([*HUNDRED, (0.0, 1.0, "ServerBusy")]), Limits()).passed


@pytest.mark.parametrize(
    ("ended", "said"),
    [
        (DONE, "locate: within limits, all 1"),
        (LOST, "locate: NOT within limits: the server went away after 10 s of 10 s"),
        (INTERRUPTED, "locate: interrupted after 10 s of 10 s, so there is no verdict"),
    ],
)
def test_only_a_load_that_lasted_to_its_end_can_pass(ended, said):
    verdict = judge(outcome(HUNDRED, ended), Limits())

    assert (str(verdict), verdict.passed) == (said, ended == DONE)


def test_a_load_in_which_nothing_was_asked_is_no_pass():
    verdict = judge(outcome([]), Limits())

    assert not verdict.passed
    assert "nothing to judge" in str(verdict)
    assert "nothing to judge" in page(verdict, Limits(), "no rows")


def test_users_who_asked_nothing_keep_to_no_limit():
    """Of one protocol all is well; over the other not one request ended."""
    silent = "PositionOverHttp"
    verdict = judge(outcome(HUNDRED, classes=(GRPC, silent)), Limits(every={"error_share": 1, "p95_ms": 500}))

    assert {(each.users, each.figure): each.passed for each in verdict.judged} == {
        (GRPC, "p95_ms"): True,
        (GRPC, "error_share"): True,
        (silent, "p95_ms"): False,
        (silent, "error_share"): False,
    }
    assert str(verdict) == "locate: NOT within limits: 2 of 4 missed"
    assert silent in table(verdict)
    assert "nothing to judge" in str(judge(outcome([], classes=(GRPC,)), Limits()))


def test_one_error_of_millions_is_not_rounded_away():
    figures = Figures.of(Samples.of([]), 1.0)
    many = replace(figures, requests=9_000_000, errors={"ServerBusy": 1})

    assert 0 < many.to_dict()["error_share"] < 1e-6


@pytest.mark.parametrize(("ended", "colour"), [(DONE, "passed"), (LOST, "failed"), (INTERRUPTED, "none")])
def test_the_page_is_of_the_colour_of_its_verdict(ended, colour):
    """Without a verdict it is neither green nor red, whatever limits were missed until then."""
    limits = Limits() if ended == DONE else Limits(every={"p95_ms": 1})

    assert f'<p class="verdict {colour}">' in page(judge(outcome(HUNDRED, ended), limits), limits, "rows")


def test_where_all_failed_there_is_a_page_too():
    html = page(judge(outcome([(0.0, 3.0, "ServerBusy")] * 9), Limits()), Limits(), "rows")

    assert "9 x ServerBusy: its queue is full" in html


def test_a_page_that_cannot_be_written_is_told_and_leaves_what_was_there(tmp_path, monkeypatch):
    path, verdict = tmp_path / "load.html", judge(outcome(HUNDRED), Limits())
    write_report(path, verdict, Limits(), "rows")
    before = path.read_text()

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "replace", full)

    with pytest.raises(LoadTestError, match="load.html cannot be written: No space left on device"):
        write_report(path, verdict, Limits(), "other rows")
    assert (path.read_text(), [each.name for each in tmp_path.iterdir()]) == (before, ["load.html"])


def test_a_spike_that_never_came_makes_its_figures_doubtful():
    """Fewer users were there at once than the plan says."""
    measured = Measurements()
    measured.begin(0.0)
    measured.take(report(1.0, [], users=10))

    assert measured.summary(10)["warnings"] == ()
    assert measured.summary(100)["warnings"] == (
        "no more than 10 of 100 users were there at once: let the load last longer",
    )


def test_a_generator_that_was_busy_in_a_spike_alone_is_told_too():
    measured = Measurements()
    measured.begin(0.0)
    for at in range(30):
        measured.take(report(float(at), [], busy=0.99 if 10 <= at < 20 else 0.2))

    (warning,) = measured.summary()["warnings"]
    assert warning.startswith("a generator took 99% of a processor core")


def test_a_generator_that_had_no_time_left_makes_its_figures_doubtful():
    (warning,) = outcome(HUNDRED, busy=0.97).warnings

    assert warning.startswith("a generator took 97% of a processor core")
    assert outcome(HUNDRED).warnings == ()


def test_table_and_page_say_the_same():
    """Verdict, limits, figures and the first sentence of each error; of the page nothing is fetched."""
    verdict = judge(outcome([*HUNDRED, (0.0, 1.0, "ServerBusy")]), Limits(every={"p95_ms": 50, "p50_ms": 60}))
    text, html = table(verdict), page(verdict, Limits(every={"p95_ms": 50}), "64 rows of <rows>.npz")

    for said in ("at most 50", "95", "NO", "1 x ServerBusy: its queue is full"):
        assert said in text
        assert said in html
    assert html.count("<svg") == 3
    assert "64 rows of &lt;rows&gt;.npz" in html
    assert "p95 at most 50" in html
    assert not [word for word in ("<script", "<link", "<img", "src=") if word in html]


def test_locust_stays_in_its_own_process():
    """Gevent rewrites the sockets of whoever imports it: neither the command nor the gate do."""
    program = (
        "import sys, sextant_cli.verbs.loadtest, sextant_loadtest.__main__, sextant_promote.gates; print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()

    assert {"locust", "gevent", "sextant_loadtest.swarm"} & set(loaded) == set()
