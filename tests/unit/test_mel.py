from __future__ import annotations

import hashlib
import struct

import numpy as np
import pytest

import librosa_reference
from sextant.errors import ParametersError
from sextant.mel import (
    MelBank,
    band_edges,
    dense_rows,
    hz_to_mel,
    mel_to_hz,
    sparse_rows,
    triangles,
    weights_sha256,
)


def bank(rate_hz=16000, n_fft=400, *, two_sided=False, **parameters):
    return MelBank.read({"n_mels": 80, **parameters}, rate_hz, n_fft, two_sided)


def mirrored(n_mels=10, rate_hz=20000, n_fft=256, **parameters):
    return bank(rate_hz, n_fft, two_sided=True, n_mels=n_mels, **parameters)


@pytest.mark.parametrize(
    ("hz", "scale", "mels"),
    [
        (1000, "slaney", 15.0),
        (1000, "htk", 999.9855371396244),
        (8000, "slaney", 45.245640471924965),
        (8000, "htk", 2840.023046708319),
        (8000, "linear", 8000.0),
    ],
)
def test_mels_are_those_of_the_reference(hz, scale, mels):
    assert float(hz_to_mel(hz, scale)) == pytest.approx(mels, rel=1e-15)
    assert float(mel_to_hz(mels, scale)) == pytest.approx(hz, rel=1e-15)


@pytest.mark.parametrize("scale", ["slaney", "htk"])
def test_both_scales_are_librosas_everywhere(scale):
    hz = np.linspace(0, 24000, 4001)

    assert hz_to_mel(hz, scale) == pytest.approx(librosa_reference.librosa.hz_to_mel(hz, htk=scale == "htk"), rel=1e-15)
    assert mel_to_hz(hz_to_mel(hz, scale), scale) == pytest.approx(hz, rel=1e-12)


@pytest.mark.parametrize("norm", ["slaney", "none"])
@pytest.mark.parametrize("scale", ["slaney", "htk"])
@pytest.mark.parametrize(
    ("rate_hz", "n_fft", "n_mels", "fmin", "fmax"),
    [(16000, 400, 40, 0, 8000), (22050, 2048, 128, 0, 11025), (48000, 1023, 64, 50, 20000), (8000, 512, 23, 125, 3800)],
)
def test_filters_are_librosas(rate_hz, n_fft, n_mels, fmin, fmax, scale, norm):
    wanted = librosa_reference.bank(
        rate_hz, n_fft, n_mels, fmin=fmin, fmax=fmax, htk=scale == "htk", norm=None if norm == "none" else norm
    )

    bins_hz = np.arange(n_fft // 2 + 1) * (rate_hz / n_fft)
    found = triangles(band_edges(n_mels, fmin, fmax, scale), bins_hz, norm)

    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)


def test_the_vectors_of_slaneys_bank():
    weights = bank().weights

    assert weights[0, 1] == pytest.approx(0.02486259, rel=1e-6)
    assert (weights[40].argmax(), weights[40].max()) == (43, pytest.approx(0.01473556574143909, rel=1e-6))
    assert weights[79].sum() == pytest.approx(0.024925339738858847, rel=1e-6)


def test_the_vectors_of_the_bank_of_htk_without_norm():
    weights = bank(mel_scale="htk", norm="none").weights

    assert weights[0, 1] == pytest.approx(0.21644744, rel=1e-6)
    assert (weights[40].argmax(), weights[40].max()) == (45, pytest.approx(0.9155949981070516, rel=1e-6))
    assert weights[79].sum() == pytest.approx(6.534578540213632, rel=1e-6)


def test_bands_that_hold_no_bin_are_refused_with_the_number_that_would_do():
    with pytest.raises(ParametersError) as error:
        bank(n_mels=128, mel_scale="htk")

    assert str(error.value) == (
        "n_mels: expected at most 89 bands, a longer n_fft, a higher fmin_hz, or `empty_bands: keep`; "
        "4 of 128 bands would hold no bin: band 0, 0 to 27.89 Hz, lies between bins 40 Hz apart"
    )
    assert bank(n_mels=89, mel_scale="htk").weights.max(axis=1).min() > 0
    assert bank(n_mels=128).weights.max(axis=1).min() > 0


def test_bands_that_hold_no_bin_are_kept_where_a_model_was_trained_with_them():
    weights = bank(n_mels=128, mel_scale="htk", empty_bands="keep").weights

    assert (weights.max(axis=1) == 0).sum() == 4


def test_a_mel_scale_at_radio_rates_is_refused_and_a_linear_one_is_not():
    with pytest.raises(ParametersError, match="32 bands would hold no bin: band 0"):
        mirrored(32, rate_hz=2e6, n_fft=256)

    assert mirrored(32, rate_hz=2e6, n_fft=256, mel_scale="linear").weights.max(axis=1).min() > 0


@pytest.mark.parametrize("n_fft", [256, 255])
@pytest.mark.parametrize("dc_band", [False, True])
def test_the_mirrored_bank_is_its_own_mirror_image(n_fft, dc_band):
    """Band i on one side holds what band -1-i holds on the other; edges too, with their signs."""
    both = mirrored(n_fft=n_fft, dc_band=dc_band)
    weights, edges = both.weights, both.edges_hz
    first = 1 - n_fft % 2  # of an even number of points the first bin, half the rate, has no twin

    assert np.array_equal(weights[:, first:], weights[::-1, first:][:, ::-1])
    assert np.array_equal(edges, -edges[::-1, ::-1])
    assert both.bands == len(weights) == len(edges) == 20 + dc_band
    assert (np.diff(edges[:, 1]) > 0).all()


def test_a_side_of_the_mirrored_bank_is_the_bank_of_a_real_signal():
    right, both = bank(20000, 256, n_mels=10), mirrored()

    assert np.array_equal(both.weights[10:, 128:], right.weights[:, :128])
    assert np.array_equal(both.edges_hz[10:], right.edges_hz)


def test_no_bin_is_heard_on_both_sides_and_zero_only_in_a_band_of_its_own():
    without, with_band = mirrored().weights, mirrored(dc_band=True).weights

    assert not ((without[:10] > 0).any(axis=0) & (without[10:] > 0).any(axis=0)).any()
    assert without[:, 128].tolist() == [0] * 20
    assert without[:, 0].tolist() == [0] * 20
    assert np.flatnonzero(with_band[:, 128]).tolist() == [10]
    assert np.flatnonzero(with_band[10]).tolist() == [128]


def test_white_noise_is_as_strong_in_the_band_at_zero_as_in_wide_ones():
    """With slaney's norm a band's weight over hertz is 1, whatever its width."""
    weights = mirrored(n_mels=4, dc_band=True, mel_scale="linear").weights

    assert weights.sum(axis=1) * (20000 / 256) == pytest.approx(np.ones(9), rel=0.01)


def test_stored_rows_are_the_matrix_to_the_last_bit():
    weights = bank().weights
    rows = sparse_rows(weights)

    assert np.array_equal(dense_rows(rows), weights)
    assert sum(len(held) for _, held in rows["bands"]) < 2 * weights.shape[1]


def test_the_hash_is_that_of_the_numbers_and_of_their_shape():
    weights = np.arange(6, dtype=np.float32).reshape(2, 3)

    assert weights_sha256(weights) == weights_sha256(np.asfortranarray(weights))
    assert weights_sha256(weights) != weights_sha256(weights.reshape(3, 2))
    assert weights_sha256(weights) == hashlib.sha256(b"2 x 3\n" + struct.pack("<6f", *range(6))).hexdigest()


@pytest.mark.parametrize("rows", [[], {}, {"bins": 3}, {"bins": 3, "bands": [[2, [1, 2]]]}, {"bins": -1, "bands": [1]}])
def test_what_is_no_stored_matrix_is_refused(rows):
    with pytest.raises(ParametersError, match="mel: expected the rows of a mel matrix"):
        dense_rows(rows)


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"n_mels": 0}, "n_mels: expected a whole number from 1 on, got 0"),
        ({"mel_scale": "bark"}, "mel_scale: expected one of slaney, htk, linear, got 'bark'"),
        ({"norm": 2}, "norm: expected one of slaney, none, got 2"),
        ({"fmin_hz": -1}, "fmin_hz: expected a number from 0 and below fmax_hz, got -1"),
        ({"fmin_hz": 9000, "fmax_hz": 8000}, "fmin_hz: expected a number from 0 and below fmax_hz, got 9000"),
        ({"fmax_hz": 8001}, "fmax_hz: expected at most half the sample rate, 8000 Hz, got 8001"),
        ({"dc_band": True}, "dc_band: expected false, as only the bank of a complex signal"),
        ({"dc_band": 1}, "dc_band: expected true or false, got 1"),
        ({"empty_bands": "warn"}, "empty_bands: expected one of refuse, keep, got 'warn'"),
    ],
)
def test_a_parameter_that_is_wrong_is_named(parameters, sentence):
    with pytest.raises(ParametersError, match=sentence):
        bank(**parameters)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("scale", ["slaney", "htk", "linear"])
def test_the_bands_said_to_hold_no_bin_are_those_without_a_weight(mirrored, scale):
    made = bank(n_mels=60, mel_scale=scale, n_fft=129, two_sided=mirrored, empty_bands="keep")

    right = made.weights[-made.n_mels :]
    assert made._empty(60) == np.flatnonzero(right.max(axis=1) == 0).tolist()


def test_far_too_many_bands_are_refused_at_once():
    with pytest.raises(ParametersError, match="n_mels: expected at most [0-9]+ bands, .* of 200000 bands would"):
        bank(n_mels=200_000)


def test_a_matrix_that_no_memory_holds_is_refused_before_it_is_made():
    with pytest.raises(ParametersError, match="n_mels: expected at most [0-9]+ bands of [0-9]+ bins, got 1000000000$"):
        bank(n_mels=10**9, empty_bands="keep")


def test_an_upper_edge_that_is_none_is_named():
    with pytest.raises(ParametersError, match="fmax_hz: expected a number above 0, got -5"):
        bank(fmax_hz=-5)
