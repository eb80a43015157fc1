"""Questions drawn by a seed from logged rows, without end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from sextant_export.rows import length, taken
from sextant_export.signature import Feed

_AT_ONCE = 1024


def drawn(inputs: Feed, rows: int, seed: Sequence[int]) -> Iterator[Feed]:
    """
    So many *rows* of *inputs* again and again, any as likely as any other, the same for the same *seed*.

    >>> inputs = {"features": np.arange(6).reshape(3, 2)}
    >>> one, other = (next(drawn(inputs, 2, [7, 0]))["features"].tolist() for _ in range(2))
    >>> one == other, len(one)
    (True, 2)
    """
    random, count = np.random.default_rng(seed), length(inputs)
    while True:
        for index in random.integers(count, size=(_AT_ONCE, rows)):
            yield taken(inputs, index)
