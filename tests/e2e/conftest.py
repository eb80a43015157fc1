"""What the tests from a registry to a served answer share."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from promotion_stage import Stage, resumed, tell


@pytest.fixture
def stage(world):
    """A small world, nothing promoted yet, with a Triton on its store."""
    with Stage(world) as stage:
        yield stage


@pytest.fixture(scope="session")
def kept(first_world, tmp_path_factory):
    """The folders of a small world after its first and after its second release."""
    root = tmp_path_factory.mktemp("told")
    shutil.copyfile(first_world.root / "mlflow.db", root / "mlflow.db")
    folder = tmp_path_factory.mktemp("kept")
    tell(replace(first_world, root=root), folder)
    return folder


@pytest.fixture
def served(first_world, kept, tmp_path):
    """A stage whose first release serves."""
    with Stage(resumed(first_world, kept / "served", tmp_path)) as stage:
        yield stage


@pytest.fixture
def moved(first_world, kept, tmp_path):
    """A stage whose second release serves, of a ridge of its own, and whose first is a rollback away."""
    with Stage(resumed(first_world, kept / "moved", tmp_path)) as stage:
        yield stage
