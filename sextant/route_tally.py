"""
What a router counts of its arms, as custom metrics of Triton.

One thread writes them all: where two write one metric at the same time, Triton 24.10 frees its memory twice, and the
whole server ends.  The versions of a router share their counters, because their labels are the same, and so a weight
that changes between them loses no count.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from sextant.blocks.route import Route
from sextant.lasting import lasting
from sextant.routing import CANDIDATE, SERVING, SHADOW

PREFIX = "sextant_route_"
REQUESTS, ERRORS, REFUSED, LATENCY = (PREFIX + name for name in ("requests", "errors", "refused", "latency_ms"))
MIRRORED, DROPPED, COMPARED, DIFFERING = (
    PREFIX + name for name in ("shadow_mirrored", "shadow_dropped", "shadow_compared", "shadow_differing")
)
BUCKETS = tuple(sorted(base * 2.0**power for power in range(-2, 14) for base in (1.0, 1.5)))
"""Bounds in ms from 0.25 to 12,288: twice a bound is a bound, so that a factor of two moves every answer by two."""

_OF_ARMS = {
    REQUESTS: "Requests that this release was asked, those left out that both releases refuse",
    ERRORS: "Requests that this release answered with an error, those left out that both releases refuse",
    REFUSED: "Requests of its callers that both releases refuse, which says nothing of either",
}
_OF_SHADOWS = {
    MIRRORED: "Answered requests that the candidate was asked too",
    DROPPED: "Answered requests that it was not asked for want of memory",
    COMPARED: "Mirrored requests whose answers were compared",
    DIFFERING: "Compared answers that differ, errors of the candidate included",
}


class Tally:
    """The counters of *route*; every method may be called from any thread, and returns at once."""

    def __init__(self, pb_utils: Any, route: Route) -> None:
        self._pb, self._route = pb_utils, route
        self._metrics: dict[tuple[str, str], Any] = {}
        self._queue: SimpleQueue[tuple[str, str, float | None] | None] = SimpleQueue()
        self._make()
        self._thread = Thread(target=self._work, name="tally", daemon=True)
        self._thread.start()

    def count(self, name: str, arm: str) -> None:
        """One more."""
        self._queue.put((name, arm, None))

    def took(self, arm: str, ms: float) -> None:
        """An answer of *arm* took so long."""
        self._queue.put((LATENCY, arm, ms))

    def close(self) -> None:
        """Write what was counted, and end."""
        self._queue.put(None)
        self._thread.join()

    def _make(self) -> None:
        kinds = self._pb.MetricFamily
        for name, text in _OF_ARMS.items():
            self._family(name, text, kinds.COUNTER, (SERVING, CANDIDATE, SHADOW))
        for name, text in _OF_SHADOWS.items():
            self._family(name, text, kinds.COUNTER, (SHADOW,))
        text = "How long this release took to answer, errors left out, in milliseconds"
        self._family(LATENCY, text, kinds.HISTOGRAM, (SERVING, CANDIDATE), buckets=list(BUCKETS))

    def _family(self, name: str, text: str, kind: Any, arms: tuple[str, ...], **options: Any) -> None:
        family = lasting(self._pb.MetricFamily(name=name, description=text, kind=kind))
        for arm in arms:
            self._metrics[name, arm] = lasting(family.Metric(labels=self._labels(arm), **options))

    def _labels(self, arm: str) -> dict[str, str]:
        route = self._route
        release = route.serving if arm == SERVING else route.candidate
        return {"pipeline": route.pipeline, "release": str(release), "arm": arm, "trial": str(route.trial)}

    def _work(self) -> None:
        """Counts that wait together are written as one number: each write asks the server, and costs."""
        while self._write():
            pass

    def _write(self) -> bool:
        counts: Counter[tuple[str, str]] = Counter()
        said = self._queue.get()
        with suppress(Empty):
            while said is not None:
                name, arm, ms = said
                if ms is None:
                    counts[name, arm] += 1
                else:
                    self._metrics[name, arm].observe(ms)
                said = self._queue.get_nowait()
        for key, count in counts.items():
            self._metrics[key].increment(count)
        return said is not None
