from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sextant.parameters import flag, one_of, refuse_unknown
from sextant.spectrum import SCALES, Decibels, Frames, LogSpectrum, scale_of
from sextant.tensors import Floats, Tensor


class Spectrum:
    """
    Windows of a signal, checked, and their log spectra: bins by frames, in decibels, in rising frequency.

    A complex signal has both sides, from minus half the sample rate on; a real one the side from zero on.

    >>> up = np.exp(2j * np.pi * 3000 * np.arange(256) / 16000).astype(np.complex64).view(np.float32).reshape(1, 256, 2)
    >>> block = Spectrum({"signal": "iq", "sample_rate_hz": 16e3, "samples": 256, "n_fft": 64, "scale_to": "magnitude"})
    >>> found = block(signal=up)["spectrum"][0, :, 8]
    >>> float(block.frequencies_hz[found.argmax()]), round(abs(float(found.max())), 6)
    (3000.0, 0.0)
    """

    inputs: tuple[Tensor, ...] = (Tensor("signal", "FP32", (-1,)),)
    outputs: tuple[Tensor, ...] = (Tensor("spectrum", "FP32", (-1, -1)),)

    parameters: ClassVar[tuple[str, ...]] = (
        *Frames.__dataclass_fields__,
        "scale_to",
        *Decibels.__dataclass_fields__,
        "flat",
    )
    measured: ClassVar[tuple[str, ...]] = ()
    validates: ClassVar[bool] = True

    @classmethod
    def settled(cls, parameters: Mapping[str, Any], dims: tuple[int, ...]) -> dict[str, Any]:  # noqa: ARG003
        """The complete parameters, every default written out; what the dims are follows from them."""
        return cls(parameters).complete

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        refuse_unknown(parameters, self.parameters)
        frames = Frames.read(parameters)
        self._scale_to = one_of(parameters, "scale_to", SCALES)
        self.transform = LogSpectrum(
            frames=frames,
            decibels=Decibels.read(parameters),
            scale=scale_of(parameters, frames),
            flat=flag(parameters, "flat", default=False),
        )
        self.inputs = (Spectrum.inputs[0]._replace(dims=frames.dims),)
        self.outputs = (Spectrum.outputs[0]._replace(dims=self.transform.dims),)

    def __call__(self, *, signal: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """The log ``spectrum`` ``(B, *dims)`` of *signal* ``(B, *dims)``, or ``InputRefused``."""
        return {"spectrum": self.transform(signal)}

    @property
    def frequencies_hz(self) -> Floats:
        """The frequency of each bin in signed hertz."""
        return self.transform.frames.frequencies_hz

    @property
    def complete(self) -> dict[str, Any]:
        """The parameters from which this very block is made again."""
        return {
            **self.transform.frames.parameters,
            "scale_to": self._scale_to,
            **self.transform.decibels.parameters,
            "flat": self.transform.flat,
        }
