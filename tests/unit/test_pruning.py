"""Pruning takes what nobody goes back to, and nothing that anybody may need; it may die at any step."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from click.testing import CliRunner

import made_releases as made
from sextant.errors import LeaseHeld, ModelNotReady, StoreError
from sextant_cli.verbs.prune import prune as prune_verb
from sextant_export.evidence import proof_path
from sextant_export.journal import pruned
from sextant_export.receipt import read_receipt, releases, write_receipt
from sextant_export.release import find_release, place_again
from sextant_export.store import Store
from sextant_promote.lease import lease
from sextant_promote.pruning import plan_pruning, prune


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store").prepare()


def files(store):
    return {str(path.relative_to(store.root)) for path in store.root.rglob("*") if path.is_file()}


def test_the_newest_that_served_stay_and_the_others_go(store):
    """With their version directories and their evidence; every receipt stays what it was."""
    made.served(store, 5)

    done = prune(store, keep=3)

    assert (done.releases, done.kept) == ({"locate": (1, 2)}, {"locate": (3, 4, 5)})
    assert done.versions == (("forest", 1), ("forest", 2), ("locate.scale", 1), ("locate.scale", 2))
    assert store.versions("forest") == store.versions("locate.scale") == {3, 4, 5}
    assert [proof_path(store, "locate", n).is_file() for n in range(1, 6)] == [False, False, True, True, True]
    assert releases(store, "locate") == [1, 2, 3, 4, 5]
    assert made.outcome(store, 1) == "served"


def test_what_serves_and_what_it_replaced_stay_whatever_their_numbers(store):
    """After a rollback by two the serving release is an old one."""
    made.served(store, 5)
    made.serve(store, read_receipt(store, "locate", 2))

    done = prune(store, keep=1)

    assert done.kept == {"locate": (2, 5)}
    assert store.versions("forest") == {2, 5}


def test_a_plan_says_the_same_and_does_nothing(store):
    made.served(store, 5)
    before = files(store)

    planned = plan_pruning(store, keep=2)

    assert files(store) == before
    assert prune(store, keep=2) == planned
    assert planned.size > 0


def test_pruning_twice_changes_nothing(store):
    made.served(store, 5)
    prune(store, keep=2)
    before = files(store)

    again = prune(store, keep=2)

    assert (again.releases, again.versions, again.size) == ({"locate": ()}, (), 0)
    assert files(store) == before


def test_what_another_pipeline_is_wired_to_stays(store):
    """Even where it only might be gone back to."""
    made.served(store, 2, "other")
    made.served(store, 5)

    prune(store, "locate", keep=1)

    assert store.versions("forest") == {1, 2, 4, 5}
    assert store.versions("locate.scale") == {4, 5}
    assert store.versions("other.scale") == {1, 2}


def test_what_a_refused_release_left_goes(store):
    made.served(store, 2)
    made.refuse(store, 3, forest=7)

    done = prune(store)

    assert done.releases == {"locate": (3,)}
    assert store.versions("forest") == {1, 2}
    assert made.outcome(store, 3) == "refused"


def test_a_candidate_that_is_tried_stays(store):
    """Its ensemble stands in the store, or the front names it."""
    made.served(store, 3)
    made.make(store, 4, forest=4)

    prune(store, keep=1)

    assert store.versions("forest") == {2, 3, 4}


def test_a_model_of_which_no_version_is_left_goes_whole(store):
    """A pipeline that was given up leaves nothing but its receipts."""
    made.served(store, 2, "other")
    for name in ("other", "other.r1", "other.r2"):
        store.remove(name)
    for number in (1, 2):
        receipt = read_receipt(store, "other", number)
        write_receipt(store, receipt.ended("removed"))
    made.served(store, 1)

    done = prune(store)

    assert done.models == ("other.scale",)
    assert sorted(path.name for path in store.models.iterdir()) == ["forest", "locate", "locate.r1", "locate.scale"]
    assert store.versions("forest") == {1}


def test_a_policy_never_names_what_went(store):
    """A kept release whose ensemble is out of the store is not in the policy, and comes back when asked for."""
    made.served(store, 5)

    prune(store, keep=3)
    before = store.twins("forest").versions
    place_again(store, read_receipt(store, "locate", 3))

    assert before == {4, 5}
    assert store.twins("forest").versions == {3, 4, 5}


def test_a_pruned_release_is_no_way_back_and_the_sentence_names_the_cure(store):
    made.served(store, 4)
    prune(store, keep=1)
    before = files(store)

    with pytest.raises(StoreError, match=r"r1 of locate was pruned.*forest version 1 and run `sextant promote`"):
        place_again(store, read_receipt(store, "locate", 1))

    assert files(store) == before


def test_a_pruned_release_is_made_again_and_not_found(store):
    """Not even where a later release brought its versions back."""
    made.served(store, 4)
    prune(store, keep=1)
    made.make(store, 5, forest=1, models=(("forest", 1),), identity="later")

    assert find_release(store, "locate", "made of forest 1") is None
    assert find_release(store, "locate", "made of forest 4").release == 4


@pytest.mark.parametrize("step", ["write_configs", "remove_version", "_move_out"])
@pytest.mark.parametrize("after", range(3))
def test_what_was_cut_off_is_ended_by_the_same_command(store, monkeypatch, step, after):
    """Whatever serves is whole in between, no policy names what is gone, and nobody goes back to a half."""
    made.served(store, 5)
    calls = iter(range(100))
    whole = getattr(Store, step)

    def cut_off(*arguments):
        if next(calls) == after:
            raise KeyboardInterrupt
        return whole(*arguments)

    monkeypatch.setattr(Store, step, cut_off)
    with suppress(KeyboardInterrupt):
        prune(store, keep=2)
    monkeypatch.undo()
    assert pruned(store, "locate") == {1, 2, 3}
    assert all(store.twins(model).versions <= store.versions(model) for model in ("forest", "locate.scale"))
    assert {4, 5} <= store.versions("forest")

    prune(store, keep=2)

    assert store.versions("forest") == store.versions("locate.scale") == {4, 5}
    assert not list(store.releases.glob(".*.partial"))


def test_a_pipeline_at_work_is_left_alone(store):
    made.served(store, 3)

    with lease(store, "locate"), pytest.raises(LeaseHeld, match="locate is at work"):
        prune(store, keep=1)

    assert store.versions("forest") == {1, 2, 3}


def test_a_pipeline_that_never_was_is_named_and_leaves_no_folder(store):
    made.served(store, 1)

    with pytest.raises(ModelNotReady, match="did you mean 'locate'"):
        prune(store, "locat")

    assert not (store.releases / "locat").exists()


def test_an_edited_receipt_is_neither_pruned_nor_counted(store):
    """Nobody knows what it was wired to."""
    made.served(store, 4)
    path = store.releases / "locate" / "r1.json"
    path.write_text(path.read_text().replace("forest", "forst"))

    done = prune(store, keep=1)

    assert done.releases == {"locate": (2,)}
    assert store.versions("forest") == {1, 3, 4}


def test_the_command_says_what_goes_and_what_went(store):
    made.served(store, 5)
    words = ["--store", str(store.root), "--keep", "2"]

    planned = CliRunner().invoke(prune_verb, [*words, "--plan"]).output
    as_json = json.loads(CliRunner().invoke(prune_verb, [*words, "--plan", "--json"]).output)
    done = CliRunner().invoke(prune_verb, words).output

    assert planned.startswith("locate: keeps r4, r5; would go: r1, r2, r3\n3 releases, 6 version directories, ")
    assert (as_json["plan"], as_json["releases"]) == (True, {"locate": [1, 2, 3]})
    assert done.startswith("locate: keeps r4, r5; gone: r1, r2, r3\n")
