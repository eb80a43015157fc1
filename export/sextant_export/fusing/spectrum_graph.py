"""
The blocks ``log_mel`` and ``spectrum`` as nodes: frames by one Gather, the Fourier transform by two matrix products.

With ``N1 N2`` points, sample ``N2 n1 + n2`` and bin ``k1 + N1 k2``, the transform is a sum over ``n1`` for each ``n2``,
and then one over ``n2``; the window and the twiddle factors stand in the matrices of the first. That is ``N1 + N2``
products a point where one matrix would take ``N1 N2``, and as exact for 400 points as for 512, which ONNX Runtime's own
DFT and STFT are not. ONNX's MelWeightMatrix is nobody else's bank: the bands are a constant.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt, log, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sextant.blocks.log_mel import LogMel
from sextant.blocks.spectrum import Spectrum
from sextant.spectrum import Decibels, Frames, LogSpectrum
from sextant.tensors import Floats
from sextant_export.fusing.graph import Value, where
from sextant_export.fusing.written import Written

_FRAMES = frozenset({"sample_rate_hz", "signal", "receivers", "samples", "n_fft", "hop", "window", "window_length"})
_FRAMES |= {"center", "pad_mode", "precision"}
_LEVELS = frozenset({"power", "amin", "top_db", "ref", "flat"})
_BANK = frozenset({"n_mels", "mel_scale", "norm", "fmin_hz", "fmax_hz", "dc_band", "empty_bands", "mel", "mel_sha256"})
KNOWN_LOG_MEL = _FRAMES | _BANK | _LEVELS
KNOWN_SPECTRUM = _FRAMES | _LEVELS | {"scale_to"}


def write_log_mel(parameters: Mapping[str, Any], inputs: Mapping[str, Value]) -> Written:
    """The log-mel spectra of ``signal``; a row that is refused is taken for silence."""
    return _written("log_mel", LogMel(parameters).transform, inputs["signal"])


def write_spectrum(parameters: Mapping[str, Any], inputs: Mapping[str, Value]) -> Written:
    """The log spectra of ``signal``; a row that is refused is taken for silence."""
    return _written("spectrum", Spectrum(parameters).transform, inputs["signal"])


def _written(name: str, transform: LogSpectrum, signal: Value) -> Written:
    rows = signal.reshape(-1, prod(transform.frames.dims))
    admitted = (abs(rows) <= transform.largest).all()
    power = _power(where(admitted, rows, 0.0), transform.frames, transform.scale)
    banded = _banded(power.sqrt() if transform.decibels.power == 1 else power, transform)
    by_line = banded.reshape(transform.bands, transform.frames.count, -1).apply("Transpose", perm=[2, 0, 1])
    decibels = _decibels(by_line.reshape(-1, prod(transform.dims)), transform.decibels)
    return Written({name: decibels.reshape(-1, *transform.dims)}, ~admitted, exact=False)


def _power(rows: Value, frames: Frames, scale: float) -> Value:
    """
    ``|FFT|**2`` of every frame, ``(bins, frames x lines)``, each receiver of a row being a line.

    The bins are in the FFT's own order, zero first; of a real signal there may be some more than it has.
    """
    first, second = (stage.astype(frames.precision) for stage in stages(frames, scale))
    framed = _framed(rows, frames)
    summed = (rows.graph.constant(first) @ framed).reshape(second.shape[1], -1)
    parts = rows.graph.constant(second) @ summed
    squares = (parts * parts).reshape(2, _bins(frames), -1)
    return squares.apply("ReduceSum", rows.graph.constant(np.array([0])), keepdims=0).cast(np.float32)


def _framed(rows: Value, frames: Frames) -> Value:
    """The samples of every frame as the first matrices take them: ``(N2, N1 [x 2], frames x lines)``."""
    outer, inner = factors(frames.n_fft)
    parts = 2 if frames.iq else 1
    lines = rows.reshape(-1, frames.samples * parts).apply("Transpose", perm=[1, 0]).cast(frames.precision)
    places = frames.positions.reshape(frames.count, outer, inner).transpose(2, 1, 0)
    if places.max() == frames.samples:  # the zero beyond the ends
        lines = lines.apply("Pad", rows.graph.constant(np.array([0, 0, parts, 0])))
    each = (parts * places[:, :, None] + np.arange(parts)[:, None]).reshape(inner, outer * parts, frames.count)
    gathered = lines.apply("Gather", rows.graph.constant(each.astype(np.int32)), axis=0)
    return gathered.reshape(inner, outer * parts, -1)


def stages(frames: Frames, scale: float = 1.0) -> tuple[Floats, Floats]:
    """
    The matrices of both sums over the tapered frame: ``(N2, 2 N1, N1 [x 2])`` and ``(2 K2, 2 N2)``.

    Real and imaginary parts stand apart in what they give, and side by side in what the second takes.  Of a real signal
    the second gives only the bins from zero on.
    """
    n, (outer, inner) = frames.n_fft, factors(frames.n_fft)
    n1, n2 = np.arange(outer), np.arange(inner)
    held = n2 if frames.iq else np.arange(inner // 2 + 1)
    points = inner * n1 + n2[:, None]
    tapered = frames.taper[points] * scale
    first = _turn(points[:, None, :] * n1[:, None], n) * tapered[:, None, :]
    return _as_reals(first, of_complex=frames.iq), _as_reals(_turn(np.outer(held, n2), inner), of_complex=True)


def factors(n: int) -> tuple[int, int]:
    """
    The two factors of *n* that are nearest to each other, the smaller first.

    >>> factors(400), factors(512), factors(7)
    ((20, 20), (16, 32), (1, 7))
    """
    smaller = next(factor for factor in range(isqrt(n), 0, -1) if n % factor == 0)
    return smaller, n // smaller


def _turn(steps: NDArray[np.int64], of: int) -> NDArray[np.complex128]:
    """``exp(-2 pi i steps / of)``, the steps brought within one turn first, where they are exact."""
    return np.asarray(np.exp(-2j * np.pi * (steps % of) / of), dtype=np.complex128)


def _as_reals(matrix: NDArray[np.complex128], *, of_complex: bool) -> Floats:
    """A complex matrix as one of reals: all real rows, then all imaginary ones; a complex vector comes in pairs."""
    both = np.stack([matrix.real, matrix.imag], axis=-3)
    if of_complex:
        both = np.stack([both, np.stack([-matrix.imag, matrix.real], axis=-3)], axis=-1)
    return both.reshape(*matrix.shape[:-2], 2 * matrix.shape[-2], -1)


def _banded(power: Value, transform: LogSpectrum) -> Value:
    """The bands, ``(bands, frames x lines)``: the constant matrix, or the bins in rising frequency."""
    frames = transform.frames
    if transform.in_fft_order is None:
        rising = np.fft.fftshift(np.arange(frames.bins)) if frames.iq else np.arange(frames.bins)
        return power.apply("Gather", power.graph.constant(rising), axis=0)
    beyond = _bins(frames) - frames.bins
    return power.graph.constant(np.pad(transform.in_fft_order.T, [(0, 0), (0, beyond)])) @ power


def _bins(frames: Frames) -> int:
    """How many bins :func:`_power` gives."""
    outer, inner = factors(frames.n_fft)
    return outer * (inner if frames.iq else inner // 2 + 1)


def _decibels(rows: Value, decibels: Decibels) -> Value:
    """What ``Decibels`` makes of *rows* ``(B, values)``."""
    values = rows.apply("Max", decibels.amin).apply("Log") * (decibels.factor / log(10))
    loudest = values.apply("ReduceMax", rows.graph.constant(np.array([1])), keepdims=1)
    if decibels.top_db is not None:
        values = values.apply("Max", loudest - decibels.top_db)
    return values - (loudest if decibels.ref == "max" else decibels.shift)
