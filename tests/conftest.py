"""What every kind of test may ask for."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from sextant_cli.interrupts import never_lost

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data"


def pytest_collection_modifyitems(items):
    """What a killed server leaves in shared memory belongs to the whole machine: any that starts sweeps it away."""
    for item in items:
        if {"regions", "make_region"} & {*getattr(item, "fixturenames", ())}:
            item.add_marker("alone")


@pytest.fixture(scope="session", autouse=True)
def _interrupts():
    """A Ctrl-C that a test presses is heard, whatever Python does just then."""
    with never_lost():
        yield


@pytest.fixture(scope="session")
def first_world(tmp_path_factory):
    """The small world as it is made, once for all tests: MLflow's migrations alone take seconds."""
    from small_world import make_world

    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture
def world(first_world, tmp_path):
    """A small world of the test's own: its registry a copy, its store empty, its page written."""
    shutil.copyfile(first_world.root / "mlflow.db", tmp_path / "mlflow.db")
    own = replace(first_world, root=tmp_path)
    own.write_spec()
    return own


@pytest.fixture
def real_data():
    """The folder of real data that lies beside a checkout; skips, saying so, without it."""
    if not DATA.is_dir():
        pytest.skip("the real data of ../shared/data is not here")
    return DATA
