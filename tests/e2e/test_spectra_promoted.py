"""A page that begins with ``log_mel``: what its release keeps, what is served, and what is refused."""

from __future__ import annotations

import json

import mlflow
import numpy as np
import pytest
import yaml

from sextant.blocks import LogMel
from sextant.errors import PipelineError, RequestRefused
from sextant.mel import weights_sha256
from sextant_client import Client
from sextant_export.pipeline import load_pipeline
from sextant_promote.control import Control
from sextant_promote.promotion import promote
from sextant_server import EmbeddedTriton

pytestmark = pytest.mark.e2e

# One frame of eight bands: as many numbers as the small world's members take.
HEARD = {"sample_rate_hz": 16000, "samples": 256, "n_fft": 256, "center": False, "n_mels": 8, "flat": True}


def page(world, **changes):
    """Windows of a signal in, the ridge's own answer out."""
    written = {
        "name": "listen",
        "answer": "tensors",
        "members": {"ridge": "models:/ridge@champion"},
        "steps": [{"block": "log_mel", "with": {**HEARD, **changes}}, "members"],
    }
    world.spec.write_text(yaml.safe_dump(written), encoding="utf-8")
    return load_pipeline(world.spec)


@pytest.fixture
def stage(world):
    """A Triton on the world's store, and the way to promote to it."""
    triton = EmbeddedTriton(world.store.root)
    with triton, Control(triton.address.grpc, triton.address.token) as control:
        yield triton, lambda pipeline: promote(pipeline, world.store, world.registry, control)


def test_what_was_promoted_answers_as_block_and_model_do_and_keeps_its_mel_matrix(world, stage):
    triton, put = stage
    put(page(world))
    signal = np.random.default_rng(11).standard_normal((5, 256)).astype(np.float32)

    with Client(triton.address.grpc) as client:
        (answer,) = client.pipeline("listen").tensors(signal).values()

    mlflow.set_tracking_uri(world.registry.tracking_uri)
    ridge = mlflow.sklearn.load_model("models:/ridge@champion")
    assert answer == pytest.approx(ridge.predict(LogMel(HEARD)(signal=signal)["log_mel"]), rel=1e-4)
    stored = json.loads((world.store.models / "listen.log_mel" / "1" / "parameters.json").read_text())
    assert stored["mel_sha256"] == weights_sha256(LogMel(HEARD).transform.weights)
    assert (stored["window"], stored["pad_mode"], stored["hop"]) == ("hann", "constant", 64)


def test_a_window_that_is_no_signal_is_refused_with_its_place(world, stage):
    triton, put = stage
    put(page(world))
    signal = np.zeros((2, 256), np.float32)
    signal[1, 30] = np.nan

    said = "expected finite numbers, got nan in row 1, sample 30"
    with Client(triton.address.grpc) as client, pytest.raises(RequestRefused, match=said):
        client.pipeline("listen").tensors(signal)


def test_a_spectrum_that_no_member_takes_is_said_before_anything_is_served(world, stage):
    _, put = stage

    with pytest.raises(PipelineError, match=r"'log_mel' is \[16\] per row, wanted \[8\]"):
        put(page(world, n_mels=16))
