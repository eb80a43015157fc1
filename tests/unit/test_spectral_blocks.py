"""What a release keeps of the blocks ``log_mel`` and ``spectrum``, and how they stand in a pipeline."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from block_doors import RefusedError, through_the_function, through_the_shell
from sextant.blocks import BLOCKS, LogMel, Spectrum
from sextant.errors import InputRefused, MissingExtra, ParametersError
from sextant.mel import MelBank, weights_sha256
from sextant.tensors import Tensor
from sextant_export.step_problems import step_problems

REAL = {"sample_rate_hz": 16000, "samples": 1024, "n_fft": 256, "n_mels": 16}
RADIO = {"sample_rate_hz": 2e6, "samples": 512, "signal": "iq", "receivers": 4, "n_fft": 64, "hop": 16}
LINEAR = {"n_mels": 8, "mel_scale": "linear"}


@pytest.fixture(params=["function", "shell"])
def door(request, tmp_path):
    return through_the_function if request.param == "function" else through_the_shell(tmp_path)


@pytest.mark.parametrize(
    ("block", "parameters", "taken", "given"),
    [
        (LogMel, REAL, (1024,), (16, 17)),
        (LogMel, {**REAL, "center": False}, (1024,), (16, 13)),
        (LogMel, {**REAL, "flat": True}, (1024,), (272,)),
        (LogMel, {**RADIO, **LINEAR}, (4, 512, 2), (4, 16, 33)),
        (LogMel, {**RADIO, **LINEAR, "dc_band": True, "flat": True}, (4, 512, 2), (4 * 17 * 33,)),
        (Spectrum, RADIO, (4, 512, 2), (4, 64, 33)),
        (Spectrum, {**RADIO, "receivers": None}, (512, 2), (64, 33)),
        (Spectrum, {**RADIO, "signal": "real", "n_fft": 65}, (4, 512), (4, 33, 32)),
    ],
)
def test_a_block_says_its_exact_dims_and_keeps_them(block, parameters, taken, given):
    made = block(parameters)
    name = made.outputs[0].name

    assert made.inputs == (Tensor("signal", "FP32", taken),)
    assert made.outputs == (Tensor(name, "FP32", given),)
    answer = made(signal=np.zeros((2, *taken), np.float32))[name]
    assert (answer.shape, answer.dtype) == ((2, *given), np.float32)
    assert answer.flags.c_contiguous


@pytest.mark.parametrize("parameters", [REAL, {**RADIO, **LINEAR, "dc_band": True, "ref": "max", "top_db": None}])
def test_what_a_release_stores_makes_the_very_block_again(parameters):
    """Through JSON, as it lies in the store: same answers to the last bit, and nothing left to a default."""
    stored = json.loads(json.dumps(LogMel.settled(parameters, dims=())))
    signal = np.random.default_rng(1).standard_normal((3, *LogMel(parameters).inputs[0].dims)).astype(np.float32)

    assert set(stored) == set(LogMel.parameters)
    assert np.array_equal(LogMel(stored)(signal=signal)["log_mel"], LogMel(parameters)(signal=signal)["log_mel"])
    assert LogMel.settled(stored, dims=()) == stored


def test_the_mel_matrix_is_stored_with_its_hash():
    stored = LogMel.settled(REAL, dims=(16, 17))
    bank = MelBank.read(REAL, 16000, 256, mirrored=False)

    assert stored["mel_sha256"] == weights_sha256(bank.weights)
    assert len(stored["mel"]["bands"]) == 16
    assert stored["mel"]["bins"] == 129


def test_the_stored_matrix_is_the_one_that_is_used():
    """Were the bank made anew, a later version of it could answer differently from what members were proven with."""
    stored = LogMel.settled(REAL, dims=())
    for _, held in stored["mel"]["bands"]:
        held[:] = [2 * weight for weight in held]
    stored["mel_sha256"] = weights_sha256(2 * MelBank.read(REAL, 16000, 256, mirrored=False).weights)
    signal = np.random.default_rng(2).standard_normal((1, 1024)).astype(np.float32)

    twice, once = (LogMel(said)(signal=signal)["log_mel"] for said in (stored, REAL))

    assert twice - once == pytest.approx(np.full(once.shape, 10 * np.log10(2)), abs=1e-4)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda stored: stored["mel"]["bands"][3][1].__setitem__(0, 0.5), "mel_sha256: the matrix was stored as "),
        (lambda stored: stored.pop("mel_sha256"), "mel_sha256: the matrix was stored as None and is "),
        (
            lambda stored: stored["mel"]["bands"].pop(),
            r"mel: expected \[16, 129\] for these parameters, got \[15, 129\]",
        ),
        (lambda stored: stored.update(n_fft=512), r"mel: expected \[16, 257\] for these parameters, got \[16, 129\]"),
        (lambda stored: stored.update(mel="none"), "mel: expected the rows of a mel matrix"),
    ],
)
def test_a_matrix_that_is_not_the_stored_one_stops_the_load(change, sentence):
    stored = LogMel.settled(REAL, dims=())
    change(stored)

    with pytest.raises(ParametersError, match=sentence):
        LogMel(stored)


def test_a_release_writes_out_every_default_of_a_spectrum():
    stored = json.loads(json.dumps(Spectrum.settled(RADIO, dims=())))

    assert set(stored) == set(Spectrum.parameters)
    assert (stored["window"], stored["hop"], stored["amin"], stored["scale_to"]) == ("hann", 16, 1e-10, "none")
    assert Spectrum(stored).complete == stored


def test_a_page_may_not_say_what_a_release_finds():
    step = {"block": "log_mel", "with": {**REAL, "mel": {}, "mel_sha256": ""}}

    assert [str(problem) for problem in step_problems(step, "steps[0]")] == [
        "steps[0].with.mel: is found when a release is made; leave it out",
        "steps[0].with.mel_sha256: is found when a release is made; leave it out",
    ]


def test_every_wrong_parameter_of_a_page_is_said_at_once():
    step = {"block": "log_mel", "with": {**REAL, "window": "han", "n_mels": 300, "top_db": -1}}

    problems = [str(problem) for problem in step_problems(step, "steps[0]")]

    assert [problem.split(":")[0] for problem in problems] == [
        "steps[0].with.window",
        "steps[0].with.top_db",
        "steps[0].with.n_mels",
    ]


def test_both_blocks_validate_so_that_a_pipeline_may_begin_with_them():
    assert BLOCKS["log_mel"].validates
    assert BLOCKS["spectrum"].validates


def test_whoever_imports_the_blocks_does_not_pay_for_scipy():
    program = "import sys; from sextant.blocks import LogMel, Spectrum; print('scipy' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert said.stdout == "False\n"


@pytest.mark.parametrize(("block", "parameters"), [(LogMel, REAL), (Spectrum, RADIO)])
def test_without_scipy_the_model_is_refused_with_the_line_to_type(monkeypatch, block, parameters):
    monkeypatch.setitem(sys.modules, "scipy", None)

    with pytest.raises(MissingExtra, match=r"a spectrum needs an extra: pip install 'triton-sextant\[backend\]'"):
        block(parameters)


def test_log_mel_answers_the_same_through_every_door(door):
    signal = np.random.default_rng(3).standard_normal((2, 1024)).astype(np.float32)

    answer = door("log_mel", REAL, {"signal": signal})["log_mel"]

    assert answer == pytest.approx(LogMel(REAL)(signal=signal)["log_mel"], abs=1e-4)


def test_a_row_that_is_no_signal_is_refused_through_every_door(door):
    signal = np.zeros((2, 4, 512, 2), np.float32)
    signal[1, 3, 100, 0] = np.inf

    with pytest.raises(RefusedError, match="expected finite numbers, got inf in row 1, receiver 3, sample 100, I"):
        door("spectrum", RADIO, {"signal": signal})


@pytest.mark.parametrize("block", [LogMel, Spectrum])
@pytest.mark.parametrize(
    ("parameters", "came"),
    [
        ({"samples": 1024, "n_fft": 256}, np.exp(2j * np.pi * 3000 * np.arange(1024) / 16000)[None]),
        ({"samples": 1024, "n_fft": 256, "signal": "iq"}, np.zeros((1, 1024), np.complex64)),
        ({"samples": 1024, "n_fft": 256, "signal": "iq"}, np.zeros((1, 1024, 2), np.complex64)),
        ({"samples": 1024, "n_fft": 256}, np.full((1, 1024), "0.5")),
    ],
    ids=["a tone of 3 kHz", "iq", "iq with a last axis", "text"],
)
def test_a_signal_that_is_not_of_real_numbers_is_refused(block, parameters, came):
    """The real part of a complex signal has no side: +3 kHz and -3 kHz would be one."""
    bands = {"n_mels": 16, "mel_scale": "linear"} if block is LogMel else {}
    made = block({"sample_rate_hz": 16000, **parameters, **bands})

    with pytest.raises(InputRefused, match=r"signal: expected real numbers; of a complex signal, with `signal: iq`,"):
        made(signal=came)
