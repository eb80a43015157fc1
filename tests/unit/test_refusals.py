"""What was refused is remembered by whoever comes next."""

from __future__ import annotations

import pytest

from sextant_export.receipt import pipelines
from sextant_export.store import Store
from sextant_promote.refusals import KEPT, count_loss, forget, refused, remember


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store").prepare()


def test_a_refusal_is_remembered_until_it_is_forgotten(store):
    remember(store, "locate", "a", "no signature")
    before = refused(store, "locate", "a"), refused(store, "locate", "b"), refused(store, "find", "a")
    forget(store, "locate", "a")

    assert before == ("no signature", None, None)
    assert refused(store, "locate", "a") is None


def test_losses_are_counted_and_are_no_refusal(store):
    times = [count_loss(store, "locate", identity) for identity in ("a", "a", "b", "a")]
    before = refused(store, "locate", "a")
    remember(store, "locate", "a", "no signature")

    assert times == [1, 2, 1, 3]
    assert (before, refused(store, "locate", "a")) == (None, "no signature")


def test_only_the_newest_are_kept(store):
    for number in range(KEPT + 5):
        remember(store, "locate", str(number), "no")

    kept = [number for number in range(KEPT + 5) if refused(store, "locate", str(number))]

    assert kept == list(range(5, KEPT + 5))


@pytest.mark.parametrize("content", ["", "[]", "{"], ids=repr)
def test_a_damaged_memory_costs_one_more_try(store, content):
    remember(store, "locate", "a", "no signature")
    (store.releases / "locate" / "refused.json").write_text(content)

    assert refused(store, "locate", "a") is None
    remember(store, "locate", "a", "no signature")
    assert refused(store, "locate", "a") == "no signature"


def test_it_makes_no_pipeline(store):
    remember(store, "locate", "a", "no signature")

    assert pipelines(store) == []
