"""The Mode S receiver of the tests, on frames that it did not read before."""

from __future__ import annotations

import numpy as np
import pytest

from mode_s import BITS, LONGEST, PREAMBLE, clean_frames, remainder

# A frame with its parity, as published again and again: identification of aircraft 4840D6.
PUBLISHED = "8D4840D6202CC371C32CE0576098"


def bits_of(text):
    return np.array(list(f"{int(text, 16):0112b}"), dtype=np.int64)


def sent(bits, start, samples=1000, amplitude=0.5):
    """*bits* as pulses from sample *start* on, in faint noise."""
    pulses = np.zeros(PREAMBLE + 2 * len(bits))
    pulses[[0, 2, 7, 9]] = 1
    pulses[PREAMBLE::2], pulses[PREAMBLE + 1 :: 2] = bits, 1 - bits
    noise = np.random.default_rng(start).normal(0, 0.01, (samples, 2))
    noise[start : start + len(pulses), 0] += amplitude * pulses
    return noise.astype(np.float32)


def test_the_parity_of_a_published_frame_is_clean():
    assert remainder(bits_of(PUBLISHED)[None]).tolist() == [0]


@pytest.mark.parametrize("flipped", [0, 40, 111])
def test_one_bit_wrong_is_seen(flipped):
    bits = bits_of(PUBLISHED)
    bits[flipped] ^= 1

    assert remainder(bits[None])[0] != 0
    assert clean_frames(sent(bits, 300)) == []


def test_a_frame_is_found_where_it_is_sent():
    (frame,) = clean_frames(sent(bits_of(PUBLISHED), 300))

    assert (frame.start, frame.end, frame.form, frame.address) == (300, 300 + LONGEST, 17, "4840D6")


def test_noise_holds_no_frame():
    noise = np.random.default_rng(8).normal(0, 1, (50_000, 2)).astype(np.float32)

    assert clean_frames(noise) == []
    assert set(BITS) == {11, 17}
