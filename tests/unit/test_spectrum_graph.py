"""The blocks ``log_mel`` and ``spectrum`` as nodes answer what they answer as blocks."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest

import librosa_reference
from served_spectra import graph_of, mel_weight_matrix
from sextant.blocks import BLOCKS, LogMel
from sextant.spectrum import Frames
from sextant_export.fusing import spectrum_graph
from sextant_export.onnx_graph.oldest import ABSENT, NEWEST_OPSETS

RATE_HZ = librosa_reference.RATE_HZ
SAMPLES = 8000
RADIO = {"sample_rate_hz": 2e6, "samples": 512, "signal": "iq", "receivers": 3, "n_fft": 64, "hop": 24}


def asked(block, parameters, signal):
    session = ort.InferenceSession(graph_of(block, parameters).SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"signal": signal})


def noise(block, parameters, rows=3):
    dims = BLOCKS[block](parameters).inputs[0].dims
    return np.random.default_rng(5).standard_normal((rows, *dims)).astype(np.float32)


@pytest.mark.parametrize("rows", [1, 4])
@pytest.mark.parametrize(
    ("block", "parameters"),
    [
        ("log_mel", {"sample_rate_hz": RATE_HZ, "samples": 4096, "n_fft": 512, "n_mels": 40}),
        ("log_mel", {"sample_rate_hz": RATE_HZ, "samples": 4096, "n_fft": 400, "n_mels": 40, "ref": "max", "power": 1}),
        ("log_mel", {"sample_rate_hz": RATE_HZ, "samples": 700, "n_fft": 512, "n_mels": 40, "pad_mode": "reflect"}),
        (
            "log_mel",
            {"sample_rate_hz": RATE_HZ, "samples": 4096, "n_fft": 127, "hop": 200, "n_mels": 8, "center": False},
        ),
        ("log_mel", {**RADIO, "n_mels": 8, "mel_scale": "linear", "dc_band": True, "flat": True}),
        ("log_mel", {**RADIO, "n_mels": 8, "mel_scale": "linear", "receivers": None, "window_length": 50}),
        ("spectrum", {**RADIO, "scale_to": "psd", "pad_mode": "edge", "ref": 0.1}),
        ("spectrum", {**RADIO, "n_fft": 65, "top_db": None, "flat": True}),
        ("spectrum", {**RADIO, "signal": "real", "n_fft": 66, "scale_to": "magnitude", "window": "blackmanharris"}),
    ],
    ids=str,
)
def test_a_graph_answers_as_its_block(block, parameters, rows):
    signal = noise(block, parameters, rows)

    answer, refused = asked(block, parameters, signal)

    wanted = BLOCKS[block](parameters)(signal=signal)[block]
    assert answer.shape == wanted.shape
    assert np.abs(answer - wanted).max() <= 1e-4
    assert not refused.any()


@pytest.mark.parametrize(
    ("n_fft", "precision", "at_most_db"),
    [
        (512, "float64", 1e-3),
        (400, "float64", 1e-3),
        (1024, "float32", 0.01),
        (512, "float32", 0.01),
        (400, "float32", 0.01),
    ],
)
def test_a_graph_is_librosas_for_any_number_of_points(n_fft, precision, at_most_db):
    """ONNX Runtime's STFT misses by 0.2 dB where the points are no power of two, and by more in places."""
    signals = librosa_reference.signals(SAMPLES, np.random.default_rng(20))
    said = {"n_fft": n_fft, "hop": 160, "n_mels": 64}
    wanted = np.stack([librosa_reference.log_mel(signal, samples=SAMPLES, **said) for signal in signals])

    parameters = {"sample_rate_hz": RATE_HZ, "samples": SAMPLES, "precision": precision, **said}
    answer, _ = asked("log_mel", parameters, signals)

    assert librosa_reference.worst_db(answer, wanted) <= at_most_db


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("place", [(1, 0), (1, 4095)])
def test_a_row_that_the_block_refuses_is_pointed_out_and_no_other_is_touched(value, place):
    """Also where no frame takes in the sample: the last ones here."""
    parameters = {"sample_rate_hz": RATE_HZ, "samples": 4096, "n_fft": 512, "hop": 511, "n_mels": 40, "center": False}
    signal = noise("log_mel", parameters)
    good, _ = asked("log_mel", parameters, signal)
    signal[place] = value

    answer, refused = asked("log_mel", parameters, signal)

    assert refused.ravel().tolist() == [False, True, False]
    assert np.array_equal(answer[[0, 2]], good[[0, 2]])
    assert np.isfinite(answer).all()


@pytest.mark.parametrize("block", ["log_mel", "spectrum"])
def test_the_oldest_runtime_knows_every_operator(block):
    parameters = {**RADIO, **({"n_mels": 8, "mel_scale": "linear"} if block == "log_mel" else {})}

    model = graph_of(block, parameters)

    onnx.checker.check_model(model, full_check=True)
    kinds = {node.op_type for node in model.graph.node}
    assert model.opset_import[0].version <= NEWEST_OPSETS[""]
    assert not kinds & {"DFT", "STFT", "MelWeightMatrix", *(kind for _, kind in ABSENT)}


def test_the_operator_of_onnx_for_mel_matrices_is_another_bank():
    """Its edges are whole bins, and its last filter ends before the edge it is given."""
    theirs = mel_weight_matrix(40, 512, 16000).T
    ours = LogMel(
        {"sample_rate_hz": 16000, "samples": 512, "n_fft": 512, "n_mels": 40, "mel_scale": "htk", "norm": "none"}
    ).transform.weights

    last = [int(np.flatnonzero(weights[-1])[-1]) * 16000 / 512 for weights in (ours, theirs)]
    power = np.random.default_rng(6).standard_normal((257, 100)) ** 2
    apart = np.abs(10 * np.log10((theirs @ power + 1e-10) / (ours @ power + 1e-10)))

    assert last[0] > 7950
    assert last[1] < 7700
    assert apart.max() > 3


@pytest.mark.parametrize(("points", "wanted"), [(1, (1, 1)), (64, (8, 8)), (400, (20, 20)), (2 * 101, (2, 101))])
def test_the_points_are_split_as_evenly_as_they_can_be(points, wanted):
    assert spectrum_graph.factors(points) == wanted


@pytest.mark.parametrize("n_fft", [8, 12, 13])
def test_both_stages_together_are_the_fourier_transform(n_fft):
    frames = Frames.read({"sample_rate_hz": 1, "samples": n_fft, "n_fft": n_fft, "signal": "iq", "window": "boxcar"})
    signal = np.random.default_rng(7).standard_normal((n_fft, 2))
    outer, inner = spectrum_graph.factors(n_fft)

    first, second = spectrum_graph.stages(frames)
    framed = signal.reshape(outer, inner, 2).transpose(1, 0, 2).reshape(inner, 2 * outer, 1)
    parts = second @ (first @ framed).reshape(2 * inner, outer)

    found = parts[:inner].ravel() + 1j * parts[inner:].ravel()
    np.testing.assert_allclose(found, np.fft.fft(signal @ [1, 1j]), atol=1e-12)
