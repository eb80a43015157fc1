"""How long to wait before the next try, when a server or a registry is away."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass
class Backoff:
    """
    Waits that double from *first_s* to *most_s*, each drawn between half of that and all of it.

    The jitter keeps many who lost the same server from coming back to it in one instant; *rng* draws it.

    >>> backoff = Backoff(first_s=1.0, most_s=60.0, rng=np.random.default_rng(0))
    >>> [round(backoff.next_s(), 1) for _ in range(8)]
    [0.8, 1.3, 2.1, 4.1, 14.5, 30.6, 48.2, 51.9]
    """

    first_s: float = 1.0
    most_s: float = 60.0
    rng: np.random.Generator = field(default_factory=np.random.default_rng, repr=False)
    failures: int = 0

    def next_s(self) -> float:
        """The wait after one more failure, in seconds."""
        longest = min(self.first_s * 2.0 ** min(self.failures, 64), self.most_s)
        self.failures += 1
        return float(longest * self.rng.uniform(0.5, 1.0))

    def reset(self) -> None:
        """What was away is back: the next failure is a first one."""
        self.failures = 0
