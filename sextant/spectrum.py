"""Log spectra of windows of a signal, a whole batch at a time, in librosa's conventions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sextant.arrays import real
from sextant.errors import InputRefused, MissingExtra, ParametersError
from sextant.mel import Weights
from sextant.parameters import flag, number, one_of, whole
from sextant.tensors import Floats

Spectra = NDArray[np.float32]

SIGNALS = ("real", "iq")
PADS = ("constant", "reflect", "edge")
PRECISIONS = ("float64", "float32")
SCALES = ("none", "magnitude", "psd")

# A taper is a sum of cosines; these are their shares, as everybody writes them.
_COSINES: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {
        "hann": (0.5, 0.5),
        "hamming": (0.54, 0.46),
        "blackman": (0.42, 0.5, 0.08),
        "blackmanharris": (0.35875, 0.48829, 0.14128, 0.01168),
        "boxcar": (1.0,),
    }
)
WINDOWS = tuple(_COSINES)

_REAL = "real numbers; of a complex signal, with `signal: iq`, in-phase and quadrature in a last axis of 2"
_FLOAT32_MAX = float(np.finfo(np.float32).max)

# A row of 256 MiB in FP32 is an hour at 16 kHz; its frames are held at once, in FP64 by default: 2 GiB.
_MOST_POINTS, _MOST_SAMPLES, _MOST_FRAMED = 1 << 18, 1 << 26, 1 << 28

_CACHE_BYTES = 1 << 20
"""Frames that are cut at once: more of them leave a core's cache, and the FFT waits for memory (1.5 x slower)."""


def periodic_window(window: str, length: int) -> Floats:
    """
    The periodic *window* of *length* points, one of ``WINDOWS``: the first of the next period would follow its last.

    A symmetric one, which repeats its first point as its last, would be off by up to 2.8 dB.

    >>> periodic_window("hann", 4).round(12).tolist()
    [0.0, 0.5, 1.0, 0.5]
    """
    angles = 2 * np.pi * np.arange(length) / length
    signed = ((-1) ** i * share * np.cos(i * angles) for i, share in enumerate(_COSINES[window]))
    return np.asarray(sum(signed), dtype=np.float64)


@dataclass(frozen=True, kw_only=True)
class Frames:
    """
    How one window of a signal, *samples* long, is cut into tapered frames of *n_fft* points, one each *hop* samples.

    With *center* a frame stands about its sample, and what lies beyond either end is zero (``constant``), mirrored
    (``reflect``) or the last sample (``edge``); without, frames end where the signal ends. A *window* shorter than
    *n_fft* stands in the middle of its frame. An ``iq`` signal has a last axis of in-phase and quadrature; *receivers*,
    where they are said, stand first.

    >>> frames = Frames.read({"sample_rate_hz": 8000, "samples": 16, "n_fft": 8, "hop": 4})
    >>> frames.count, frames.bins, frames.positions[0].tolist()
    (5, 5, [16, 16, 16, 16, 0, 1, 2, 3])
    """

    sample_rate_hz: float
    signal: str
    receivers: int | None
    samples: int
    n_fft: int
    hop: int
    window: str
    window_length: int
    center: bool
    pad_mode: str
    precision: str

    @classmethod
    def read(cls, parameters: Mapping[str, Any]) -> Frames:
        """The frames that *parameters* name; ``ParametersError`` says what cannot be cut."""
        rate = number(parameters, "sample_rate_hz", None)
        if rate is None or rate <= 0:
            raise ParametersError(
                f"sample_rate_hz: expected a number above 0, got {parameters.get('sample_rate_hz')!r}"
            )
        n_fft = whole({"n_fft": 2048, **parameters}, "n_fft", most=_MOST_POINTS)
        length = whole({"window_length": n_fft, **parameters}, "window_length")
        frames = cls(
            sample_rate_hz=rate,
            signal=one_of(parameters, "signal", SIGNALS),
            receivers=None if parameters.get("receivers") is None else whole(parameters, "receivers"),
            samples=whole(parameters, "samples", most=_MOST_SAMPLES),
            n_fft=n_fft,
            hop=whole({"hop": max(1, length // 4), **parameters}, "hop"),
            window=one_of(parameters, "window", WINDOWS),
            window_length=length,
            center=flag(parameters, "center", default=True),
            pad_mode=one_of(parameters, "pad_mode", PADS),
            precision=one_of(parameters, "precision", PRECISIONS),
        )
        frames._refuse_impossible()
        return frames

    @property
    def parameters(self) -> dict[str, Any]:
        """What a spec would say to get these frames."""
        return asdict(self)

    @property
    def iq(self) -> bool:
        """Whether the signal is complex, so that its spectrum has two sides."""
        return self.signal == "iq"

    @property
    def dims(self) -> tuple[int, ...]:
        """One row of the signal."""
        return (*self.receiver_dims, self.samples, *((2,) if self.iq else ()))

    @property
    def receiver_dims(self) -> tuple[int, ...]:
        """The axis of the receivers, where there is one."""
        return () if self.receivers is None else (self.receivers,)

    @property
    def count(self) -> int:
        """How many frames there are."""
        return 1 + (self.samples + 2 * self._pad - self.n_fft) // self.hop

    @property
    def rows_at_once(self) -> int:
        """How many rows' frames fit a core's cache."""
        points = self.count * self.n_fft * (self.receivers or 1) * (2 if self.iq else 1)
        return max(1, _CACHE_BYTES // (points * np.dtype(self.precision).itemsize))

    @property
    def bins(self) -> int:
        """How many frequencies a frame has."""
        return self.n_fft if self.iq else self.n_fft // 2 + 1

    @property
    def frequencies_hz(self) -> Floats:
        """The frequency of each bin, rising: from 0 on, or from minus half the sample rate on."""
        first = -(self.n_fft // 2) if self.iq else 0
        return np.arange(first, first + self.bins) * (self.sample_rate_hz / self.n_fft)

    @property
    def positions(self) -> NDArray[np.int64]:
        """Which sample each point of each frame is, ``(count, n_fft)``; *samples* stands for a zero beyond the ends."""
        beyond: dict[str, Any] = {"constant_values": self.samples} if self.pad_mode == "constant" else {}
        line = np.pad(np.arange(self.samples), self._pad, mode=self._numpy_pad, **beyond)
        starts = self.hop * np.arange(self.count)
        return np.asarray(line[starts[:, None] + np.arange(self.n_fft)], dtype=np.int64)

    @cached_property
    def taper(self) -> Floats:
        """What each frame is multiplied by: the window in the middle of *n_fft* points."""
        before = (self.n_fft - self.window_length) // 2
        after = self.n_fft - self.window_length - before
        return np.pad(periodic_window(self.window, self.window_length), (before, after))

    def power(self, signal: NDArray[np.float32], scale: float = 1.0) -> Spectra:
        """
        ``|FFT|**2`` of the frames of *signal* ``(B, *dims)``: ``(B, [R,] count, bins)``, bins in the FFT's own order.

        All frames of all rows go through one call of the FFT. *scale* multiplies the taper.
        """
        line = self._padded(signal)
        frames = np.lib.stride_tricks.sliding_window_view(line, self.n_fft, axis=-1)[..., :: self.hop, :]
        tapered = frames * (self.taper * scale).astype(self.precision)
        fft = fourier()
        spectra = fft.fft(tapered, overwrite_x=True) if self.iq else fft.rfft(tapered)
        parts = spectra.view(self.precision)
        np.square(parts, out=parts)
        power = np.empty(spectra.shape, np.float32)
        with np.errstate(under="ignore"):
            return np.add(parts[..., ::2], parts[..., 1::2], out=power, casting="same_kind")

    @property
    def _pad(self) -> int:
        return self.n_fft // 2 if self.center else 0

    @property
    def _numpy_pad(self) -> Any:
        return self.pad_mode

    def _padded(self, signal: NDArray[np.float32]) -> NDArray[Any]:
        line = np.ascontiguousarray(signal, dtype=self.precision)
        if self.iq:
            line = line.view(np.result_type(line.dtype, np.complex64))[..., 0]
        if not self._pad:
            return line
        return np.pad(line, [(0, 0)] * (line.ndim - 1) + [(self._pad, self._pad)], mode=self._numpy_pad)

    def _refuse_impossible(self) -> None:
        if self.n_fft < 2:
            raise ParametersError(f"n_fft: expected a whole number from 2 on, got {self.n_fft}")
        if self.window_length > self.n_fft:
            raise ParametersError(f"window_length: expected at most n_fft, {self.n_fft}, got {self.window_length}")
        if not self.center and self.samples < self.n_fft:
            raise ParametersError(
                f"samples: expected at least n_fft, {self.n_fft}, or center: true; got {self.samples}"
            )
        if self.center and self.pad_mode == "reflect" and self.samples <= self._pad:
            said = f"expected more than half of n_fft to mirror, {self._pad}, or pad_mode: constant"
            raise ParametersError(f"samples: {said}; got {self.samples}")
        signals = self.receivers or 1
        if signals * self.samples > _MOST_SAMPLES:
            raise ParametersError(
                f"receivers: expected at most {_MOST_SAMPLES} samples in all, got {signals * self.samples}"
            )
        if (framed := signals * self.count * self.n_fft) > _MOST_FRAMED:
            raise ParametersError(f"hop: expected frames of at most {_MOST_FRAMED} points in all, got {framed}")


def fourier() -> Any:
    """SciPy's FFT, which keeps float32 where NumPy's does not; ``MissingExtra`` where there is none."""
    try:
        from scipy import fft
    except ImportError as error:
        raise MissingExtra("backend", "a spectrum") from error
    return fft


@dataclass(frozen=True, kw_only=True)
class Decibels:
    """
    Decibels of *power* 2 or of magnitudes (*power* 1): not below *amin*, against *ref*, and *top_db* below the loudest.

    *ref* ``max`` is the loudest value of a row, and so is what *top_db* counts from: a row's answer does not depend on
    those in its batch, as that of ``librosa.power_to_db`` would.

    >>> decibels = Decibels(power=2, amin=1e-10, top_db=80.0, ref=1.0)
    >>> decibels(np.array([[1.0, 100.0, 0.0]], np.float32)).round(3).tolist()
    [[0.0, 20.0, -60.0]]
    """

    power: int
    amin: float
    top_db: float | None
    ref: float | str

    @classmethod
    def read(cls, parameters: Mapping[str, Any]) -> Decibels:
        """The decibels that *parameters* name, or ``ParametersError``."""
        power = whole({"power": 2, **parameters}, "power")
        if power > 2:
            raise ParametersError(f"power: expected 1, for magnitudes, or 2, got {power}")
        amin = _above_zero(parameters, "amin", 1e-10 if power == 2 else 1e-5)
        top_db = number(parameters, "top_db", 80.0)
        if top_db is not None and top_db <= 0:
            raise ParametersError(f"top_db: expected a number above 0, or null for none, got {top_db:g}")
        ref: float | str = "max" if parameters.get("ref") == "max" else _above_zero(parameters, "ref", 1.0)
        return cls(power=power, amin=amin, top_db=top_db, ref=ref)

    @property
    def parameters(self) -> dict[str, Any]:
        """What a spec would say to get these decibels."""
        return asdict(self)

    @property
    def factor(self) -> float:
        """What a logarithm to base ten is multiplied by."""
        return 20.0 / self.power

    @property
    def shift(self) -> float:
        """What a *ref* that is a number takes off, in decibels."""
        return self.factor * float(np.log10(max(self.amin, float(self.ref)))) if self.ref != "max" else 0.0

    def __call__(self, values: Spectra) -> Spectra:
        """Decibels of *values* ``(B, ...)``, in their place."""
        axes = tuple(range(1, values.ndim))
        np.maximum(values, np.float32(self.amin), out=values)
        np.log10(values, out=values)
        np.multiply(values, np.float32(self.factor), out=values)
        loudest = values.max(axis=axes, keepdims=True)
        if self.top_db is not None:
            np.maximum(values, loudest - np.float32(self.top_db), out=values)
        return np.subtract(values, loudest if self.ref == "max" else np.float32(self.shift), out=values)


@dataclass(frozen=True, kw_only=True)
class LogSpectrum:
    """
    From a batch of signals to a batch of log spectra: frames, power, bands where there are *weights*, decibels.

    *weights* ``(bands, bins)`` stand over the bins in rising frequency; without them each bin is a band. *scale*
    multiplies the taper. *flat* makes one line of each row.
    """

    frames: Frames
    decibels: Decibels
    weights: Weights | None = None
    scale: float = 1.0
    flat: bool = False

    def __post_init__(self) -> None:
        fourier()  # a server without it is to refuse the model, not its first request

    @property
    def bands(self) -> int:
        """How many bands a frame has."""
        return self.frames.bins if self.weights is None else len(self.weights)

    @property
    def dims(self) -> tuple[int, ...]:
        """One row of the answer."""
        whole_row = (*self.frames.receiver_dims, self.bands, self.frames.count)
        return (int(np.prod(whole_row)),) if self.flat else whole_row

    @cached_property
    def largest(self) -> float:
        """The largest number a signal may hold, a power of ten: the power of a larger one may not fit float32."""
        gain = 1.0 if self.weights is None else max(1.0, float(self.weights.sum(axis=1).max()))
        amplitude = np.sqrt(_FLOAT32_MAX / gain / 2) / (self.scale * self.frames.taper.sum())
        return float(np.float32(10 ** np.floor(np.log10(amplitude))))

    @cached_property
    def in_fft_order(self) -> Weights | None:
        """The weights over the bins in the FFT's own order, zero first, transposed ``(bins, bands)``."""
        if self.weights is None:
            return None
        ordered = np.fft.ifftshift(self.weights, axes=1) if self.frames.iq else self.weights
        return np.ascontiguousarray(ordered.T)

    def __call__(self, signal: NDArray[np.float32]) -> Spectra:
        """The log spectra ``(B, *dims)`` of *signal* ``(B, *frames.dims)``; ``InputRefused`` names a row's fault."""
        self._refuse_unfit(signal)
        answer, step = np.empty((len(signal), *self.dims), np.float32), self.frames.rows_at_once
        for start in range(0, len(signal), step):
            answer[start : start + step] = self._answer(signal[start : start + step])
        return answer

    def _answer(self, signal: NDArray[np.float32]) -> Spectra:
        power = self.frames.power(signal, self.scale)
        if self.decibels.power == 1:
            np.sqrt(power, out=power)
        decibels = self.decibels(self._banded(power))
        return np.swapaxes(decibels, -1, -2).reshape(len(signal), *self.dims)

    def _banded(self, power: Spectra) -> Spectra:
        if self.in_fft_order is not None:
            return np.asarray(power @ self.in_fft_order, dtype=np.float32)
        return np.fft.fftshift(power, axes=-1) if self.frames.iq else power

    def _refuse_unfit(self, signal: NDArray[np.float32]) -> None:
        real(signal, partial(InputRefused, "signal", _REAL))
        if signal.shape[1:] != self.frames.dims:
            raise InputRefused("signal", f"rows of {list(self.frames.dims)} numbers", f"shape {list(signal.shape)}")
        if signal.size and not (signal.min() >= -self.largest and signal.max() <= self.largest):
            self._refuse_the_first(~(np.abs(signal) <= self.largest), signal)

    def _refuse_the_first(self, unfit: NDArray[np.bool_], signal: NDArray[np.float32]) -> None:
        row, *place = np.argwhere(unfit)[0].tolist()
        value = signal[(row, *place)]
        words = [
            f"row {row}",
            *([f"receiver {place.pop(0)}"] if self.frames.receivers else []),
            f"sample {place.pop(0)}",
        ]
        words += ["IQ"[index] for index in place]
        wanted = f"numbers within ±{self.largest:g}" if np.isfinite(value) else "finite numbers"
        raise InputRefused("signal", wanted, f"{value:g} in {', '.join(words)}")


def scale_of(parameters: Mapping[str, Any], frames: Frames) -> float:
    """What SciPy calls *scale_to*: nothing, a tone's ``magnitude`` at its bin, or power a hertz (``psd``)."""
    word = one_of(parameters, "scale_to", SCALES)
    scales: Mapping[str, Callable[[], float]] = {
        "none": lambda: 1.0,
        "magnitude": lambda: 1 / float(frames.taper.sum()),
        "psd": lambda: 1 / float(np.sqrt(np.square(frames.taper).sum() * frames.sample_rate_hz)),
    }
    return scales[word]()


def _above_zero(parameters: Mapping[str, Any], key: str, default: float) -> float:
    value = number(parameters, key, default)
    if value is None or value <= float(np.finfo(np.float32).tiny):
        raise ParametersError(f"{key}: expected a number above 0 that float32 has, got {parameters.get(key)!r}")
    return value
