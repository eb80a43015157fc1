"""Callers who ask a pipeline without end while something is done to it, and what they saw."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

import numpy as np

from forked import child
from sextant_client import Client
from small_world import draw

PAUSE_S = 0.05
"""Between two requests of a caller, so that they do not take the cores from what they watch."""

FOUND_AGAIN_S = 1.5
"""After an outage, for how long a channel may not have looked again: gRPC looks once a second."""


@dataclass
class Seen:
    """
    What callers saw, in seconds of the monotonic clock.

    *answers* are (N, 6): begin, end, caller, release, latitude, longitude; *failures* begin, end and sentence of each
    request that failed.
    """

    answers: np.ndarray = field(default_factory=lambda: np.empty((0, 6)))
    failures: list[tuple[float, float, str]] = field(default_factory=list)

    def failed_outside(self, outages: Sequence[tuple[float, float]]) -> list[str]:
        """Why requests failed that were not under way in any of *outages*, nor just after."""
        return [
            sentence
            for begun, ended, sentence in self.failures
            if not any(ended >= dead and begun <= alive + FOUND_AGAIN_S for dead, alive in outages)
        ]


def rows(callers: int) -> np.ndarray:
    """What each caller asks."""
    return draw(callers, seed=9).features


@contextmanager
def asking(urls: Sequence[str]) -> Iterator[Seen]:
    """A process with one caller for each of *urls*; what they saw is there once the ``with`` block has ended."""
    seen = Seen()
    with child(_ask, tuple(urls)) as (_, pipe):
        pipe.recv()  # they ask
        try:
            yield seen
        finally:
            pipe.send("enough")
            seen.answers, seen.failures = pipe.recv()


def _ask(urls: Sequence[str], pipe: Connection) -> None:
    """What the process does, until it is told that it is enough."""
    stopped, answers, failures = threading.Event(), [], []

    def call(caller: int, url: str) -> None:
        row = rows(len(urls))[caller]
        with Client(url) as client:
            locate = client.pipeline("locate")
            while not stopped.wait(PAUSE_S):
                begun = time.monotonic()
                try:
                    fix = locate(row)
                    answers.append((begun, time.monotonic(), caller, fix.release, fix.latitude, fix.longitude))
                except Exception as error:  # noqa: BLE001  what is no SextantError is a failure too
                    failures.append((begun, time.monotonic(), f"{type(error).__name__}: {error}"))

    threads = [threading.Thread(target=call, args=each) for each in enumerate(urls)]
    for thread in threads:
        thread.start()
    pipe.send("asking")
    with suppress(EOFError):  # whoever asked for it is gone
        pipe.recv()
    stopped.set()
    for thread in threads:
        thread.join()
    pipe.send((np.array(answers).reshape(-1, 6), failures))
