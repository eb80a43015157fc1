"""What blocks write on a real Triton's page of metrics: from several processes, over reloads, and to the end."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient

from block_doors import FUSE, RefusedError, fused, members
from metric_pages import samples, until, value
from served_blocks import copy_committed, infer
from sextant.blocks import BLOCKS
from sextant.meter import VARIABLE
from sextant_export.config import block_config, write_config
from sextant_export.pipeline import Serving
from sextant_server import EmbeddedTriton

pytestmark = pytest.mark.server

SCALE = {"width": 3, "missing": 100}
LEVELS = {"confidence_levels": [0.5, 0.95], "release": 1}
PROCESSES, CALLERS, REQUESTS = 4, 16, 4000


def publish(store, name, block, parameters, *, version=1, processes=1):
    """Put *block* with its *parameters* into *store* as version *version* of the model *name*."""
    place = store / "models" / name
    copy_committed(block, place)
    (place / "1").rename(place / str(version))
    (place / str(version) / "__pycache__").touch()
    (place / str(version) / "parameters.json").write_text(json.dumps(parameters))
    config = block_config(name, BLOCKS[block](parameters), Serving(max_batch_size=64), [version])
    config.instance_group[0].count = processes
    write_config(config, place / "config.pbtxt")


@pytest.fixture(scope="module")
def triton_store(triton_store):
    publish(triton_store, "locate.scale", "scale", SCALE, version=7, processes=PROCESSES)
    publish(triton_store, "locate.fuse", "fuse", FUSE, version=7)
    publish(triton_store, "locate.ellipse", "ellipse", LEVELS, version=7)
    return triton_store


@pytest.fixture(scope="module")
def counted(triton):
    """Asks the server's page for a metric of the release."""

    def count(name, **labels):
        return value(f"{triton.address.metrics}/metrics", name, pipeline="locate", release="7", **labels)

    return count


def scale_row(value):
    return {"features": np.array([[value, 1, 2]], np.float32)}


def refused(client, model, tensors):
    try:
        infer(client, model, tensors)
    except RefusedError:
        return True
    return False


def test_processes_of_one_block_count_together_under_load(triton, client, counted):
    """Every one of thousands of requests is counted once, whichever process it reached; and the server lives."""
    before = counted("sextant_block_seconds_count", step="scale"), counted("sextant_refused_total", step="scale")

    def call(caller):
        with InferenceServerClient(triton.address.grpc.removeprefix("grpc://")) as own:
            each = range(REQUESTS // CALLERS)
            return sum(refused(own, "locate.scale", scale_row(np.nan if i % 10 == 0 else caller)) for i in each)

    with ThreadPoolExecutor(CALLERS) as pool:
        faulty = sum(pool.map(call, range(CALLERS)))

    assert faulty == REQUESTS // 10
    until(lambda: counted("sextant_refused_total", step="scale"), lambda now: now == before[1] + faulty)
    assert counted("sextant_refused_total", step="scale", reason="not_finite") == before[1] + faulty
    assert before[0] < counted("sextant_block_seconds_count", step="scale") <= before[0] + REQUESTS - faulty
    assert counted("sextant_block_loads_total", step="scale") == PROCESSES
    triton.check()


def test_what_answers_say_is_on_the_page_soon(client, counted):
    """Between share, rejections and areas of single and batched rows; the sum is that of the answers."""
    infer(client, "locate.fuse", members([0, 0], [0, 10], [5, 5]))
    answer = infer(client, "locate.ellipse", fused(5))

    until(lambda: counted("sextant_between_share_count"), lambda now: now == 1)
    until(lambda: counted("sextant_ellipse_area_m2_count", confidence_level="0.95"), lambda now: now == 5)
    areas = np.pi * answer["ellipse"][:, 1, 0] * answer["ellipse"][:, 1, 1]
    assert counted("sextant_ellipse_area_m2_sum", confidence_level="0.95") == pytest.approx(areas.sum())
    assert counted("sextant_ellipse_area_m2_bucket", confidence_level="0.95", le="+Inf") == 5
    assert counted("sextant_members_rejected_total", member="oak") == 0


def test_counts_go_on_over_a_reload_and_an_unload(triton, triton_store, client, counted):
    """They are the server's: what a process counted last is written as it ends, and the next adds to it."""
    calls, before = "sextant_block_seconds_count", counted("sextant_block_seconds_count", step="fuse")
    loaded = counted("sextant_block_loaded_timestamp_seconds", step="fuse")
    for _ in range(3):
        infer(client, "locate.fuse", members([0, 0], [0, 10], [5, 5]))
    os.utime(triton_store / "models" / "locate.fuse" / "7" / "parameters.json")
    triton.load("locate.fuse")
    until(lambda: counted(calls, step="fuse"), lambda now: now == before + 3)
    infer(client, "locate.fuse", members([0, 0], [0, 10], [5, 5]))
    triton.unload("locate.fuse")

    until(lambda: counted(calls, step="fuse"), lambda now: now == before + 4)
    assert counted("sextant_block_loads_total", step="fuse") == 2
    assert counted("sextant_block_loaded_timestamp_seconds", step="fuse") > loaded


def test_without_metrics_the_page_is_triton_s_own(triton_store, monkeypatch, tmp_path):
    """As the variable in the server's environment says; the block answers as ever."""
    (tmp_path / "models").mkdir()
    publish(tmp_path, "locate.scale", "scale", SCALE)
    monkeypatch.setenv(VARIABLE, "off")
    with (
        EmbeddedTriton(tmp_path, models=["locate.scale"]) as triton,
        InferenceServerClient(triton.address.grpc.removeprefix("grpc://")) as client,
    ):
        answer = infer(client, "locate.scale", scale_row(4))
        names = {name for name, _ in samples(f"{triton.address.metrics}/metrics")}

    assert answer["scaled"].tolist() == [[4, 1, 2]]
    assert "nv_inference_count" in names
    assert not [name for name in names if name.startswith("sextant_")]
