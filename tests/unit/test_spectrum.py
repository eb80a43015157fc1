"""Spectra against librosa and SciPy, and the ways in which two of the same name differ."""

from __future__ import annotations

import numpy as np
import pytest

import librosa_reference
from sextant.blocks import LogMel, Spectrum
from sextant.errors import InputRefused, ParametersError
from sextant.spectrum import WINDOWS, Decibels, Frames, periodic_window

RATE_HZ = librosa_reference.RATE_HZ
SAMPLES = 8000


def log_mel(signal, /, **parameters):
    said = {"sample_rate_hz": RATE_HZ, "samples": signal.shape[1], **parameters}
    return LogMel(said)(signal=signal)["log_mel"]


def spectrum(signal, rate_hz=RATE_HZ, /, **parameters):
    axis = 2 if "receivers" in parameters else 1
    said = {"sample_rate_hz": rate_hz, "samples": signal.shape[axis], "top_db": None, **parameters}
    return Spectrum(said)(signal=signal)["spectrum"]


def tone(hz, samples=2048, rate_hz=RATE_HZ):
    """A complex tone as I/Q ``(1, n, 2)``."""
    phase = 2 * np.pi * hz * np.arange(samples) / rate_hz
    return np.stack([np.cos(phase), np.sin(phase)], axis=-1)[None].astype(np.float32)


@pytest.fixture
def rng():
    return np.random.default_rng(20)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"n_fft": 512, "hop": 160, "n_mels": 80},
        {"n_fft": 400, "hop": 160, "n_mels": 80},
        {"n_fft": 512, "window_length": 400, "hop": 160, "n_mels": 64},
        {"n_fft": 1024, "n_mels": 40, "mel_scale": "htk", "norm": "none", "pad_mode": "reflect"},
        {"n_fft": 513, "hop": 100, "n_mels": 64, "center": False, "window": "hamming"},
        {"n_fft": 512, "n_mels": 40, "power": 1, "window": "blackman", "fmin_hz": 100, "fmax_hz": 7000},
        {"n_fft": 512, "n_mels": 40, "ref": "max", "top_db": 60, "pad_mode": "edge"},
        {"n_fft": 512, "n_mels": 40, "ref": 0.5, "amin": 1e-7, "top_db": None, "window": "boxcar"},
    ],
    ids=str,
)
def test_log_mel_is_librosas_within_a_thousandth_of_a_decibel(rng, parameters):
    signals = librosa_reference.signals(SAMPLES, rng)

    wanted = np.stack([librosa_reference.log_mel(signal, samples=SAMPLES, **parameters) for signal in signals])

    assert librosa_reference.worst_db(log_mel(signals, **parameters), wanted) <= 1e-3


def test_float32_is_exact_for_noise_and_not_for_tones(rng):
    """What a float32 FFT leaks of a tone lies 140 dB below it; that is seen 80 dB below it."""
    signals = librosa_reference.signals(SAMPLES, rng)
    parameters = {"n_fft": 512, "hop": 160, "n_mels": 80}
    wanted = np.stack([librosa_reference.log_mel(signal, samples=SAMPLES, **parameters) for signal in signals])

    found = log_mel(signals, precision="float32", **parameters)

    assert librosa_reference.worst_db(found[:1], wanted[:1]) <= 1e-4
    assert 1e-3 < librosa_reference.worst_db(found, wanted) <= 0.05


def test_below_amin_there_is_nothing_to_compare(rng):
    """Whatever lies below it reads the same; without it, what is read there is the arithmetic's own noise."""
    signals = np.cos(np.outer(rng.uniform(0.1, 3, 3), np.arange(SAMPLES))).astype(np.float32)
    open_floor = {"n_fft": 512, "n_mels": 40, "amin": 1e-30, "top_db": None, "window": "blackmanharris"}
    quiet = (signals * 1e-8).astype(np.float32)

    apart = np.abs(log_mel(signals, precision="float32", **open_floor) - log_mel(signals, **open_floor))

    assert apart.max() > 1
    assert (log_mel(quiet, n_fft=512, n_mels=40) == log_mel(0 * quiet, n_fft=512, n_mels=40)).all()


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("length", [2, 7, 400, 512])
def test_windows_are_scipys_periodic_ones(window, length):
    from scipy.signal import get_window

    assert periodic_window(window, length) == pytest.approx(get_window(window, length, fftbins=True), abs=1e-14)


def test_a_symmetric_window_would_be_off_by_decibels(rng):
    from scipy.signal import get_window

    signal = librosa_reference.signals(SAMPLES, rng)[1]
    right = librosa_reference.log_mel(signal, samples=SAMPLES, n_fft=400, n_mels=40)
    symmetric = get_window("hann", 400, fftbins=False)

    wrong = librosa_reference.log_mel(signal, samples=SAMPLES, n_fft=400, n_mels=40, window=symmetric)

    assert librosa_reference.worst_db(wrong[None], right[None]) > 0.5
    assert librosa_reference.worst_db(log_mel(signal[None], n_fft=400, n_mels=40), right[None]) <= 1e-3


@pytest.mark.parametrize(
    ("other", "least_db"),
    [({"norm": "none"}, 15), ({"mel_scale": "htk"}, 0.5), ({"mel_scale": "htk", "norm": "none"}, 15)],
)
def test_another_convention_of_the_same_name_is_off_by_decibels(rng, other, least_db):
    signals = librosa_reference.signals(SAMPLES, rng)
    same = {"n_fft": 512, "n_mels": 40, "top_db": None}

    assert np.abs(log_mel(signals, **same, **other) - log_mel(signals, **same)).mean() > least_db


def test_padding_is_heard_in_the_first_and_last_frames_alone(rng):
    signals = librosa_reference.signals(SAMPLES, rng)
    zeros, mirrored = (
        log_mel(signals, n_fft=512, n_mels=40, top_db=None, pad_mode=pad) for pad in ("constant", "reflect")
    )

    heard = np.abs(zeros - mirrored).max(axis=(0, 1)) > 1e-3

    assert np.flatnonzero(heard).tolist() == [0, 1, len(heard) - 2, len(heard) - 1]


def test_a_row_does_not_depend_on_those_in_its_batch(rng):
    """Loud neighbours raise the floor of ``librosa.power_to_db``; here each row has its own."""
    quiet = (1e-3 * rng.standard_normal((1, SAMPLES))).astype(np.float32)
    loud = (1e3 * rng.standard_normal((1, SAMPLES))).astype(np.float32)
    for parameters in ({"n_fft": 512, "n_mels": 40}, {"n_fft": 512, "n_mels": 40, "ref": "max"}):
        together = log_mel(np.concatenate([quiet, loud]), **parameters)

        assert together[0] == pytest.approx(log_mel(quiet, **parameters)[0], abs=1e-4)


@pytest.mark.parametrize("n_fft", [64, 100, 127])
def test_the_two_sided_spectrum_is_scipys(rng, n_fft):
    from scipy.signal import ShortTimeFFT

    iq = rng.standard_normal((3, 1000, 2)).astype(np.float32)
    stft = ShortTimeFFT(
        periodic_window("hann", n_fft), 32, RATE_HZ, fft_mode="centered", scale_to="psd", phase_shift=None
    )
    said = {"signal": "iq", "n_fft": n_fft, "hop": 32, "scale_to": "psd", "amin": 1e-30}
    wanted = stft.spectrogram(iq[..., 0].astype(np.float64) + 1j * iq[..., 1], p0=0, p1=1 + 1000 // 32)

    assert spectrum(iq, **said) == pytest.approx(10 * np.log10(wanted), abs=1e-3)
    block = Spectrum({"signal": "iq", "sample_rate_hz": RATE_HZ, "samples": 1000, "n_fft": n_fft})
    assert block.frequencies_hz == pytest.approx(stft.f)


def test_a_tone_stands_at_its_own_frequency_with_its_own_height():
    found = spectrum(0.5 * tone(-3000), signal="iq", n_fft=256, scale_to="magnitude", center=False)
    block = Spectrum({"signal": "iq", "sample_rate_hz": RATE_HZ, "samples": 2048, "n_fft": 256})

    loudest = found[0].argmax(axis=0)

    assert set(block.frequencies_hz[loudest]) == {-3000.0}
    assert found[0].max(axis=0) == pytest.approx(np.full(29, 20 * np.log10(0.5)), abs=1e-5)


def test_power_a_hertz_adds_up_to_the_power(rng):
    iq = rng.standard_normal((1, 65536, 2)).astype(np.float32)

    density = 10 ** (spectrum(iq, 2e6, signal="iq", n_fft=256, scale_to="psd", amin=1e-30, center=False) / 10)

    assert density.mean(axis=-1).sum() * (2e6 / 256) == pytest.approx((iq**2).sum() / 65536, rel=0.01)


def test_the_real_part_of_a_complex_signal_hears_a_tone_on_both_sides():
    up = tone(3000)
    real = np.ascontiguousarray(up[..., 0])
    real_as_iq = np.stack([real, 0 * real], axis=-1)

    whole, half = (spectrum(iq, signal="iq", n_fft=256, center=False)[0, :, 0] for iq in (up, real_as_iq))

    there, mirrored = 128 + 48, 128 - 48
    assert whole[there] - whole[mirrored] > 80
    assert half[there] == pytest.approx(half[mirrored], abs=1e-3)


@pytest.mark.parametrize("rate_hz", [8e3, 16e3, 44.1e3, 250e3, 2e6])
@pytest.mark.parametrize("scale", ["slaney", "htk", "linear"])
def test_a_tone_and_its_mirror_image_never_land_in_one_band(rng, rate_hz, scale):
    """Forty tones of either sign: the loudest band is of the tone's side, its edges hold the tone, and mirror it."""
    said = {"signal": "iq", "sample_rate_hz": rate_hz, "samples": 1024, "n_fft": 512, "hop": 512, "center": False}
    bank = {"n_mels": 12, "mel_scale": scale, "fmin_hz": rate_hz / 100, "norm": "none"}
    block = LogMel({**said, **bank})
    tones = rng.uniform(rate_hz / 60, rate_hz / 2.2, 40)
    signals = [np.concatenate([tone(side * hz, 1024, rate_hz) for hz in tones]) for side in (1, -1)]

    up, down = (block(signal=signal)["log_mel"][..., 0] for signal in signals)

    assert np.abs(up - down[:, ::-1]).max() <= 1e-2
    assert (up.argmax(axis=1) >= 12).all()
    assert (down.argmax(axis=1) < 12).all()
    bin_hz = rate_hz / 512
    lower, _, upper = block.edges_hz[up.argmax(axis=1)].T
    assert ((lower - bin_hz < tones) & (tones < upper + bin_hz)).all()


def test_three_kilohertz_below_and_above_are_told_apart():
    block = LogMel({"signal": "iq", "sample_rate_hz": RATE_HZ, "samples": 2048, "n_fft": 512, "n_mels": 20})

    down, up = (block(signal=tone(hz))["log_mel"][0, :, 8] for hz in (-3000, 3000))

    assert (int(down.argmax()), int(up.argmax())) == (6, 33)
    assert block.edges_hz[6].round().tolist() == [-3289.0, -2836.0, -2446.0]
    assert up[33] - up[6] > 79
    assert down[6] - down[33] > 79


def test_an_offset_is_in_no_band_or_in_its_own():
    """A Hann window leaks what stands at zero into the bins beside it, a quarter of its power, and no further."""
    iq = np.ones((1, 2048, 2), np.float32)
    said = {"signal": "iq", "sample_rate_hz": RATE_HZ, "samples": 2048, "n_fft": 512, "center": False, "top_db": None}
    bank = {"n_mels": 8, "mel_scale": "linear", "norm": "none"}

    without = LogMel({**said, **bank})(signal=iq)["log_mel"][0, :, 0]
    own = LogMel({**said, **bank, "dc_band": True})(signal=iq)["log_mel"][0, :, 0]

    assert own.argmax() == 8
    assert own[8] == pytest.approx(10 * np.log10(2 * 256**2), abs=1e-3)
    assert without[[7, 8]].max() < own[8] - 20
    assert without[[0, 1, 14, 15]].max() < own[8] - 80


def test_receivers_are_answered_as_each_alone_but_share_the_floor_of_their_row(rng):
    iq = rng.standard_normal((2, 3, 1024, 2)).astype(np.float32)

    together = spectrum(iq, signal="iq", n_fft=128, receivers=3)

    assert together.shape == (2, 3, 128, 33)
    for receiver in range(3):
        alone = spectrum(np.ascontiguousarray(iq[:, receiver]), signal="iq", n_fft=128)
        assert together[:, receiver] == pytest.approx(alone, abs=1e-4)
    iq[:, 1] *= 1e6
    floor = spectrum(iq, signal="iq", n_fft=128, receivers=3, top_db=80)
    assert (floor[:, 0] == floor.max(axis=(1, 2, 3))[:, None, None] - np.float32(80)).all()


def test_a_flat_answer_is_the_same_in_one_line(rng):
    iq = rng.standard_normal((2, 3, 1024, 2)).astype(np.float32)
    said = {"signal": "iq", "n_fft": 128, "receivers": 3}

    assert np.array_equal(spectrum(iq, **said, flat=True), spectrum(iq, **said).reshape(2, -1))


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ((1, 2, 17, 1), "signal: expected finite numbers, got nan in row 1, receiver 2, sample 17, Q"),
        ((0, 0, 0, 0), "signal: expected finite numbers, got nan in row 0, receiver 0, sample 0, I"),
    ],
)
def test_what_is_no_number_is_refused_with_its_place(place, sentence):
    iq = np.zeros((2, 3, 256, 2), np.float32)
    iq[place] = np.nan

    with pytest.raises(InputRefused) as refused:
        spectrum(iq, signal="iq", n_fft=64, receivers=3)

    assert str(refused.value) == sentence


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinity_in_a_real_signal_is_refused(value):
    signal = np.zeros((1, 256), np.float32)
    signal[0, 9] = value

    with pytest.raises(InputRefused, match=f"expected finite numbers, got {value:g} in row 0, sample 9"):
        spectrum(signal, n_fft=64)


def test_numbers_whose_power_float32_has_not_are_refused_and_the_largest_admitted_are_answered():
    said = {"sample_rate_hz": RATE_HZ, "samples": 2048, "n_fft": 512, "n_mels": 40, "norm": "none", "top_db": None}
    for block in (LogMel({**said, "precision": "float32"}), LogMel(said), LogMel({**said, "signal": "iq"})):
        largest = np.float32(block.transform.largest)
        signal = np.full((1, *block.inputs[0].dims), largest)

        assert np.isfinite(block(signal=signal)["log_mel"]).all()
        with pytest.raises(
            InputRefused, match="signal: expected numbers within ±1e\\+16, got 2e\\+16 in row 0, sample 0"
        ):
            block(signal=2 * signal)


@pytest.mark.parametrize("shape", [(1, 255), (1, 256, 2), (256,), (1, 1, 256)])
def test_another_shape_is_refused(shape):
    block = Spectrum({"sample_rate_hz": RATE_HZ, "samples": 256, "n_fft": 64})

    with pytest.raises(InputRefused, match=r"signal: expected rows of \[256\] numbers, got shape \["):
        block(signal=np.zeros(shape, np.float32))


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"sample_rate_hz": 0}, "sample_rate_hz: expected a number above 0, got 0"),
        ({"sample_rate_hz": None}, "sample_rate_hz: expected a number above 0, got None"),
        ({"samples": None}, "samples: expected a whole number from 1 on, got None"),
        ({"signal": "complex"}, "signal: expected one of real, iq, got 'complex'"),
        ({"receivers": 0}, "receivers: expected a whole number from 1 on, got 0"),
        ({"n_fft": 1}, "n_fft: expected a whole number from 2 on, got 1"),
        ({"n_fft": 10**9}, "n_fft: expected a whole number up to 262144, got 1000000000"),
        ({"samples": 10**12}, "samples: expected a whole number up to 67108864, got 1000000000000"),
        ({"receivers": 10**9}, "receivers: expected at most 67108864 samples in all, got 256000000000"),
        ({"samples": 2**26, "hop": 1}, "hop: expected frames of at most 268435456 points in all, got "),
        ({"hop": 0}, "hop: expected a whole number from 1 on, got 0"),
        ({"window": "kaiser"}, "window: expected one of hann, hamming, blackman, blackmanharris, boxcar, got 'kaiser'"),
        ({"window_length": 65}, "window_length: expected at most n_fft, 64, got 65"),
        ({"n_fft": 512, "center": False}, "samples: expected at least n_fft, 512, or center: true; got 256"),
        (
            {"n_fft": 512, "pad_mode": "reflect"},
            "samples: expected more than half of n_fft to mirror, 256, or pad_mode",
        ),
        ({"center": "yes"}, "center: expected true or false, got 'yes'"),
        ({"pad_mode": "wrap"}, "pad_mode: expected one of constant, reflect, edge, got 'wrap'"),
        ({"precision": "float16"}, "precision: expected one of float64, float32, got 'float16'"),
        ({"power": 3}, "power: expected 1, for magnitudes, or 2, got 3"),
        ({"amin": 0}, "amin: expected a number above 0 that float32 has, got 0"),
        ({"amin": 1e-50}, "amin: expected a number above 0 that float32 has, got 1e-50"),
        ({"top_db": 0}, "top_db: expected a number above 0, or null for none, got 0"),
        ({"ref": -1}, "ref: expected a number above 0 that float32 has, got -1"),
        ({"flat": 1}, "flat: expected true or false, got 1"),
        ({"scale_to": "power"}, "scale_to: expected one of none, magnitude, psd, got 'power'"),
        ({"nfft": 64}, "nfft: unknown; did you mean 'n_fft'?"),
        ({"n_mels": 64}, "n_mels: unknown; "),
    ],
    ids=str,
)
def test_a_parameter_that_is_wrong_is_named(parameters, sentence):
    said = {"sample_rate_hz": RATE_HZ, "samples": 256, "n_fft": 64, **parameters}

    with pytest.raises(ParametersError) as refused:
        Spectrum(said)

    assert str(refused.value).startswith(sentence)


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize(("samples", "n_fft", "hop"), [(1000, 64, 16), (1000, 63, 17), (64, 64, 64), (65, 64, 100)])
def test_as_many_frames_as_librosa_has(samples, n_fft, hop, center):
    wanted = librosa_reference.librosa.stft(np.zeros(samples), n_fft=n_fft, hop_length=hop, center=center).shape

    frames = Frames.read({"sample_rate_hz": 1, "samples": samples, "n_fft": n_fft, "hop": hop, "center": center})

    assert (frames.bins, frames.count) == wanted


def test_the_positions_are_where_the_frames_are_cut(rng):
    signal = rng.standard_normal((1, 100)).astype(np.float32)
    for pad in ("constant", "reflect", "edge"):
        frames = Frames.read(
            {"sample_rate_hz": 1, "samples": 100, "n_fft": 32, "hop": 8, "pad_mode": pad, "window": "boxcar"}
        )
        cut = np.append(signal[0], 0)[frames.positions]

        assert frames.power(signal)[0] == pytest.approx(np.abs(np.fft.rfft(cut)) ** 2, rel=1e-5, abs=1e-6)


def test_decibels_of_magnitudes_and_of_their_squares_are_the_same():
    magnitudes = np.array([[1e-3, 0.5, 20.0]], np.float32)
    of_magnitudes = Decibels(power=1, amin=1e-5, top_db=80.0, ref=2.0)
    of_squares = Decibels(power=2, amin=1e-10, top_db=80.0, ref=4.0)

    assert of_magnitudes(magnitudes.copy()) == pytest.approx(of_squares(magnitudes**2), abs=1e-4)


def test_a_batch_that_fits_no_cache_is_answered_as_its_rows_alone(rng):
    said = {"sample_rate_hz": 2e6, "samples": 1024, "signal": "iq", "receivers": 6, "n_fft": 128, "n_mels": 32}
    block = LogMel({**said, "mel_scale": "linear"})
    iq = rng.standard_normal((50, 6, 1024, 2)).astype(np.float32)

    together = block(signal=iq)["log_mel"]

    assert 1 < block.transform.frames.rows_at_once < 50
    for row in (0, 7, 23, 49):
        assert together[row] == pytest.approx(block(signal=iq[row : row + 1])["log_mel"][0], abs=1e-4)
    assert block(signal=iq[:0])["log_mel"].shape == (0, *block.outputs[0].dims)
