"""What was measured of requests: how many, how long, how many failed, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

DIGITS = 12
"""After the point, of shares and rates as JSON: one error of millions is no 0."""


@dataclass(frozen=True, slots=True)
class Samples:
    """
    Requests in the order in which they were told of, thirteen bytes each.

    *begun_s* FP64 (N,) is when each began, in seconds since the load did; *took_ms* FP32 (N,) how long it took, and
    *error* UINT8 (N,) the place of its error's name in *names*, 0 where it was answered.
    """

    begun_s: NDArray[np.float64]
    took_ms: NDArray[np.float32]
    error: NDArray[np.uint8]
    names: tuple[str, ...] = ("",)

    @classmethod
    def of(cls, rows: Iterable[tuple[float, float, str]]) -> Samples:
        """The samples of *rows* of ``(begun_s, took_ms, error)``, the error's name empty where there is none."""
        begun, took, errors = zip(*rows, strict=True) if (rows := list(rows)) else ((), (), ())
        names = ("", *sorted({*errors} - {""}))
        places = np.array([names.index(error) for error in errors], np.uint8)
        return cls(np.array(begun, np.float64), np.array(took, np.float32), places, names)

    @classmethod
    def joined(cls, parts: Iterable[Samples]) -> Samples:
        """All of *parts* together."""
        parts = [cls.of([]), *parts]
        names = ("", *sorted({name for part in parts for name in part.names} - {""}))
        places = [np.array([names.index(name) for name in part.names], np.uint8)[part.error] for part in parts]
        begun_s = np.concatenate([part.begun_s for part in parts])
        took_ms = np.concatenate([part.took_ms for part in parts])
        return cls(begun_s, took_ms, np.concatenate(places), names)

    def __len__(self) -> int:
        return len(self.begun_s)

    def where(self, kept: NDArray[np.bool_]) -> Samples:
        """Those that are *kept* (N,)."""
        return Samples(self.begun_s[kept], self.took_ms[kept], self.error[kept], self.names)

    @property
    def answered(self) -> NDArray[np.bool_]:
        """Which requests were answered."""
        return np.asarray(self.error == 0)

    @property
    def ended_s(self) -> NDArray[np.float64]:
        """When each ended, in seconds since the load began."""
        return self.begun_s + self.took_ms / 1000

    @property
    def errors(self) -> dict[str, int]:
        """How many there are of each error, the most frequent first."""
        counts = np.bincount(self.error, minlength=len(self.names)).tolist()
        found = Counter(dict(zip(self.names[1:], counts[1:], strict=True)))
        return {name: count for name, count in found.most_common() if count}


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """
    The figures of one class of users, or of all together.

    Times are those of requests that were answered, in milliseconds, exact and not of a histogram; None where none was.
    *throughput_rps* counts answered requests alone, and *error_share* is of all. *errors* are counted by their names.
    *under_way* is how many requests were on their way at once, on average.
    """

    requests: int
    errors: Mapping[str, int]
    throughput_rps: float
    under_way: float
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    max_ms: float | None

    @classmethod
    def of(cls, samples: Samples, seconds: float) -> Figures:
        """
        The figures of *samples*, which were taken in so many *seconds*.

        >>> Figures.of(Samples.of([(0.0, 10.0, ""), (0.5, 30.0, ""), (1.0, 5.0, "ServerBusy")]), 2.0).throughput_rps
        1.0
        """
        times = samples.took_ms[samples.answered]
        p50, p95, p99, most = map(float, np.quantile(times, (0.5, 0.95, 0.99, 1))) if len(times) else (None,) * 4
        return cls(
            requests=len(samples),
            errors=samples.errors,
            throughput_rps=len(times) / seconds if seconds > 0 else 0.0,
            under_way=float(samples.took_ms.sum(dtype=np.float64)) / 1000 / seconds if seconds > 0 else 0.0,
            p50_ms=p50,
            p95_ms=p95,
            p99_ms=p99,
            max_ms=most,
        )

    @property
    def failed(self) -> int:
        """How many requests were not answered."""
        return sum(self.errors.values())

    @property
    def error_share(self) -> float:
        """The share of requests that were not answered, from 0 to 1; 1 where nothing was asked."""
        return self.failed / self.requests if self.requests else 1.0

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        times = {name: _rounded(getattr(self, name)) for name in ("p50_ms", "p95_ms", "p99_ms", "max_ms")}
        rates = {name: round(getattr(self, name), DIGITS) for name in ("error_share", "throughput_rps")}
        counts = {"requests": self.requests, "errors": dict(self.errors), "under_way": round(self.under_way, 2)}
        return {**counts, **rates, **times}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
