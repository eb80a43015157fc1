"""What became of every release, and what differs between two of them."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

import made_releases as made
from sextant.errors import ModelNotReady, PromoteError, ReceiptError
from sextant_cli.verbs.diff import diff
from sextant_cli.verbs.history import history as history_verb
from sextant_export.journal import CANARY, MADE, ROLLED_BACK, SERVED, note
from sextant_export.receipt import read_receipt, receipt_path
from sextant_export.store import Store
from sextant_promote.difference import difference
from sextant_promote.history import history, since
from sextant_promote.pruning import prune

GATE = ({"gate": "median_error_m", "wanted": "at most 9", "measured": 7.25, "passed": True},)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store").prepare()


def test_releases_older_than_the_journal_have_their_moments_from_the_receipts(store):
    made.served(store, 2)

    found = history(store, "locate")

    assert (found.serving, found.since) == (2, "2026-01-02T09:00:00+00:00")
    assert [release.release for release in found.releases] == [2, 1]
    assert [(event.event, event.at[:13]) for event in found.releases[0].events] == [
        ("made", "2026-01-02T08"),
        ("served", "2026-01-02T09"),
    ]


def test_a_rollback_is_seen_and_counts_from_its_own_moment(store):
    """A receipt says nothing of it."""
    made.served(store, 2)
    note(store, "locate", SERVED, 2, replaced=1)
    rolled = note(store, "locate", ROLLED_BACK, 1, replaced=2)

    newest, oldest = history(store, "locate").releases

    assert [event.event for event in oldest.events] == ["made", "served", "rolled back"]
    assert [event.event for event in newest.events] == ["made", "served"]
    assert since(store, "locate", 1) == rolled.at


def test_every_kind_of_end_is_told_in_words(store):
    """Served with its gates, refused with its reason, a canary's verdict, pruned, edited, gone."""
    for number in range(1, 5):
        made.serve(store, made.make(store, number, forest=number, gate=GATE))
    made.refuse(store, 5, forest=5)
    note(store, "locate", CANARY, 5, outcome="roll back", reason="wrong answers: 4 % more")
    note(store, "locate", ROLLED_BACK, 3, replaced=4)
    prune(store, keep=2)
    path = receipt_path(store, "locate", 2)
    path.write_text(path.read_text().replace("forest", "forst"))
    receipt_path(store, "locate", 1).unlink()

    said = CliRunner().invoke(history_verb, ["locate", "--store", str(store.root)]).output
    as_json = json.loads(CliRunner().invoke(history_verb, ["locate", "--store", str(store.root), "--json"]).output)

    assert said.startswith("locate: r4 serves since 2026-01-04 09:00:00 UTC\n")
    assert "r5    refused, pruned: forest version 5\n        median_error_m 12 (NOT at most 9)" in said
    assert "canary: roll back, wrong answers: 4 % more" in said
    assert "gates: median_error_m 7.25 (at most 9)" in said
    assert "rolled back to, r4 before" in said
    assert "r2    edited, pruned: " in said
    assert "r1    gone, pruned: " in said
    assert [each["release"] for each in as_json["releases"]] == [5, 4, 3, 2, 1]
    assert as_json["releases"][1]["members"] == {"oak": {"model": "forest", "version": 4}}


def test_the_history_of_nothing_is_an_error_with_a_guess(store):
    made.served(store, 1)

    with pytest.raises(ModelNotReady, match="did you mean 'locate'"):
        history(store, "lokate")


def test_only_what_differs_is_told(store):
    """Each thing once, under its heading; what merely numbers a release is no difference."""
    made.make(store, 1, forest=1)
    spec = {"name": "locate", "answer": "tensors", "steps": [{"block": "scale", "with": {"offset": 104.0}}]}
    busier = [text.replace("count: 1", "count: 2") for text in read_receipt(store, "locate", 1).configs["forest"]]
    proof = {"oak": {"max_abs_delta": 1e-7, "worst_row": 3}}
    made.make(store, 2, forest=2, spec=spec, gate=GATE, configs={"forest": busier}, proof=proof)
    found = difference(store, "locate", 1, 2)

    told = {heading: [(c.where, c.before, c.after) for c in group] for heading, group in found.changes.items()}

    assert told == {
        "members": [("oak.version", 1, 2), ("oak.artifact_sha256", f"{1:064}", f"{2:064}")],
        "spec": [("steps[0].with.offset", 100.0, 104.0)],
        "proof": [("oak.served", None, {"max_abs_delta": 1e-7})],
        "gates": [("median_error_m", None, {"wanted": "at most 9", "measured": 7.25, "passed": True})],
    }
    assert list(found.configs) == ["forest", "locate.scale"]
    assert "-  count: 1\n+  count: 2\n" in found.configs["forest"]


def test_the_same_release_does_not_differ_from_itself(store):
    made.make(store, 1, forest=1)

    said = CliRunner().invoke(diff, ["locate", "r1", "1", "--store", str(store.root)])

    assert (said.exit_code, said.output) == (0, "locate: r1 -> r1: no difference\n")


def test_without_numbers_the_serving_release_is_held_against_the_one_before(store):
    """With one, that one against the serving release."""
    made.served(store, 3)

    assert [difference(store, "locate", *pair).before for pair in ((), (1,))] == [2, 1]
    assert difference(store, "locate").after == 3


def test_what_cannot_be_compared_says_what_to_name(store):
    made.make(store, 1, forest=1)
    with pytest.raises(PromoteError, match="serves no release.*name the two"):
        difference(store, "locate")
    made.served(store, 1)
    with pytest.raises(PromoteError, match="r1 of locate replaced no release: name the two"):
        difference(store, "locate")
    with pytest.raises(ReceiptError, match=r"there is no .*r7\.json"):
        difference(store, "locate", 1, 7)

    assert CliRunner().invoke(diff, ["locate", "seven", "--store", str(store.root)]).exit_code == 2


def test_a_diff_has_colours_on_a_terminal_only(store):
    made.make(store, 1, forest=1)
    made.make(store, 2, forest=2)
    words = ["locate", "1", "2", "--store", str(store.root)]

    plain = CliRunner().invoke(diff, words).output
    coloured = CliRunner().invoke(diff, words, color=True).output
    as_json = json.loads(CliRunner().invoke(diff, [*words, "--json"]).output)

    assert "members\n  oak.version: 1 -> 2\n" in plain
    assert "\x1b[" in coloured
    assert "\x1b[" not in plain
    assert as_json["changes"]["members"][0] == {"where": "oak.version", "before": 1, "after": 2}


def test_a_release_that_was_made_is_told_before_any_receipt_of_its_serving(store):
    made.make(store, 1, forest=1)
    noted = note(store, "locate", MADE, 1)

    (only,) = history(store, "locate").releases

    assert [(event.event, event.at) for event in only.events] == [("made", noted.at)]
