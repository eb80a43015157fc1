"""A journal: whole lines in their order, whatever a crash cut off."""

from __future__ import annotations

import threading

import pytest

from sextant_export.journal import CANARY, PRUNED, SERVED, journal_path, note, pruned, read_journal
from sextant_export.store import Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store").prepare()


def test_what_was_noted_is_read_in_its_order(store):
    """With the facts that came along."""
    note(store, "locate", SERVED, 1)
    note(store, "locate", SERVED, 2, replaced=1)

    said = [(event.event, event.release, event.facts) for event in read_journal(store, "locate")]

    assert said == [("served", 1, {}), ("served", 2, {"replaced": 1})]
    assert read_journal(store, "other") == ()


def test_what_no_reader_would_understand_is_refused(store):
    with pytest.raises(ValueError, match="expected one of made, served, rolled back.*got 'flipped'"):
        note(store, "locate", "flipped", 1)

    assert not journal_path(store, "locate").exists()


@pytest.mark.parametrize(
    "torn", ['{"at": "2026-01-0', "{}\n[1, 2]\n", '{"at": "x", "event": "served", "release": null}\n']
)
def test_a_line_that_was_cut_off_says_nothing_and_spoils_no_other(store, torn):
    note(store, "locate", SERVED, 1)
    with journal_path(store, "locate").open("a") as file:
        file.write(torn)
    before = read_journal(store, "locate")
    note(store, "locate", SERVED, 2)

    assert [event.release for event in before] == [1]
    assert [event.release for event in read_journal(store, "locate")] == [1, 2]


def test_those_who_write_at_once_do_not_mix(store):
    """Each line is one call of the operating system."""
    reason = "x" * 3000
    writers = [
        threading.Thread(target=lambda n=n: [note(store, "locate", CANARY, n, reason=reason) for _ in range(20)])
        for n in range(1, 5)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    events = read_journal(store, "locate")

    assert len(events) == 80
    assert all(event.facts["reason"] == reason for event in events)


def test_what_was_pruned_stays_so(store):
    note(store, "locate", PRUNED, 3)
    note(store, "locate", SERVED, 4)

    assert pruned(store, "locate") == {3}
