"""
Mel filter banks: librosa's for real signals, and a mirrored one for complex signals.

A complex (I/Q) signal has negative frequencies of its own. The mirrored bank lays the filters of ``|f|`` on either side
of zero, so that what lies at -3 kHz and what lies at +3 kHz never share a band::

    band     0 ........ n_mels-1 | n_mels ........ 2 n_mels-1        without a band for zero
    band     0 ........ n_mels-1 | n_mels | n_mels+1 .... 2 n_mels   with one (dc_band)
    hertz   -fmax ...... -fmin   |    0   | fmin ........... fmax
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sextant.errors import ParametersError
from sextant.parameters import flag, number, one_of, whole
from sextant.tensors import Floats

Weights = NDArray[np.float32]

# A matrix of 256 MiB: the bands that a complex signal has by default, over the longest FFT there is.
_MOST_WEIGHTS = 1 << 26

MEL_SCALES = ("slaney", "htk", "linear")
NORMS = ("slaney", "none")

# Slaney's scale is linear up to 1 kHz, 15 mels of 66.7 Hz, and logarithmic from there: 27 mels a factor of 6.4.
_HZ_PER_MEL, _BREAK_HZ, _BREAK_MEL = 200 / 3, 1000.0, 15.0
_LOG_STEP = np.log(6.4) / 27


def hz_to_mel(hz: ArrayLike, scale: str = "slaney") -> Floats:
    """
    Mels of frequencies in hertz, from 0 on; on the scale ``linear`` they are the hertz themselves.

    >>> float(hz_to_mel(1000)), round(float(hz_to_mel(1000, "htk")), 5)
    (15.0, 999.98554)
    """
    values = np.asarray(hz, dtype=np.float64)
    if scale == "linear":
        return values
    if scale == "htk":
        return np.asarray(2595 * np.log10(1 + values / 700))
    above = _BREAK_MEL + np.log(np.maximum(values, _BREAK_HZ) / _BREAK_HZ) / _LOG_STEP
    return np.where(values >= _BREAK_HZ, above, values / _HZ_PER_MEL)


def mel_to_hz(mels: ArrayLike, scale: str = "slaney") -> Floats:
    """
    Frequencies in hertz of mels: the way back of :func:`hz_to_mel`.

    >>> round(float(mel_to_hz(45.245640471924965)), 6)
    8000.0
    """
    values = np.asarray(mels, dtype=np.float64)
    if scale == "linear":
        return values
    if scale == "htk":
        return np.asarray(700 * (10 ** (values / 2595) - 1))
    above = _BREAK_HZ * np.exp(_LOG_STEP * (np.maximum(values, _BREAK_MEL) - _BREAK_MEL))
    return np.where(values >= _BREAK_MEL, above, values * _HZ_PER_MEL)


def band_edges(n_mels: int, fmin_hz: float, fmax_hz: float, scale: str = "slaney") -> Floats:
    """
    Lower edge, centre and upper edge of *n_mels* bands in hertz, ``(n_mels, 3)``: evenly spaced in mels.

    >>> band_edges(3, 0, 4000, "linear").tolist()
    [[0.0, 1000.0, 2000.0], [1000.0, 2000.0, 3000.0], [2000.0, 3000.0, 4000.0]]
    """
    ends = hz_to_mel([fmin_hz, fmax_hz], scale)
    corners = mel_to_hz(np.linspace(ends[0], ends[1], n_mels + 2), scale)
    return np.column_stack([corners[:-2], corners[1:-1], corners[2:]])


def triangles(edges_hz: Floats, bins_hz: Floats, norm: str = "slaney") -> Floats:
    """
    Triangular filters ``(bands, bins)`` over the frequencies *bins_hz*, as ``librosa.filters.mel`` builds them.

    A triangle is 1 at its centre; *norm* ``slaney`` divides it by half its width in hertz, so that noise which is
    equally strong at all frequencies is equally strong in all bands.

    >>> triangles(band_edges(1, 0, 2000, "linear"), np.array([0.0, 500.0, 1000.0, 1500.0]), "none").tolist()
    [[0.0, 0.5, 1.0, 0.5]]
    """
    lower, centre, upper = (column[:, None] for column in edges_hz.T)
    rising, falling = (bins_hz - lower) / (centre - lower), (upper - bins_hz) / (upper - centre)
    weights: Floats = np.maximum(0, np.minimum(rising, falling))
    return weights * (2 / (upper - lower)) if norm == "slaney" else weights


@dataclass(frozen=True, kw_only=True)
class MelBank:
    """
    The bands of a log-mel spectrum over an FFT of *n_fft* points at *sample_rate_hz*.

    A real signal has *n_mels* bands over the bins ``0 .. n_fft / 2``; a complex one (*mirrored*) has *n_mels* on either
    side of zero over the bins from ``-n_fft / 2`` on. The bin at zero, where a receiver's offset stands, is in no band
    unless *dc_band* gives it one of its own; the bin at half the sample rate, whose sign nobody can tell, is in none.
    A band that holds no bin would be a constant: it is refused, or kept where a model was trained with it
    (*empty_bands* ``keep``).

    >>> bank = MelBank(sample_rate_hz=8000, n_fft=8, mirrored=True, n_mels=1, mel_scale="linear", norm="none",
    ...                fmin_hz=0, fmax_hz=4000, dc_band=False, empty_bands="refuse")
    >>> bank.edges_hz.tolist(), bank.weights.tolist()  # doctest: +NORMALIZE_WHITESPACE
    ([[-4000.0, -2000.0, 0.0], [0.0, 2000.0, 4000.0]],
     [[0.0, 0.5, 1.0, 0.5, 0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 0.0, 0.5, 1.0, 0.5]])
    """

    sample_rate_hz: float
    n_fft: int
    mirrored: bool
    n_mels: int
    mel_scale: str
    norm: str
    fmin_hz: float
    fmax_hz: float
    dc_band: bool
    empty_bands: str

    names = ("n_mels", "mel_scale", "norm", "fmin_hz", "fmax_hz", "dc_band", "empty_bands")

    @classmethod
    def read(cls, parameters: Mapping[str, Any], sample_rate_hz: float, n_fft: int, mirrored: bool) -> MelBank:
        """The bank that *parameters* name; ``ParametersError`` says what no bank can be made of."""
        fmin_hz = number(parameters, "fmin_hz", 0.0)
        fmax_hz = number(parameters, "fmax_hz", None)
        bank = cls(
            sample_rate_hz=sample_rate_hz,
            n_fft=n_fft,
            mirrored=mirrored,
            n_mels=whole({"n_mels": 128, **parameters}, "n_mels"),
            mel_scale=one_of(parameters, "mel_scale", MEL_SCALES),
            norm=one_of(parameters, "norm", NORMS),
            fmin_hz=0.0 if fmin_hz is None else fmin_hz,
            fmax_hz=sample_rate_hz / 2 if fmax_hz is None else fmax_hz,
            dc_band=flag(parameters, "dc_band", default=False),
            empty_bands=one_of(parameters, "empty_bands", ("refuse", "keep")),
        )
        bank.refuse_impossible()
        return bank

    @property
    def bands(self) -> int:
        """How many bands there are."""
        return 2 * self.n_mels + self.dc_band if self.mirrored else self.n_mels

    @property
    def parameters(self) -> dict[str, Any]:
        """What a spec would say to get this bank."""
        return {name: getattr(self, name) for name in self.names}

    @property
    def edges_hz(self) -> Floats:
        """Lower edge, centre and upper edge of every band in signed hertz, ``(bands, 3)``, in the bands' order."""
        right = self._right_edges
        if not self.mirrored:
            return right
        bin_hz = self.sample_rate_hz / self.n_fft
        zero = np.array([[-bin_hz, 0.0, bin_hz]])[: int(self.dc_band)]
        return np.concatenate([0 - right[::-1, ::-1], zero, right])

    @property
    def weights(self) -> Weights:
        """The filters ``(bands, bins)``, the bins in rising frequency."""
        bins_hz = np.arange(self.n_fft // 2 + 1) * (self.sample_rate_hz / self.n_fft)
        right = triangles(self._right_edges, bins_hz, self.norm)
        return (self._two_sided(right) if self.mirrored else right).astype(np.float32)

    @property
    def _right_edges(self) -> Floats:
        return band_edges(self.n_mels, self.fmin_hz, self.fmax_hz, self.mel_scale)

    def _two_sided(self, right: Floats) -> Floats:
        """The filters of the bins ``1 .. (n_fft - 1) / 2`` on both sides, and nothing at zero and at half the rate."""
        zero, reach = self.n_fft // 2, (self.n_fft - 1) // 2
        weights = np.zeros((2, self.n_mels, self.n_fft))
        weights[1, :, zero + 1 : zero + 1 + reach] = right[:, 1 : reach + 1]
        weights[0, :, zero - reach : zero] = right[::-1, reach:0:-1]
        alone = np.zeros((int(self.dc_band), self.n_fft))
        alone[:, zero] = self.n_fft / self.sample_rate_hz if self.norm == "slaney" else 1.0
        return np.concatenate([weights[0], alone, weights[1]])

    def refuse_impossible(self) -> None:
        """``ParametersError`` for edges that are none, for bands that hold no bin, and for more than can be held."""
        if self.fmax_hz <= 0:
            raise ParametersError(f"fmax_hz: expected a number above 0, got {self.fmax_hz:g}")
        if not 0 <= self.fmin_hz < self.fmax_hz:
            raise ParametersError(f"fmin_hz: expected a number from 0 and below fmax_hz, got {self.fmin_hz:g}")
        if self.fmax_hz > self.sample_rate_hz / 2:
            half = f"half the sample rate, {self.sample_rate_hz / 2:g} Hz"
            raise ParametersError(f"fmax_hz: expected at most {half}, got {self.fmax_hz:g}")
        if self.dc_band and not self.mirrored:
            raise ParametersError("dc_band: expected false, as only the bank of a complex signal (iq) has zero in it")
        bins = self.n_fft if self.mirrored else self.n_fft // 2 + 1
        if self.bands * bins > _MOST_WEIGHTS:
            raise ParametersError(
                f"n_mels: expected at most {_MOST_WEIGHTS // bins} bands of {bins} bins, got {self.bands}"
            )
        if self.empty_bands == "refuse" and (empty := self._empty(self.n_mels)):
            raise ParametersError(f"n_mels: {self._said_of(empty)}")

    def _empty(self, n_mels: int) -> list[int]:
        """Those of *n_mels* bands on the right that hold no bin between their edges."""
        lower, _, upper = band_edges(n_mels, self.fmin_hz, self.fmax_hz, self.mel_scale).T
        bins_hz = np.arange(self._reach + 1) * (self.sample_rate_hz / self.n_fft)
        held = np.searchsorted(bins_hz, upper, "left") - np.searchsorted(bins_hz, lower, "right")
        return [int(band) for band in np.flatnonzero(held <= 0)]

    @property
    def _reach(self) -> int:
        """The last bin on the right that a band may hold."""
        return (self.n_fft - 1) // 2 if self.mirrored else self.n_fft // 2

    def _said_of(self, empty: Sequence[int]) -> str:
        lower, _, upper = self._right_edges[empty[0]]
        bin_hz = self.sample_rate_hz / self.n_fft
        first = f"band {empty[0]}, {lower:.4g} to {upper:.4g} Hz, lies between bins {bin_hz:.4g} Hz apart"
        # No bin is in more than two bands.
        most = next((n for n in range(min(self.n_mels - 1, 2 * self._reach), 0, -1) if not self._empty(n)), 0)
        fewer = f"at most {most} bands" if most else "other bands"
        ways = f"expected {fewer}, a longer n_fft, a higher fmin_hz, or `empty_bands: keep`"
        return f"{ways}; {len(empty)} of {self.n_mels} bands would hold no bin: {first}"


def sparse_rows(weights: Weights) -> dict[str, Any]:
    """
    Filters as a release keeps them: of each row the first bin that is not 0, and the weights from there to the last.

    >>> sparse_rows(np.array([[0, 0.5, 1, 0], [0, 0, 0, 0]], np.float32))
    {'bins': 4, 'bands': [[1, [0.5, 1.0]], [0, []]]}
    """
    bands = []
    for row in weights:
        held = np.flatnonzero(row)
        first, last = (int(held[0]), int(held[-1]) + 1) if held.size else (0, 0)
        bands.append([first, row[first:last].tolist()])
    return {"bins": int(weights.shape[1]), "bands": bands}


def dense_rows(rows: Any) -> Weights:
    """The filters that :func:`sparse_rows` has packed; ``ParametersError`` where they are none."""
    try:
        weights = np.zeros((len(rows["bands"]), rows["bins"]), np.float32)
        for row, (first, held) in zip(weights, rows["bands"], strict=True):
            row[first : first + len(held)] = held
    except (TypeError, ValueError, KeyError) as error:
        raise ParametersError("mel: expected the rows of a mel matrix as a release keeps them") from error
    return weights


def weights_sha256(weights: Weights) -> str:
    """The SHA-256 of filters: of their shape in words and their numbers as little-endian float32, row by row."""
    digest = hashlib.sha256(f"{weights.shape[0]} x {weights.shape[1]}\n".encode())
    digest.update(np.ascontiguousarray(weights, "<f4").tobytes())
    return digest.hexdigest()
