"""A block counts what it answers, and one thread writes it."""

from __future__ import annotations

import gc
import threading
import weakref

import numpy as np
import pytest

import fake_pb_utils
from block_doors import FUSE, fused, members, shell
from fake_pb_utils import MetricFamily, written
from sextant.backend import Shell
from sextant.blocks import Ellipse, Fuse, Vote
from sextant.errors import FusionError, InputRefused, ModelFailed, ParametersError
from sextant.measures import MEASURES
from sextant.meter import VARIABLE, labels_of
from sextant.refusals import OTHER, REASONS, reason_of
from sextant.tensors import Tensor

SCALE = {"width": 3, "at_least": 0, "missing": 100}
ELLIPSE = {"confidence_levels": [0.5, 0.95], "release": 1}
VOTE = {
    "members": ["a", "b", "c"],
    "slots": {f"label_{slot}": "BYTES" for slot in range(3)},
    "classes": ["cat", "dog"],
    "release": 7,
}


@pytest.fixture(autouse=True)
def page(monkeypatch):
    """An empty page of metrics."""
    monkeypatch.setattr(MetricFamily, "written", {})


def ask(served, *requests):
    """Answer *requests* and write what was measured of them."""
    responses = served.respond([fake_pb_utils.InferenceRequest(tensors) for tensors in requests])
    served.close()
    return responses


def count(name, step, **labels):
    """A metric of the model *step*, which is of no pipeline."""
    return written(name, pipeline="", step=step, release="1", **labels)


def rows(*values):
    return {"features": np.array([values], np.float32)}


def test_a_metric_outlives_its_block_to_the_end_of_the_process(tmp_path, monkeypatch):
    """Taken apart when its process ends, one of Triton's would ask a server that is not there any more."""
    made, make = [], MetricFamily.Metric

    def noted(family, labels):
        metric = make(family, labels)
        made.extend(map(weakref.ref, (family, metric)))
        return metric

    monkeypatch.setattr(MetricFamily, "Metric", noted)
    served = shell(tmp_path, "fuse", FUSE)
    served.close()

    del served
    gc.collect()

    assert made
    assert all(one() is not None for one in made)


def test_everything_is_there_from_the_load_on(tmp_path):
    """A counter that comes with its first count has no rise: nobody would hear of the first refusal."""
    ask(shell(tmp_path, "fuse", FUSE))

    assert {count("sextant_refused_total", "fuse", reason=reason) for reason in REASONS} == {0}
    assert {count("sextant_failures_total", "fuse", cause=cause) for cause in ("model", "bug")} == {0}
    assert count("sextant_between_share_bucket", "fuse", le="0.1") == 0
    assert count("sextant_members_rejected_total", "fuse", member="elm") == 0
    assert count("sextant_block_loads_total", "fuse") == 1
    assert count("sextant_block_loaded_timestamp_seconds", "fuse") > 1.7e9


def test_calls_are_timed_and_answers_laid_into_cumulative_buckets(tmp_path):
    """Two requests of one batch are one call; +Inf holds all."""
    wide, narrow = fused(2), fused(1, fused_covariance=np.array([[[1e4, 0.0], [0.0, 1e4]]]))
    ask(shell(tmp_path, "ellipse", ELLIPSE), wide, narrow)

    buckets = {
        le: count("sextant_ellipse_area_m2_bucket", "ellipse", confidence_level="0.95", le=le)
        for le in ("316", "1000", "100000", "316000", "+Inf")
    }
    assert buckets == {"316": 0, "1000": 2, "100000": 2, "316000": 3, "+Inf": 3}
    assert count("sextant_ellipse_area_m2_count", "ellipse", confidence_level="0.5") == 3
    assert count("sextant_block_seconds_count", "ellipse") == 1
    areas = count("sextant_ellipse_area_m2_sum", "ellipse", confidence_level="0.95")
    assert areas == pytest.approx(np.pi * 5.991465 * (2 * np.sqrt(30 * 50 - 144) + 1e4))


def test_a_member_that_the_gate_leaves_out_is_counted_by_name(tmp_path):
    five = {**FUSE, "members": list("abcde"), "member_covariances": [[[100, 0], [0, 100]]] * 5}
    near = [[0, 0], [0, 1], [1, 0], [1, 1]]
    far, agreed = members(*near, [900, 900]), members(*near, [0, 0])
    ask(shell(tmp_path, "fuse", five), far, agreed, far)

    assert [count("sextant_members_rejected_total", "fuse", member=name) for name in "abcde"] == [0, 0, 0, 0, 2]
    assert count("sextant_between_share_count", "fuse") == 3


def test_agreement_and_confidence_of_labels_are_laid_out(tmp_path):
    votes = {f"label_{slot}": np.array([[word]], object) for slot, word in enumerate([b"dog", b"dog", b"cat"])}
    ask(shell(tmp_path, "vote", VOTE), votes)

    assert count("sextant_agreement_sum", "vote") == pytest.approx(2 / 3)
    within = [count("sextant_agreement_bucket", "vote", le=le) for le in ("0.6", "0.7", "+Inf")]
    assert within == [0, 1, 1]
    assert count("sextant_confidence_sum", "vote") == pytest.approx(60)


def test_what_is_refused_is_counted_by_reason_and_its_batch_mates_are_timed(tmp_path):
    requests = [rows(1, 2, 3), rows(np.nan, 1, 1), rows(1, 2), rows(1, 2, -3), rows(1, 2, 100)]
    responses = ask(shell(tmp_path, "scale", SCALE), *requests, {})

    assert [response.error is None for response in responses] == [True, False, False, False, True, False]
    counted = {reason: count("sextant_refused_total", "scale", reason=reason) for reason in REASONS}
    assert {reason: n for reason, n in counted.items() if n} == {
        "not_finite": 1,
        "shape": 1,
        "out_of_range": 1,
        "missing": 1,
    }
    assert count("sextant_block_seconds_count", "scale") == 2


@pytest.mark.parametrize(
    ("block", "parameters", "tensors", "reason"),
    [
        (Fuse, FUSE, {"member_0": np.zeros((1, 2))}, "missing"),
        (Fuse, FUSE, members([0, 0], [0, 1], [np.inf, 1]), "not_finite"),
        (Fuse, FUSE, members([0, 0], [0, 1], [1e9, 1]), "out_of_range"),
        (Fuse, FUSE, {**members([0, 0], [0, 1], [1, 1]), "member_3": np.zeros((1, 2))}, "unexpected"),
        (Fuse, FUSE, {**members([0, 0], [0, 1], [1, 1]), "sigmas_0": np.array([[1.0, -1.0]])}, "covariance"),
        (Fuse, FUSE, {**members([0, 0], [0, 1], [1, 1]), "member_0": np.array([["a", "b"]])}, "type"),
        (Fuse, FUSE, {**members([0, 0], [0, 1], [1, 1]), "member_0": np.zeros((2, 2))}, "shape"),
        (Ellipse, {**ELLIPSE, "scale_method": "f"}, fused(fused_members_used=np.array([[2]])), "too_few_members"),
        (Vote, VOTE, {f"label_{slot}": np.array([[b""]], object) for slot in range(3)}, "too_few_members"),
    ],
)
def test_every_kind_of_fault_has_its_reason(block, parameters, tensors, reason):
    """By the blocks' own sentences, so that one that is worded anew is still told."""
    with pytest.raises(InputRefused) as refused:
        block(parameters)(**tensors)

    assert reason_of(refused.value) == reason


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (FusionError("positions spread over the whole earth have no mean"), "fusion"),
        (ParametersError("gate: expected a probability"), OTHER),
        (InputRefused("group", "a site of the known cases: 'a'", "'hall' in row 0"), "unknown_text"),
        (InputRefused("features", "something", "a thing nobody thought of"), OTHER),
    ],
)
def test_a_reason_is_one_of_few(error, reason):
    assert reason_of(error) == reason
    assert reason in REASONS


def test_faults_of_models_and_bugs_are_told_apart(tmp_path):
    class Broken:
        inputs = outputs = (Tensor("features", "FP32", (-1,)),)

        def __init__(self, parameters):
            pass

        def __call__(self, features):
            raise ModelFailed("no") if features[0, 0] > 0 else ZeroDivisionError("ours")

    ask(shell(tmp_path, Broken, {}), rows(1), rows(1, 1), rows(-1, 1, 1))

    names = [name for name, _ in MetricFamily.written if name == "sextant_failures_total"]
    counted = {dict(labels)["cause"]: n for (name, labels), n in MetricFamily.written.items() if name in names}
    assert counted == {"model": 2, "bug": 1}


def test_a_measurement_that_breaks_costs_no_answer(tmp_path, monkeypatch):
    """A Triton that takes no more counts, or no metrics at all, still serves."""
    served = shell(tmp_path, "scale", SCALE)
    monkeypatch.setattr(MetricFamily, "written", {})
    (counted,) = ask(served, rows(1, 2, 3))
    monkeypatch.setattr(MetricFamily, "Metric", lambda *_, **__: 1 / 0)
    (unmeasured,) = ask(shell(tmp_path, "scale", SCALE), rows(1, 2, 3))

    assert counted.error is None
    assert unmeasured.error is None
    assert ["is not measured" in line for line in fake_pb_utils.Logger.lines[-2:]] == [True, True]


def test_measuring_can_be_switched_off(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, "off")
    ask(shell(tmp_path, "scale", SCALE), rows(1, 2, 3), rows(np.nan, 1, 1))

    assert MetricFamily.written == {}


def test_one_thread_writes_what_the_others_count(tmp_path, monkeypatch):
    """Two threads that write one metric at the same time end Triton 24.10."""
    writers = set()
    monkeypatch.setattr("sextant.meter.EVERY_S", 0.001)
    increment = fake_pb_utils.Metric.increment

    def noted(metric, amount):
        writers.add(threading.current_thread().name)
        increment(metric, amount)

    monkeypatch.setattr(fake_pb_utils.Metric, "increment", noted)
    served = shell(tmp_path, "scale", SCALE)
    writers.clear()  # a load is written before there is anything to count
    for _ in range(500):
        served.respond([fake_pb_utils.InferenceRequest(rows(1, 2, 3))])
    served.close()

    assert writers == {"meter"}
    assert count("sextant_block_seconds_count", "scale") == 500


def test_what_is_kept_is_no_lent_memory(tmp_path):
    """A block passes some inputs on; their memory is Triton's, and another request's by the time they are counted."""
    served = shell(tmp_path, "ellipse", ELLIPSE)
    tensors = fused(3)
    served.respond([fake_pb_utils.InferenceRequest(tensors)])
    for array in tensors.values():
        array[...] = 0
    served.close()

    assert count("sextant_ellipse_area_m2_sum", "ellipse", confidence_level="0.5") > 0


def test_a_member_by_its_own_python_is_of_no_pipeline():
    """Whatever dots its registered name has."""

    class Own:
        member = True

    labels = labels_of({"model_name": "site.forest", "model_version": "3"}, Own())

    assert labels == {"pipeline": "", "step": "site.forest", "release": "3"}


def test_the_names_of_measures_are_as_prometheus_wants_them():
    """Counters end in _total, and none is there twice."""
    names = [measure.name for measure in MEASURES]

    assert len(set(names)) == len(names)
    assert all(name.startswith("sextant_") for name in names)
    assert all(list(measure.bounds) == sorted(measure.bounds) for measure in MEASURES)


def test_a_block_that_does_not_load_starts_no_thread(tmp_path):
    before = threading.active_count()

    with pytest.raises(ParametersError):
        Shell(fake_pb_utils, {"model_name": "x", "model_repository": str(tmp_path), "model_version": "1"}, Fuse)

    assert threading.active_count() == before
