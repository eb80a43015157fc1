"""
What the drone sends: a narrow-band telemetry beacon of three tones about its carrier.

A pilot on the carrier itself, a subcarrier above it that carries data by shifting its frequency, and a tone below
it that is switched on and off.  No two stand at mirrored places, so a receiver that took the spectrum's halves
for one another would be wrong at once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sextant.tensors import Floats

Complex = NDArray[np.complex64]

PILOT, DATA, KEYED = 0.5, 0.3, 0.2
"""Each tone's share of the power (the keyed one's while it is on)."""

DATA_HZ, SHIFT_HZ, SYMBOL_S = 1700.0, 125.0, 1 / 125
"""The subcarrier, how far a bit shifts it, and how long a bit lasts: 125 baud."""

KEYED_HZ, MARK_S = -2600.0, 1 / 31.25
"""The tone below, and its shortest mark or pause."""

MARGIN_S = 0.064
"""Bits are drawn for this long before and after a window, which may begin early or late."""


def drawn_bits(draw: np.random.Generator, windows: int, duration_s: float, bit_s: float) -> NDArray[np.int8]:
    """Random bits ``(windows, K)`` for the time from ``-MARGIN_S`` to ``duration_s + MARGIN_S``."""
    return draw.integers(0, 2, (windows, int(np.ceil((duration_s + 2 * MARGIN_S) / bit_s)) + 1), dtype=np.int8)


def sent(draw: np.random.Generator, times_s: Floats, duration_s: float) -> Complex:
    """
    The beacon's complex envelope at *times_s* ``(N, R, n)``, counted from the window's true beginning.

    Its mean power is 1 while the keyed tone is on; every row of *times_s* has bits of its own, which all R share.

    >>> times_s = np.arange(1024).reshape(1, 1, -1) / 8_000
    >>> power = np.mean(np.abs(sent(np.random.default_rng(0), times_s, 0.128)) ** 2)
    >>> bool(PILOT + DATA - 0.1 < power < 1.1)
    True
    """
    data = drawn_bits(draw, len(times_s), duration_s, SYMBOL_S)
    keys = drawn_bits(draw, len(times_s), duration_s, MARK_S)
    envelope = np.sqrt(DATA) * _turning(_data_cycles(data, times_s))
    envelope += np.sqrt(KEYED) * _at(keys, times_s, MARK_S) * _turning(KEYED_HZ * times_s)
    envelope += np.sqrt(PILOT)
    result: Complex = envelope.astype(np.complex64, copy=False)
    return result


def _data_cycles(bits: NDArray[np.int8], times_s: Floats) -> Floats:
    """Cycles of the subcarrier: its frequency jumps from bit to bit, its phase does not."""
    signs = 2.0 * bits - 1
    begun = np.concatenate([np.zeros((len(bits), 1)), np.cumsum(signs, axis=1)[:, :-1]], axis=1)
    elapsed = (times_s + MARGIN_S) / SYMBOL_S
    symbol = elapsed.astype(np.int64)
    rows = np.arange(len(bits))[:, None, None]
    shifted = begun[rows, symbol] + signs[rows, symbol] * (elapsed - symbol)
    cycles: Floats = DATA_HZ * times_s + SHIFT_HZ * SYMBOL_S * shifted
    return cycles


def _at(bits: NDArray[np.int8], times_s: Floats, bit_s: float) -> NDArray[np.int8]:
    """The bit of each row that is under way at each time."""
    under_way: NDArray[np.int8] = bits[np.arange(len(bits))[:, None, None], ((times_s + MARGIN_S) / bit_s).astype(int)]
    return under_way


def _turning(cycles: Floats) -> Complex:
    """A unit phasor: whole cycles are dropped in float64, so that float32 is enough for the rest."""
    angle = ((cycles - np.floor(cycles)) * (2 * np.pi)).astype(np.float32)
    phasor = np.empty(angle.shape, np.complex64)
    np.cos(angle, out=phasor.real)
    np.sin(angle, out=phasor.imag)
    return phasor
