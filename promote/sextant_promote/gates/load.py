"""
A bounded load on one or more releases, so that they can be compared: single rows, asked in turns.

What makes a machine slow for a moment makes it slow for all of them: calls alternate, and so do spells of throughput.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

Ask: TypeAlias = Callable[[int], Any]
"""Asks a release for one row; the number says which, and goes round."""
SPELLS = 6
_UNCOUNTED = 5


@dataclass(frozen=True, kw_only=True)
class Load:
    """
    How much is asked of each release at most.

    *calls* one after the other for its latency, and *callers* at once for *seconds* in all for its throughput.
    """

    calls: int = 200
    callers: int = 8
    seconds: float = 3.0


def p95s_ms(arms: Sequence[Ask], load: Load) -> list[float]:
    """The 95th percentile of single calls to each of *arms*, in milliseconds; which is asked first alternates."""
    times: list[list[float]] = [[] for _ in arms]
    for call in range(_UNCOUNTED):
        for ask in arms:
            ask(call)
    for call in range(load.calls):
        for place in _turned(len(arms), call):
            begun = time.perf_counter()
            arms[place](call)
            times[place].append(time.perf_counter() - begun)
    return [float(np.quantile(each, 0.95)) * 1000 for each in times]


def throughputs_rps(arms: Sequence[Ask], load: Load) -> list[float]:
    """The rows a second that each of *arms* answers to many callers, of one row each, in alternating spells."""
    answered, took = np.zeros(len(arms)), np.zeros(len(arms))
    for spell in range(SPELLS):
        for place in _turned(len(arms), spell):
            begun = time.perf_counter()
            answered[place] += _spell(arms[place], load.callers, load.seconds / SPELLS)
            took[place] += time.perf_counter() - begun
    return [float(rate) for rate in answered / took]


def _turned(count: int, by: int) -> list[int]:
    """The places of *count* arms, begun with another each time."""
    return [(place + by) % count for place in range(count)]


def _spell(ask: Ask, callers: int, seconds: float) -> int:
    end = time.perf_counter() + seconds

    def call(caller: int) -> int:
        asked = 0
        while not asked or time.perf_counter() < end:
            ask(caller + callers * asked)
            asked += 1
        return asked

    with ThreadPoolExecutor(callers, "sextant-load") as threads:
        return sum(threads.map(call, range(callers)))
