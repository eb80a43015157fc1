"""A front in the store, as an ensemble and as a router: what callers see of it is the same, and every step is whole."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from routed_releases import make_store
from sextant_export.config import CLASSES, Configs, candidate_of, describe_classes, release_of, said
from sextant_export.shells import write_block
from sextant_export.store import Store
from sextant_promote.canary.routing import routed, router_config
from sextant_promote.front import ENSEMBLE
from sextant_server.store import ensembles

pytestmark = pytest.mark.models
PARAMETERS = {"pipeline": "p", "serving": 1, "candidate": 2, "weight": 0.1}


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "store")
    make_store(store)
    return store


def become_router(store, version):
    store.add_version("p", version, partial(write_block, "route", PARAMETERS))
    store.write_configs(Configs(router_config(store.config("p"), 2, version)))


def test_a_router_says_all_that_the_front_says(store):
    front = store.config("p")
    describe_classes(front, ["cat", "dog"])

    router = router_config(front, 2, 7)

    assert router.input == front.input
    assert router.output == front.output
    assert router.max_batch_size == front.max_batch_size
    assert (release_of(router), candidate_of(router), said(router, CLASSES)) == (1, 2, '["cat", "dog"]')
    assert (release_of(front), candidate_of(front)) == (1, None)


def test_a_router_is_a_front_and_no_setting_that_releases_share(store):
    become_router(store, 7)

    assert routed(store, "p")
    assert store.served_release("p") == 1
    assert store.settings().keys() == {"p.adds"}
    assert store.pinned() == {"p.adds": {1, 2}}
    assert ensembles(store.root) == ("p", "p.r1", "p.r2")


def test_a_version_of_a_router_is_its_shell_its_parameters_and_a_file_in_the_way(store):
    become_router(store, 7)

    assert sorted(path.name for path in (store.models / "p" / "7").iterdir()) == [
        "__pycache__",
        "model.py",
        "parameters.json",
    ]
    assert (store.models / "p" / "7" / "__pycache__").is_file()


@pytest.mark.parametrize("last", range(5))
def test_whatever_step_is_the_last_the_front_loads(store, monkeypatch, last):
    """There and back, cut off before its first, second, ... rename: what the configuration names is there, whole."""
    steps = iter(range(last))

    def counted(rename):
        def step(*arguments):
            if next(steps, None) is None:
                raise KeyboardInterrupt
            return rename(*arguments)

        return step

    ensemble = store.config("p")
    with monkeypatch.context() as cut:
        for name in ("rename", "replace"):
            cut.setattr(Path, name, counted(getattr(Path, name)))
        with suppress(KeyboardInterrupt):
            become_router(store, 7)
            store.write_ensemble(ensemble)
            store.remove_version("p", 7)
    named = store.twins("p").versions

    assert routed(store, "p") == (last == 2)
    assert named == ({7} if last == 2 else {ENSEMBLE})
    assert named <= store.versions("p")
    for version in store.versions("p") - {ENSEMBLE}:
        assert len([*(store.models / "p" / str(version)).iterdir()]) == 3
