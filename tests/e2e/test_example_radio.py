"""The example `examples/radio`: its physics, and the whole of it, interrupted twice and then completed."""

from __future__ import annotations

import doctest
import importlib
import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from shapely.geometry import shape

# Under load the whole story takes minutes; each test that asks for it first would pay for it.
pytestmark = [pytest.mark.models, pytest.mark.e2e, pytest.mark.timeout(540)]

EXAMPLE = Path(__file__).parents[2] / "examples" / "radio"
MODULES = ("beacon", "propagation", "real_iq", "receivers", "scene")
MEMBERS = ("radio-together", "radio-across", "radio-spectra")
SIGMAS = 3.0


@pytest.fixture(scope="module", autouse=True)
def radio():
    """The package, importable as `run.py` makes it."""
    sys.path.insert(0, str(EXAMPLE.parent))
    yield importlib.import_module("radio")
    sys.path.remove(str(EXAMPLE.parent))


def start(folder):
    """An example that hears Ctrl-C even where the tests themselves were started in the background, deaf to it."""
    return subprocess.Popen(
        [sys.executable, EXAMPLE / "run.py", "--quick", "--var", folder],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  no threads here
    )


def interrupted(folder, moment):
    """What a run said that was interrupted when it came to *moment*, and its exit code."""
    running = start(folder)
    said = []
    for line in running.stderr:
        said.append(line)
        if moment in line:
            break
    running.send_signal(signal.SIGINT)
    _, rest = running.communicate(timeout=120)
    return "".join(said) + rest, running.returncode


def completed(folder, *words):
    """The JSON and the narration of a run that came to its end."""
    command = [sys.executable, EXAMPLE / "run.py", "--quick", "--json", "--var", folder, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """One story in three runs: stopped while it trained, stopped while it exported, and told to its end."""
    folder = tmp_path_factory.mktemp("radio")
    stops = [interrupted(folder, "8 radio-across"), interrupted(folder, "convert radio-together")]
    return folder, stops, *completed(folder)


def test_ctrl_c_ends_it_cleanly(told):
    """In training and in promotion: one word, the usual exit code, no traceback."""
    _, stops, _, _ = told

    assert [code for _, code in stops] == [130, 130]
    assert all(said.rstrip().endswith("interrupted") for said, _ in stops)
    assert all("Traceback" not in said for said, _ in stops)


def test_the_next_run_completes_what_was_interrupted(told):
    """A network that was trained is not trained again, and half a training is never registered."""
    _, ((_, _), (second, _)), outcome, narration = told

    assert "radio-together still valid, radio-across" in second
    assert "radio-across still valid" not in second
    assert all(f"{name} still valid" in narration for name in MEMBERS)
    assert "flip radio to r1" in narration
    assert outcome["release"] == 1


def test_its_ellipses_keep_their_promise(told, radio):
    """On windows drawn as the known cases were: the count is as far off as two finite samples may put it."""
    from radio.windows import QUICK

    _, _, outcome, _ = told
    chance = 1 / QUICK.calibration + 1 / QUICK.test

    for level, share in outcome["random"]["coverage"].items():
        promised = float(level)
        assert abs(share - promised) < SIGMAS * np.sqrt(promised * (1 - promised) * chance)


def test_its_fixes_are_far_better_than_the_receivers_centroid(told):
    """On both held-out sets, and the fused fix is little worse than the best member's, which training differs by."""
    _, _, outcome, _ = told

    for held_out in (outcome["random"], outcome["flight"]):
        assert held_out["median_error_m"] < 0.6 * held_out["centroid_median_error_m"]
    assert outcome["random"]["median_error_m"] < 1.2 * outcome["random"]["best_member_median_error_m"]


def test_it_leaves_a_map_of_the_flight(told):
    """Receivers, the true track, and each fix with three valid, counter-clockwise ellipses that hold it."""
    folder, _, outcome, _ = told
    features = json.loads((folder / "track.geojson").read_text())["features"]
    kinds = [feature["geometry"]["type"] for feature in features]
    ellipses = [shape(feature["geometry"]) for feature in features if feature["geometry"]["type"] == "Polygon"]

    assert kinds.count("LineString") == 1
    assert len(ellipses) == 3 * outcome["flight"]["rows"]
    assert all(ellipse.is_valid and ellipse.exterior.is_ccw for ellipse in ellipses)
    assert kinds.count("Point") == 6 + outcome["flight"]["rows"]


def test_it_leaves_a_page_and_pictures(told):
    """The page is one a user could have written: no measured parameter stands in it."""
    folder, _, _, _ = told
    page = yaml.safe_load((folder / "radio.yaml").read_text())

    assert [step if step == "members" else step["block"] for step in page["steps"]] == [
        "log_mel",
        "members",
        "fuse",
        "ellipse",
    ]
    assert "mel" not in page["steps"][0]["with"]
    for name in ("track.png", "spectrograms.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")


def test_one_fused_graph_answers_the_same(told):
    """The next release is one model, trained by nobody anew; errors and coverage are the ensemble's."""
    folder, _, outcome, _ = told

    fused, narration = completed(folder, "--fuse-graph")

    assert "log_mel, members, fuse, ellipse in radio.graph" in narration
    assert fused["release"] == 2
    assert fused["random"]["median_error_m"] == pytest.approx(outcome["random"]["median_error_m"], rel=1e-3)
    assert fused["random"]["coverage"] == pytest.approx(
        outcome["random"]["coverage"], abs=2 / outcome["random"]["rows"]
    )


@pytest.mark.parametrize("name", MODULES)
def test_its_own_examples_are_true(radio, name):
    """Every promise with a number in a docstring."""
    tried = doctest.testmod(importlib.import_module(f"radio.{name}"))

    assert tried.failed == 0
    assert tried.attempted > 0


def test_a_drone_that_comes_near_is_heard_above_its_carrier(radio):
    """Doppler: 33 m/s at 2.44 GHz are 269 Hz, nearly four of the bands about zero, and of the right sign."""
    from radio.propagation import WAVELENGTH_M
    from radio.scene import RECEIVERS_EAST_NORTH_M, anywhere
    from radio.service import LOG_MEL
    from radio.windows import Windows

    from sextant.blocks import LogMel

    block, flight = LogMel(LOG_MEL), anywhere(2, seed=0)
    south = RECEIVERS_EAST_NORTH_M[5] + np.array([[0.0, -900.0], [0.0, -900.0]])
    velocity = np.array([[0.0, 33.0], [0.0, -33.0]])
    coming, going = Windows(
        replace(flight, east_north=south, velocity=velocity, off_hz=np.zeros(2), height=np.full(2, 60.0)), seed=0
    ).log_mel(block)
    loudest = [block.edges_hz[picture[5].mean(axis=-1).argmax(), 1] for picture in (coming, going)]

    assert loudest == pytest.approx([33 / WAVELENGTH_M, -33 / WAVELENGTH_M], abs=40)


def test_a_silent_drone_leaves_thermal_noise(radio):
    """kTB, the noise figure and the gain of each receiver, in dB of full scale."""
    from radio.receivers import FULL_SCALE_DBM, GAIN_DRIFT_DB, Receivers
    from radio.scene import anywhere
    from radio.windows import Windows

    silent = replace(anywhere(200, seed=1), eirp_dbm=np.full(200, -200.0))
    expected = Receivers().noise_dbm + Receivers().gain_db - FULL_SCALE_DBM

    assert Windows(silent, seed=1).power_dbfs.mean(axis=0) == pytest.approx(expected, abs=GAIN_DRIFT_DB / 3)


def test_the_same_seed_hears_the_same(radio):
    """And another seed, another transmission from the same places."""
    from radio.scene import anywhere
    from radio.windows import Windows

    flight = anywhere(3, seed=5)

    assert np.array_equal(Windows(flight, seed=5).iq, Windows(flight, seed=5).iq)
    assert not np.array_equal(Windows(flight, seed=5).iq, Windows(flight, seed=6).iq)


def test_training_does_not_depend_on_what_came_before(radio):
    """Two trainings of a member give the same weights to the bit, whatever PyTorch drew in between."""
    import torch
    from radio.training import Lessons, fitted

    draw = np.random.default_rng(0)
    features = draw.normal(-60, 20, (128, 6, 65, 9)).astype(np.float32)
    lessons = Lessons(features, draw.uniform(-3000, 3000, (128, 2)).astype(np.float32))
    first = fitted("radio-spectra", lessons, 2, lambda *_: None).state_dict()
    torch.rand(7)
    again = fitted("radio-spectra", lessons, 2, lambda *_: None).state_dict()

    assert all(torch.equal(first[name], again[name]) for name in first)


def test_real_iq_is_drawn_through_the_served_spectrum(tmp_path, real_data):
    """A recording of an aircraft's transponder: frames 20 dB and more above the noise."""
    recording, picture = real_data / "adsb_iq_modes1" / "modes1.bin", tmp_path / "real.png"
    command = [sys.executable, EXAMPLE / "real_iq.py", recording, "--picture", picture]

    done = subprocess.run(command, capture_output=True, text=True, timeout=120)

    assert done.returncode == 0, done.stderr
    assert "356,868 samples" in done.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_recording_that_is_none_ends_in_one_sentence(tmp_path):
    """Absent, or too short for a single window."""
    short = tmp_path / "short.bin"
    short.write_bytes(bytes(100))

    for recording, sentence in ((tmp_path / "nowhere.bin", "No such file"), (short, "100 in")):
        done = subprocess.run([sys.executable, EXAMPLE / "real_iq.py", recording], capture_output=True, text=True)

        assert done.returncode == 1
        assert sentence in done.stderr
        assert "Traceback" not in done.stderr
