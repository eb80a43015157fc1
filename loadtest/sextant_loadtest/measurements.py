"""What the generators report, gathered: every request, and how the load stands at each moment."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from sextant_loadtest.figures import Figures, Samples

Report: TypeAlias = Mapping[str, Any]
"""
One line of a generator: *process* which one, *at* on the machine's monotonic clock, *users*, *busy* the share of a core
it took, *requests* ``[[class, begun, took_ms, error], ...]`` since the line before, *sentences* of new errors.
"""
UNREACHABLE = "ServerUnreachable"
RECENT_S = 2.0
BUSY, BUSIEST = 0.9, 0.75
"""From this share of a core on, in the busiest quarter of its time, a generator measures itself too."""


@dataclass(frozen=True, slots=True)
class Moment:
    """How a load stands *at_s* seconds after it began; rate and 95th percentile are those of the last two seconds."""

    at_s: float
    users: int
    recent_rps: float
    recent_p95_ms: float | None
    requests: int
    failed: int

    def __str__(self) -> str:
        p95 = "" if self.recent_p95_ms is None else f", p95 {self.recent_p95_ms:.0f} ms"
        return f"{self.users} users, {self.recent_rps:,.0f} requests/s{p95}, {self.failed:,} errors"


class Measurements:
    """
    All that was reported, from :meth:`begin` on.

    *classes* of users are those that were sent: one of which nothing is heard has figures too, of no request.
    """

    def __init__(self, classes: Iterable[str] = ()) -> None:
        self._parts: dict[str, list[Samples]] = defaultdict(list, {users: [] for users in classes})
        self._recent: list[tuple[float, float, str]] = []
        self._users: dict[int, int] = {}
        self._busy: dict[int, list[float]] = defaultdict(list)
        self._requests = self._failed = 0
        self._answered_at = self._began = self._now = 0.0
        self._met_only_unreachable = False
        self.sentences: dict[str, str] = {}
        self.moments: list[Moment] = []

    def begin(self, now: float) -> None:
        """The load begins, at *now* on the monotonic clock."""
        self._began = self._answered_at = self._now = now

    @property
    def unreachable_s(self) -> float:
        """For how many seconds no server was reached, 0 while anything else is heard."""
        return self._now - self._answered_at if self._met_only_unreachable else 0.0

    def take(self, report: Report) -> None:
        """Take in one *report*."""
        self._now = max(self._now, report["at"])
        self._users[report["process"]] = report["users"]
        self._busy[report["process"]].append(report["busy"])
        self.sentences = {**report["sentences"], **self.sentences}
        told: dict[str, list[tuple[float, float, str]]] = defaultdict(list)
        for users, begun, took_ms, error in report["requests"]:
            told[users].append((begun - self._began, took_ms, error))
            self._enter(told[users][-1])
        for users, rows in told.items():
            self._parts[users].append(Samples.of(rows))
        self.moments.append(self._moment())

    def _enter(self, row: tuple[float, float, str]) -> None:
        begun_s, took_ms, error = row
        self._recent.append(row)
        self._requests += 1
        self._failed += bool(error)
        if error != UNREACHABLE:
            self._answered_at = max(self._answered_at, self._began + begun_s + took_ms / 1000)
        self._met_only_unreachable = error == UNREACHABLE

    def _moment(self) -> Moment:
        at_s = self._now - self._began
        self._recent = [row for row in self._recent if row[0] + row[1] / 1000 > at_s - RECENT_S]
        figures = Figures.of(Samples.of(self._recent), min(RECENT_S, at_s))
        users = sum(self._users.values())
        return Moment(at_s, users, figures.throughput_rps, figures.p95_ms, self._requests, self._failed)

    def summary(self, users: int = 0) -> dict[str, Any]:
        """
        The part of an outcome that was measured; it begins with the first request and ends with the last answer.

        *users* are as many as should have asked at once at some time.
        """
        samples = {name: Samples.joined(parts) for name, parts in sorted(self._parts.items())}
        whole = Samples.joined(samples.values())
        seconds = float(np.max(whole.ended_s) - np.min(whole.begun_s)) if len(whole) else 0.0
        return {
            "seconds": seconds,
            "total": Figures.of(whole, seconds),
            "by_class": {name: Figures.of(each, seconds) for name, each in samples.items()},
            "sentences": self.sentences,
            "warnings": tuple(self._warnings(users)),
            "samples": samples,
            "moments": tuple(self.moments),
        }

    def _warnings(self, users: int) -> Iterator[str]:
        busy = max((float(np.quantile(shares, BUSIEST)) for shares in self._busy.values()), default=0.0)
        if busy >= BUSY:
            said = f"a generator took {busy:.0%} of a processor core, so part of what was measured is its own work"
            yield f"{said}: ask with more processes, or from a machine with more cores"
        most = max((moment.users for moment in self.moments), default=0)
        if most < users:
            yield f"no more than {most} of {users} users were there at once: let the load last longer"
