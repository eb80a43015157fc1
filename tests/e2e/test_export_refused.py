"""What is wrong with a page or a registry is said before anything is served; no server is needed to hear it."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path

import pytest
from sklearn.linear_model import Ridge

from sextant.errors import (
    CalibrationError,
    ConversionError,
    PipelineError,
    RegistryError,
    ServerUnreachable,
)
from sextant_export.pipeline import load_pipeline
from sextant_export.release import export, plan
from sextant_promote.control import Control
from sextant_promote.promotion import promote
from small_world import draw

pytestmark = pytest.mark.e2e


def exported(world, pipeline=None):
    return export(pipeline or load_pipeline(world.spec), world.store, world.registry)


def staged(world):
    return [path.name for path in world.store.models.iterdir()]


def test_an_alias_that_does_not_exist_is_named(world):
    """With the aliases that do."""
    page = {"members": {"ridge": "models:/ridge@champoin", "knn": "models:/knn@champion"}}

    with pytest.raises(RegistryError, match="no alias 'champoin'; did you mean 'champion'"):
        exported(world, world.write_spec(page))


def test_a_flavour_that_was_not_saved_is_named_before_anything_is_fetched(world):
    """A plan already says so."""
    page = {"members": {"ridge": {"model_uri": "models:/ridge@champion", "flavor": "sklern"}}}

    with pytest.raises(ConversionError, match="ridge/1 was not saved as sklern; did you mean 'sklearn'"):
        plan(world.write_spec(page), world.store, world.registry)


def test_what_a_killed_export_fetched_goes_with_the_next_one(world, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ended = subprocess.Popen(["true"])
    ended.wait()
    (tmp_path / f"sextant-export-{ended.pid}-left").mkdir()
    (tmp_path / f"sextant-export-{os.getpid()}-at-work").mkdir()

    exported(world)

    assert [path.name for path in tmp_path.glob("sextant-export-*")] == [f"sextant-export-{os.getpid()}-at-work"]


def test_a_model_without_signature_is_named(world):
    """And how to log one."""
    world.register("bare", Ridge(), signature=False)
    page = {"members": {"ridge": "models:/ridge@champion", "bare": "models:/bare@champion"}}

    with pytest.raises(RegistryError, match=r"bare/1: it was logged without a signature.*infer_signature"):
        exported(world, world.write_spec(page))


def test_too_few_known_cases_are_counted(world):
    """A 95 % ellipse cannot be promised on ten rows."""
    pipeline = load_pipeline(world.spec)
    world.write_cases(draw(10, seed=3))

    with pytest.raises(CalibrationError, match="19"):
        exported(world, pipeline)


@pytest.mark.parametrize("rows", [b"", b"not a table"], ids=["empty", "no parquet"])
def test_known_cases_that_cannot_be_read_are_named(world, rows):
    """The sentence says which file."""
    (world.root / "cases.parquet").write_bytes(rows)

    with pytest.raises(CalibrationError, match="cases.parquet"):
        exported(world)


def test_a_model_named_like_a_block_of_the_pipeline_is_refused(world):
    """Its folder would be the block's."""
    world.register("locate.fuse", Ridge())
    members = {"odd": "models:/locate.fuse@champion", "knn": "models:/knn@champion"}

    with pytest.raises(PipelineError, match="would meet the pipeline's own"):
        exported(world, world.write_spec({"members": members}))


def test_one_version_is_not_two_members(world):
    """Asked twice it would agree with itself, and make every ellipse look surer than it is."""
    page = load_pipeline(world.spec).spec
    world.spec.write_text(json.dumps({**page, "members": {**page["members"], "echo": "models:/ridge/1"}}))

    with pytest.raises(PipelineError, match="members.echo: is ridge version 1, as ridge is: drop one"):
        exported(world)

    assert staged(world) == []


def test_members_that_are_not_sure_of_themselves_need_known_cases(world):
    """Neither a covariance of their own nor cases to measure one on: said before anything is served."""
    page = load_pipeline(world.spec).spec
    without = {key: value for key, value in page.items() if key not in {"calibration", "gate"}}
    world.spec.write_text(json.dumps(without))

    with pytest.raises(CalibrationError, match="member ridge gives no covariance.*calibration"):
        exported(world)

    assert staged(world) == []


def test_plan_writes_nothing(world):
    """It needs no server, makes no store, and says which versions would serve."""
    made = plan(load_pipeline(world.spec), world.store, world.registry)

    assert (made.release, made.exists, made.serving) == (1, False, None)
    assert made.members == {"ridge": (None, 1), "forest": (None, 1), "knn": (None, 1)}
    assert not world.store.root.exists()


def test_without_a_server_nothing_is_exported(world):
    """The sentence comes at once, not after minutes of work."""
    with Control("grpc://127.0.0.1:9") as control, pytest.raises(ServerUnreachable, match="127.0.0.1:9"):
        promote(load_pipeline(world.spec), world.store, world.registry, control)

    assert not Path(world.store.root).exists()
