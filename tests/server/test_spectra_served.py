"""The blocks ``log_mel`` and ``spectrum`` in a real Triton: made signals, refusals, and an aircraft off the air."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import served_spectra
from block_doors import RefusedError
from mode_s import clean_frames, read_iq
from served_blocks import COMMITTED, copy_committed
from served_spectra import ask
from sextant.blocks import BLOCKS

pytestmark = pytest.mark.server

RADIO = {"sample_rate_hz": 2e6, "samples": 512, "signal": "iq", "receivers": 3, "n_fft": 64, "hop": 16}
MODELS = {
    "radio-mel": ("log_mel", {**RADIO, "n_mels": 8, "mel_scale": "linear", "dc_band": True}),
    "radio-flat": ("spectrum", {**RADIO, "flat": True, "ref": "max"}),
    "audio-mel": ("log_mel", {"sample_rate_hz": 16000, "samples": 4000, "n_fft": 400, "hop": 160, "n_mels": 40}),
}
ON_AIR = {f"aircraft-{block}": (block, said) for block, said in served_spectra.BLOCKS_FOR_AIRCRAFT.items()}


@pytest.fixture(scope="module")
def triton_store(triton_store):
    """The blocks as they are committed, with parameters as a release writes them, and as graphs."""
    models = triton_store / "models"
    for block in ("log_mel", "spectrum"):
        copy_committed(block, models / block)
    for name, (block, parameters) in {**MODELS, **ON_AIR}.items():
        served_spectra.write_block(models, name, block, parameters)
        served_spectra.write_graph(models, f"{name}.graph", block, parameters)
    return triton_store


def noise(block, parameters, rows=5):
    dims = BLOCKS[block](parameters).inputs[0].dims
    return np.random.default_rng(9).standard_normal((rows, *dims)).astype(np.float32)


@pytest.mark.parametrize("block", ["log_mel", "spectrum"])
def test_the_committed_blocks_load_and_answer_as_they_stand(triton, block):
    parameters = json.loads((COMMITTED / block / "1" / "parameters.json").read_text())
    signal = noise(block, parameters)

    answer = ask(triton.address.grpc, block, signal)

    assert answer == pytest.approx(BLOCKS[block](parameters)(signal=signal)[block], abs=1e-4)


@pytest.mark.parametrize("suffix", ["", ".graph"])
@pytest.mark.parametrize("name", sorted(MODELS))
def test_triton_answers_as_the_block_does_and_so_does_its_graph(triton, name, suffix):
    block, parameters = MODELS[name]
    signal = noise(block, parameters)

    answer = ask(triton.address.grpc, name + suffix, signal)

    assert answer == pytest.approx(BLOCKS[block](parameters)(signal=signal)[block], abs=1e-4)


def test_a_row_that_is_no_signal_is_refused_with_its_place(triton):
    signal = noise(*MODELS["radio-mel"])
    signal[3, 2, 100, 1] = np.nan

    with pytest.raises(RefusedError, match="expected finite numbers, got nan in row 3, receiver 2, sample 100, Q"):
        ask(triton.address.grpc, "radio-mel", signal)


def test_a_window_of_another_length_is_refused_by_its_name(triton):
    with pytest.raises(RefusedError, match=r"'signal'.*\[-1,3,512,2\]|signal: expected rows"):
        ask(triton.address.grpc, "radio-mel", np.zeros((1, 3, 500, 2), np.float32))


def test_in_a_crowd_only_the_bad_request_fails_and_nobody_hears_a_neighbour(triton):
    """Forty at once, gathered into batches by Triton, some a million times louder than others."""
    block, parameters = MODELS["radio-mel"]
    signals = noise(block, parameters, 40) * (10.0 ** (np.arange(40) % 7))[:, None, None, None].astype(np.float32)
    signals[::10, 0, 0, 0] = np.inf

    def one(row):
        try:
            return ask(triton.address.grpc, "radio-mel", signals[row : row + 1])
        except RefusedError as refusal:
            return str(refusal)

    with ThreadPoolExecutor(16) as crowd:
        answers = list(crowd.map(one, range(40)))

    made = BLOCKS[block](parameters)
    for row, answer in enumerate(answers):
        if row % 10 == 0:
            assert "got inf in row 0, receiver 0, sample 0, I" in answer
        else:
            assert answer == pytest.approx(made(signal=signals[row : row + 1])["log_mel"], abs=1e-4)


def test_a_mel_matrix_that_was_changed_stops_the_load(triton, triton_store):
    page = served_spectra.write_block(triton_store / "models", "changed", *MODELS["audio-mel"]) / "parameters.json"
    stored = json.loads(page.read_text())
    stored["mel"]["bands"][7][1][0] *= 1.5
    page.write_text(json.dumps(stored))

    with pytest.raises(Exception, match="mel_sha256: the matrix was stored as .* restore the release"):
        triton.load("changed")


@pytest.fixture
def aircraft(real_data):
    """What was heard on 1090 MHz, and the clean Mode S frames in it."""
    iq = read_iq(real_data / "adsb_iq_modes1" / "modes1.bin")
    return iq, clean_frames(iq)


def test_the_frames_off_the_air_are_one_aircrafts(aircraft):
    """The data's own page counts 214; this receiver reads one more."""
    _, frames = aircraft

    assert len(frames) == 215
    assert {frame.address for frame in frames} == {"4D2023"}


@pytest.mark.parametrize("suffix", ["", ".graph"])
@pytest.mark.parametrize("block", ["log_mel", "spectrum"])
def test_energy_is_found_where_the_clean_frames_are(triton, aircraft, block, suffix):
    """What else is heard there, damaged frames and older transponders, is louder than silence too."""
    windows, held = served_spectra.windows_of(*aircraft)

    energy = served_spectra.energy_db(ask(triton.address.grpc, f"aircraft-{block}{suffix}", windows))

    holding, none = energy[held >= served_spectra.WHOLE_SHORT_FRAME], energy[held == 0]
    assert (len(holding), len(none)) == (183, 1067)
    assert served_spectra.area_under_curve(holding, none) >= 0.92
    assert np.median(holding) - np.median(none) >= 6
