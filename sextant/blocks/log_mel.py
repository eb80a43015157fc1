from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sextant.errors import ParametersError
from sextant.mel import MelBank, Weights, dense_rows, sparse_rows, weights_sha256
from sextant.parameters import flag, refuse_unknown
from sextant.spectrum import Decibels, Frames, LogSpectrum
from sextant.tensors import Floats, Tensor


class LogMel:
    """
    Windows of a signal, checked, and their log-mel spectra: bands by frames, in decibels.

    A real signal's bands are librosa's; a complex one's are mirrored about zero, so that -3 kHz and +3 kHz never share
    a band. The mel matrix is stored with a release, and a matrix that is not the one it was stored as stops the load.

    >>> tone = np.sin(2 * np.pi * 1000 * np.arange(2048) / 16000).astype(np.float32)
    >>> block = LogMel({"sample_rate_hz": 16000, "samples": 2048, "n_fft": 512, "n_mels": 40})
    >>> answer = block(signal=tone[None])["log_mel"]
    >>> answer.shape, block.outputs[0].dims, int(answer[0, :, 8].argmax()), block.edges_hz[13].round().tolist()
    ((1, 40, 17), (40, 17), 13, [956.0, 1031.0, 1113.0])
    """

    inputs: tuple[Tensor, ...] = (Tensor("signal", "FP32", (-1,)),)
    outputs: tuple[Tensor, ...] = (Tensor("log_mel", "FP32", (-1, -1)),)

    parameters: ClassVar[tuple[str, ...]] = (
        *Frames.__dataclass_fields__,
        *MelBank.names,
        *Decibels.__dataclass_fields__,
        "flat",
        "mel",
        "mel_sha256",
    )
    measured: ClassVar[tuple[str, ...]] = ("mel", "mel_sha256")
    validates: ClassVar[bool] = True

    @classmethod
    def settled(cls, parameters: Mapping[str, Any], dims: tuple[int, ...]) -> dict[str, Any]:  # noqa: ARG003
        """
        The complete parameters, every default written out, with the mel matrix and its hash.

        What the dims are follows from them; whether the members take those is seen when they are wired.
        """
        return cls(parameters).complete

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        refuse_unknown(parameters, self.parameters)
        frames, decibels = Frames.read(parameters), Decibels.read(parameters)
        flat = flag(parameters, "flat", default=False)
        self._bank = MelBank.read(parameters, frames.sample_rate_hz, frames.n_fft, frames.iq)
        self._weights = _stored(parameters, self._bank, frames)
        self.transform = LogSpectrum(frames=frames, decibels=decibels, weights=self._weights, flat=flat)
        self.inputs = (LogMel.inputs[0]._replace(dims=frames.dims),)
        self.outputs = (LogMel.outputs[0]._replace(dims=self.transform.dims),)

    def __call__(self, *, signal: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """The ``log_mel`` spectra ``(B, *dims)`` of *signal* ``(B, *dims)``, or ``InputRefused``."""
        return {"log_mel": self.transform(signal)}

    @property
    def edges_hz(self) -> Floats:
        """Lower edge, centre and upper edge of every band in signed hertz, ``(bands, 3)``."""
        return self._bank.edges_hz

    @property
    def complete(self) -> dict[str, Any]:
        """The parameters from which this very block is made again."""
        return {
            **self.transform.frames.parameters,
            **self._bank.parameters,
            **self.transform.decibels.parameters,
            "flat": self.transform.flat,
            "mel": sparse_rows(self._weights),
            "mel_sha256": weights_sha256(self._weights),
        }


def _stored(parameters: Mapping[str, Any], bank: MelBank, frames: Frames) -> Weights:
    """The matrix that a release has stored, checked; or, before there is one, the bank's own."""
    if parameters.get("mel") is None:
        return bank.weights
    weights = dense_rows(parameters["mel"])
    if weights.shape != (bank.bands, frames.bins):
        shape, wanted = list(weights.shape), [bank.bands, frames.bins]
        raise ParametersError(f"mel: expected {wanted} for these parameters, got {shape}: export the release again")
    if (found := weights_sha256(weights)) != (told := parameters.get("mel_sha256")):
        raise ParametersError(f"mel_sha256: the matrix was stored as {told} and is {found}: restore the release")
    return weights
