"""
A Mode S receiver for tests: at two samples a microsecond, preamble, bits, and the parity that clean frames have.

A bit is two samples, 1 where the first is the stronger. Where the aircraft's clock runs between the receiver's samples
a pulse leaks into the next bit, so each frame is read a second time with the next bit made louder or softer by what
stood before it. A frame is clean where all its bits leave nothing when divided by the generator; that is told of
downlink formats whose parity holds nothing else: 11 (56 bits, to nobody in particular) and 17 (112 bits).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RATE_HZ = 2e6
GENERATOR = 0xFFF409
PREAMBLE, BITS = 16, {11: 56, 17: 112}
LONGEST = PREAMBLE + 2 * BITS[17]
LEAK = 1.25


@dataclass(frozen=True)
class Frame:
    """A clean frame: its first sample, its downlink *form* and its *bits*."""

    start: int
    form: int
    bits: np.ndarray

    @property
    def end(self):
        """The sample after its last."""
        return self.start + PREAMBLE + 2 * len(self.bits)

    @property
    def address(self):
        """The aircraft's ICAO address, six hexadecimal digits."""
        return f"{_number(self.bits[8:32]):06X}"


def read_iq(path):
    """Unsigned 8-bit I/Q as FP32 ``(n, 2)`` between -1 and 1."""
    return ((np.fromfile(path, np.uint8).reshape(-1, 2) - np.float32(127.5)) / np.float32(127.5)).astype(np.float32)


def clean_frames(iq):
    """Every clean frame of *iq* ``(n, 2)``, in order; none begins within another."""
    windows = np.lib.stride_tricks.sliding_window_view(np.hypot(iq[:, 0], iq[:, 1]), LONGEST)
    starts = np.flatnonzero(_preamble(windows[:, :PREAMBLE].T))
    plain = windows[starts, PREAMBLE:]
    found = {}
    for pulses in (plain, _without_leaks(plain)):
        for form, count in BITS.items():
            bits = (pulses[:, : 2 * count : 2] > pulses[:, 1 : 2 * count : 2]).astype(np.int64)
            clean = (remainder(bits) == 0) & (bits[:, :5] @ [16, 8, 4, 2, 1] == form)
            found |= {int(starts[i]): Frame(int(starts[i]), form, bits[i]) for i in np.flatnonzero(clean)}
    return _apart([found[start] for start in sorted(found)])


def remainder(bits):
    """What is left of *bits* ``(n, length)`` divided by the generator."""
    register = np.zeros(len(bits), np.int64)
    for column in bits.T:
        over = register >> 23
        register = ((register << 1) & 0xFFFFFF | column) ^ over * GENERATOR
    return register


def _preamble(m):
    """Pulses at 0, 2, 7 and 9, each above what is about it."""
    first = (m[0] > m[1]) & (m[1] < m[2]) & (m[2] > m[3]) & (m[0] > m[3:7].max(axis=0))
    return first & (m[7] > m[8]) & (m[8] < m[9]) & (m[9] > m[6])


def _without_leaks(pulses):
    settled = pulses.astype(np.float64)
    for i in range(0, settled.shape[1] - 2, 2):
        settled[:, i + 2] *= np.where(settled[:, i] > settled[:, i + 1], LEAK, 1 / LEAK)
    return settled


def _apart(frames):
    kept = frames[:1]
    for frame in frames[1:]:
        if frame.start >= kept[-1].end:
            kept.append(frame)
    return kept


def _number(bits):
    return int("".join(map(str, bits)), 2)
