"""Answers from Triton's response cache are those of the release that serves, whole, and asked for by nobody's gate."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
import tritonclient.grpc as grpc_client
import yaml
from onnx import TensorProto, helper

from embedded_calls import connect, tensor
from embedded_models import graph
from promotion_stage import Stage, keep, resumed
from sextant.errors import PipelineError
from sextant_export.pipeline import load_pipeline
from sextant_export.receipt import read_receipt
from sextant_export.verification import verify
from sextant_promote.canary.routing import route, unroute
from sextant_promote.fleet import Fleet
from sextant_promote.removal import remove
from sextant_promote.status import status
from shy_models import Shy, log_own_python
from small_world import draw

pytestmark = pytest.mark.e2e

CACHED = {"serving": {"max_batch_size": 16, "max_queue_delay_us": 0, "response_cache": True}}
ROW = draw(1, seed=9).features


@pytest.fixture(scope="module")
def promoted(first_world, tmp_path_factory):
    """The folder of a small world whose first release answers equal requests from the cache."""
    root, folder = tmp_path_factory.mktemp("cached"), tmp_path_factory.mktemp("kept")
    shutil.copyfile(first_world.root / "mlflow.db", root / "mlflow.db")
    world = replace(first_world, root=root)
    world.write_spec(CACHED)
    with Stage(world) as stage:
        stage.promote()
        keep(world, folder / "cached")
    return folder / "cached"


@pytest.fixture
def cached(first_world, promoted, tmp_path):
    """A stage of it, with a Triton that was just started: its cache is empty."""
    with Stage(resumed(first_world, promoted, tmp_path)) as stage:
        yield stage


def lookups(stage, model):
    """How often the server found an answer of *model* in its cache, and how often it did not."""
    with connect(stage.triton) as client:
        (found,) = client.get_inference_statistics(model).model_stats
    return found.inference_stats.cache_hit.count, found.inference_stats.cache_miss.count


def cache_of(stage, release):
    """The Triton model whose answers to a *release* of ``locate`` are cached."""
    return read_receipt(stage.store, "locate", release).ensembles[1]


def outputs(stage, model, *names):
    """The names of the outputs that *model* answers with when it is asked for *names*, or for all."""
    wanted = [grpc_client.InferRequestedOutput(name) for name in names] or None
    with connect(stage.triton) as client:
        answer = client.infer(model, [tensor("features", ROW)], outputs=wanted)
    return {output.name for output in answer.get_response().outputs}


def test_an_equal_request_is_answered_from_the_cache_and_any_other_is_computed(cached):
    first, again, other = cached.ask(ROW), cached.ask(ROW), cached.ask(ROW + 1)

    assert first == again
    assert first != other
    assert lookups(cached, cache_of(cached, 1)) == (1, 2)
    assert status(cached.store, cached.control)[0].servers[0].cache == (3, 1, 2)


def test_a_batch_is_another_question_than_its_rows(cached):
    both = np.concatenate([ROW, ROW + 1])

    one, two = cached.ask(ROW), cached.ask(both)

    assert (len(one), len(two)) == (1, 2)
    assert one[0] == two[0]


def test_a_caller_who_asks_for_one_output_leaves_the_others_with_all(cached):
    """Triton's cache would give the part to whoever comes next; the front has asked for all."""
    part = outputs(cached, "locate", "position")

    everything = outputs(cached, "locate")

    assert part == {"position"}
    assert {"position", "covariance", "ellipse", "release"} <= everything
    assert lookups(cached, cache_of(cached, 1)) == (1, 1)


def test_the_first_answer_after_a_flip_is_the_new_releases(cached):
    """And the first after a rollback the old one's, from what it had cached."""
    first = cached.ask(ROW)[0]
    cached.new_ridge(alpha=50.0)

    cached.promote()
    second = cached.ask(ROW)[0]
    cached.rollback()
    third = cached.ask(ROW)[0]

    assert (first.release, second.release, third.release) == (1, 2, 1)
    assert first.latitude != second.latitude
    assert first == third
    assert lookups(cached, cache_of(cached, 1))[0] == 1


def test_a_page_without_the_cache_takes_it_away_and_with_it_brings_it_back(cached):
    cached.ask(ROW)

    cached.promote(cached.world.write_spec())
    computed = cached.ask(ROW)[0]
    cached.rollback()
    looked_up = cached.ask(ROW)[0]

    assert (computed.release, looked_up.release) == (2, 1)
    assert lookups(cached, cache_of(cached, 1))[0] == 1


def test_what_gates_and_canaries_ask_is_computed(cached):
    """A release under its own name has no cache: not while it is measured, nor while it is tried beside another."""
    release = read_receipt(cached.store, "locate", 1)
    fleet = Fleet.of(cached.store, cached.control)
    before = lookups(cached, release.name)[0]

    route(cached.store, fleet, release, release, weight=0.5)
    for _ in range(3):
        cached.ask(ROW)
    unroute(cached.store, fleet, release)
    cached.ask(ROW)

    assert (before, lookups(cached, release.name)[0]) == (0, 0)
    assert lookups(cached, cache_of(cached, 1)) == (0, 1)


def test_a_store_with_a_cached_release_is_sound_and_is_emptied_whole(cached):
    sound = verify(cached.store)

    remove(cached.store, "locate", cached.control)

    assert sound == ()
    assert cached.models() == []


def alone(world, member):
    """A page of one member and its own answers, from the cache where they are there."""
    page = {"name": "locate", "answer": "tensors", "members": {"member": member}, "steps": ["members"], **CACHED}
    world.spec.write_text(yaml.safe_dump(page), encoding="utf-8")
    return load_pipeline(world.spec)


def test_a_model_that_callers_choose_the_width_of_is_not_cached(stage):
    """Two rows of one and one row of two have the same bytes."""
    tensors = {"x": (TensorProto.FLOAT, ("rows", "any"))}, {"y": (TensorProto.FLOAT, ("rows", "any"))}
    wide = graph([helper.make_node("Add", ["x", "x"], ["y"])], *tensors)

    def log(mlflow, **facts):
        return mlflow.onnx.log_model(wide, **facts)

    stage.world.log("wide", log, wide, "champion", signature=False)

    with pytest.raises(PipelineError, match=r"serving.response_cache: x is FP32 \[-1\] per row, and Triton's cache"):
        stage.promote(alone(stage.world, "models:/wide@champion"))
    assert stage.models() == []


def test_its_own_python_is_cached_only_where_somebody_says_that_it_is_deterministic(stage):
    member = {"model_uri": "models:/shy@champion"}
    log_own_python(stage.world, "shy", Shy())

    with pytest.raises(PipelineError, match=r"members.member.deterministic: missing: member is served by its own"):
        stage.promote(alone(stage.world, member))
    done = stage.promote(alone(stage.world, {**member, "deterministic": True}))

    assert done.receipt.cached
