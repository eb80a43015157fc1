"""The reference for spectra: librosa in float64, asked with a block's parameters; and signals that are hard."""

from __future__ import annotations

import librosa
import librosa.feature
import librosa.filters
import numpy as np

RATE_HZ = 16000
DYNAMIC_RANGE_DB = 80


def log_mel(signal, *, samples, sample_rate_hz=RATE_HZ, **said):
    """What librosa makes of one real *signal* ``(n,)``, in float64 throughout; *said* are parameters of the block."""
    given = {"n_fft": 2048, "n_mels": 128, "fmin_hz": 0.0, "fmax_hz": None, "power": 2} | said
    mel = librosa.feature.melspectrogram(
        y=signal.astype(np.float64),
        sr=sample_rate_hz,
        n_fft=given["n_fft"],
        hop_length=given.get("hop"),
        win_length=given.get("window_length"),
        window=given.get("window", "hann"),
        center=given.get("center", True),
        pad_mode=given.get("pad_mode", "constant"),
        power=given["power"],
        n_mels=given["n_mels"],
        fmin=given["fmin_hz"],
        fmax=given["fmax_hz"],
        htk=given.get("mel_scale") == "htk",
        norm=None if given.get("norm") == "none" else "slaney",
        dtype=np.float64,
    )
    to_db = librosa.power_to_db if given["power"] == 2 else librosa.amplitude_to_db
    amin = given.get("amin", 1e-10 if given["power"] == 2 else 1e-5)
    ref = np.max if given.get("ref") == "max" else given.get("ref", 1.0)
    return to_db(mel, ref=ref, amin=amin, top_db=given.get("top_db", 80.0))


def bank(rate_hz, n_fft, n_mels, **said):
    """librosa's filters in float64."""
    return librosa.filters.mel(sr=rate_hz, n_fft=n_fft, n_mels=n_mels, dtype=np.float64, **said)


def signals(samples, rng):
    """Noise, and what is harder on float32: tones, a chirp and a dying tone 40 to 110 dB above it; FP32 ``(9, n)``."""
    time = np.arange(samples) / RATE_HZ
    noise = rng.standard_normal((9, samples))
    loud = np.zeros((9, samples))
    for row, hz in enumerate(rng.uniform(50, 7900, 6), start=1):
        loud[row] = np.cos(2 * np.pi * hz * time)
    loud[7] = np.cos(2 * np.pi * (100 + 3000 * time) * time)
    loud[8] = np.cos(2 * np.pi * 700 * time) * np.exp(-8 * time)
    below = np.concatenate([[0.0], rng.uniform(-110, -40, 8)])[:, None]
    return (loud + 10 ** (below / 20) * noise).astype(np.float32)


def worst_db(found, wanted):
    """The largest difference of two log spectra ``(B, ...)``, of values within 80 dB of the loudest of their row."""
    axes = tuple(range(1, wanted.ndim))
    heard = wanted > wanted.max(axis=axes, keepdims=True) - DYNAMIC_RANGE_DB
    return float(np.abs(found - wanted)[heard].max())
