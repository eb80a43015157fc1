"""The result log keeps every whole line, and stays bounded."""

from __future__ import annotations

import threading

import pytest

from sextant_export.store import Store
from sextant_promote.results import Result, append_results, read_results, results_path


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def result(case, **facts):
    return Result(at="2026-01-01T00:00:00.000+00:00", case=case, expected="cat", server="grpc://127.0.0.1:1", **facts)


def test_what_was_appended_is_read(store):
    """Every field, and the last ones only."""
    full = result(
        2,
        release=3,
        versions={"oak": "models:/oak/7"},
        steps={"oak": 1200},
        prediction="cat",
        correct=True,
        latency_ms=1.5,
    )
    failed = result(3, error="nothing answers")

    append_results(store, "locate", [result(1), full])
    append_results(store, "locate", [failed])

    assert read_results(store, "locate", last=2) == (full, failed)


def test_there_is_no_log_before_the_first_result(store):
    assert read_results(store, "locate") == ()


def test_a_line_that_a_crash_cut_off_costs_no_other(store):
    append_results(store, "locate", [result(1)])
    with results_path(store, "locate").open("ab") as log:
        log.write(b'{"at": "2026-01-')

    append_results(store, "locate", [result(2)])

    assert [each.case for each in read_results(store, "locate")] == [1, 2]


@pytest.mark.parametrize("line", [b"7\n", b"[]\n", b'{"case": 1}\n', b"\xff\n"], ids=repr)
def test_a_line_that_is_no_result_is_passed_over(store, line):
    append_results(store, "locate", [result(1)])
    with results_path(store, "locate").open("ab") as log:
        log.write(line)

    assert [each.case for each in read_results(store, "locate")] == [1]


def test_what_another_version_wrote_besides_is_passed_over(store):
    append_results(store, "locate", [result(1)])
    path = results_path(store, "locate")
    path.write_text(path.read_text().replace('"case"', '"mood": "good", "case"'))

    assert [each.case for each in read_results(store, "locate")] == [1]


def test_a_full_log_makes_room(store):
    """The one before goes; what is read runs through both."""
    for case in range(4):
        append_results(store, "locate", [result(case)], largest=1)

    assert [each.case for each in read_results(store, "locate")] == [2, 3]
    assert sorted(path.name for path in (store.root / "results").iterdir()) == ["locate.jsonl", "locate.jsonl.1"]


def test_several_may_write_at_once(store):
    """Each line is whole, and none is lost when the log is moved aside."""
    append_results(store, "locate", [result(0)])
    line = results_path(store, "locate").stat().st_size

    def write(first):
        for case in range(first, first + 20):
            append_results(store, "locate", [result(case)], largest=60 * line)

    writers = [threading.Thread(target=write, args=(100 * n,)) for n in range(1, 5)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    cases = [each.case for each in read_results(store, "locate")]
    assert sorted(cases) == [0, *(100 * n + i for n in range(1, 5) for i in range(20))]
