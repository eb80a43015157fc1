"""The page of metrics of a watch: it counts what is told, and answers whatever the servers do."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from metric_pages import samples, until, value
from sextant.errors import ParametersError, ServerUnreachable
from sextant_export.store import Store
from sextant_promote.results import Result, append_results
from sextant_promote.watch import IN_ORDER, Notice, Pass
from sextant_promote.watch_metrics import WatchMetrics


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store").prepare()


@pytest.fixture
def measured(store):
    return WatchMetrics(store, look_s=0.01)


def notice(event, pipeline="locate"):
    return Notice(at="2026-01-01T00:00:00+00:00", pipeline=pipeline, event=event, sentence="", release=7)


def passed(outcome, pipeline="locate", *, page="", **facts):
    return Pass(page=Path(page or f"{pipeline}.yaml"), pipeline=pipeline, outcome=outcome, seconds=0.2, **facts)


def server(name, release):
    """A server whose answer for any pipeline is what *release* gives."""
    return SimpleNamespace(url=f"grpc://{name}:8001", control=SimpleNamespace(release=release))


def seen(measured, *servers):
    """Let *measured* see a fleet of these, as a pass would."""
    measured.seen(lambda: SimpleNamespace(servers=servers))()


def test_every_line_of_the_log_is_counted_and_still_told(measured):
    heard = []
    tell = measured.telling(heard.append)
    for event in ("promoted", "rolled back", "rolled back", "away"):
        tell(notice(event))

    with measured.served_at("127.0.0.1", 0) as url:
        counted = {
            event: value(url, "sextant_watch_events_total", pipeline="locate", event=event)
            for event in ("promoted", "rolled_back", "away")
        }

    assert counted == {"promoted": 1, "rolled_back": 2, "away": 1}
    assert [one.event for one in heard] == ["promoted", "rolled back", "rolled back", "away"]


def test_passes_are_counted_by_how_they_ended(measured):
    """The last says whether there is trouble; what did not happen yet is there at zero."""
    for outcome in (IN_ORDER, "away", "away"):
        measured.passed(passed(outcome))
    measured.passed(passed(IN_ORDER, "zone"))

    with measured.served_at("127.0.0.1", 0) as url:
        assert value(url, "sextant_watch_passes_total", pipeline="locate", outcome="in_order") == 1
        assert value(url, "sextant_watch_passes_total", pipeline="locate", outcome="away") == 2
        assert value(url, "sextant_watch_in_trouble", pipeline="locate") == 1
        assert value(url, "sextant_watch_in_trouble", pipeline="zone") == 0
        assert value(url, "sextant_watch_pass_seconds_bucket", pipeline="locate", le="0.25") == 3
        assert value(url, "sextant_watch_last_pass_timestamp_seconds", pipeline="zone") > 1.7e9
        assert value(url, "sextant_watch_events_total", pipeline="zone", event="refused") == 0


def test_a_page_that_is_of_another_pipeline_now_leaves_no_trouble_behind(measured):
    """A page that cannot be read goes by the name of its file, and what it is of is only known when it can."""
    measured.passed(passed("refused", "page", page="page.yaml"))
    measured.passed(passed(IN_ORDER, "locate", page="page.yaml", asked_every_s=300.0))

    with measured.served_at("127.0.0.1", 0) as url:
        until(lambda: value(url, "sextant_known_cases_every_seconds", pipeline="locate"), lambda every: every == 300)
        kept = {dict(labels).get("pipeline") for (name, labels) in samples(url) if name in LASTING}

    assert kept == {"locate"}


LASTING = {"sextant_watch_in_trouble", "sextant_watch_last_pass_timestamp_seconds", "sextant_known_cases_every_seconds"}
"""What is true until something else is said."""


def test_servers_are_asked_what_they_serve(measured):
    def away(_):
        raise ServerUnreachable("nothing answers")

    measured.passed(passed(IN_ORDER))
    seen(measured, server("a", lambda _: 7), server("b", lambda _: None), server("c", away))
    with measured.served_at("127.0.0.1", 0) as url:
        until(lambda: value(url, "sextant_server_up", server="grpc://a:8001"), lambda up: up == 1)
        page = samples(url)

    assert {dict(labels)["server"]: up for (name, labels), up in page.items() if name == "sextant_server_up"} == {
        "grpc://a:8001": 1,
        "grpc://b:8001": 1,
        "grpc://c:8001": 0,
    }
    assert {dict(of)["server"]: says for (name, of), says in page.items() if name == "sextant_serving_release"} == {
        "grpc://a:8001": 7,
        "grpc://b:8001": 0,
    }


def test_a_server_that_hangs_does_not_keep_the_page_from_being_read(measured):
    asked, enough = threading.Event(), threading.Event()

    def hangs(_):
        asked.set()
        enough.wait(60)

    measured.passed(passed(IN_ORDER))
    seen(measured, server("a", hangs))
    with measured.served_at("127.0.0.1", 0) as url:
        assert asked.wait(10)
        counted = value(url, "sextant_watch_passes_total", outcome="in_order")
        enough.set()

    assert counted == 1


def test_a_look_that_breaks_is_followed_by_another(measured):
    """Whatever broke in it; the page says how old what it shows is."""
    looks = iter([ZeroDivisionError("a bug")])

    def release(_):
        for error in looks:
            raise error
        return 7

    measured.passed(passed(IN_ORDER))
    seen(measured, server("a", release))
    with measured.served_at("127.0.0.1", 0) as url:
        until(lambda: value(url, "sextant_serving_release"), lambda release: release == 7)

        assert value(url, "sextant_watch_looked_timestamp_seconds") > 1.7e9


def test_known_cases_are_read_anew_when_their_log_has_grown(measured, store):
    def result(**facts):
        return Result(at="2026-01-01T00:00:00.000+00:00", case=1, expected="hall", server="", release=7, **facts)

    measured.passed(passed(IN_ORDER))
    with measured.served_at("127.0.0.1", 0) as url:
        accuracy = lambda: value(url, "sextant_known_cases_accuracy", pipeline="locate", release="7")  # noqa: E731
        until(lambda: value(url, "sextant_watch_looked_timestamp_seconds"), bool)
        before = accuracy()
        append_results(store, "locate", [result(correct=False)])
        until(accuracy, lambda share: share == 0)
        append_results(store, "locate", [result(correct=True)])
        until(accuracy, lambda share: share == 1)

    assert before is None


def test_a_port_that_is_taken_is_said(measured):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = f"metrics cannot be served on 127.0.0.1:{port}: Address already in use; name a free port"

        with pytest.raises(ParametersError, match=said), measured.served_at("127.0.0.1", port):
            pass


def test_a_page_that_is_closed_lets_go_of_its_port_and_threads(measured):
    before = threading.active_count()
    with measured.served_at("127.0.0.1", 0) as url:
        port = int(url.rpartition(":")[2].partition("/")[0])
        samples(url)

    until(threading.active_count, lambda now: now == before)
    with measured.served_at("127.0.0.1", port) as again:
        assert again == url
