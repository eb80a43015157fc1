"""
The process that asks, ``python -m sextant_loadtest.swarm.generator``; :mod:`sextant_loadtest.generators` starts it.

A task comes as one line of JSON; the answer is ``ready``. After another line it asks, and reports twice a second, one
line of JSON each. It ends with its shape, by SIGTERM, and when the process that started it has.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gevent
from gevent.event import Event
from locust.env import Environment

from sextant_export.evidence import unpack_proof
from sextant_loadtest.callers import protocol_of
from sextant_loadtest.generators import ROWS, STOP_S
from sextant_loadtest.swarm.shapes import Chosen
from sextant_loadtest.swarm.users import Asking, users_of

EVERY_S = 0.5
Task = Mapping[str, Any]


def main() -> None:
    """Read the task, wait for the word to begin, and ask."""
    task: Task = json.loads(sys.stdin.readline())
    environment, stop = environment_of(task), Event()
    gevent.signal_handler(signal.SIGTERM, stop.set)
    print("ready", flush=True)  # noqa: T201  a line of the protocol
    if sys.stdin.readline():
        run(environment, task, stop)


def environment_of(task: Task) -> Any:
    """Locust's environment for *task*: its users, its shape, and what they ask."""
    url_of = {protocol_of(url): url for url in task["urls"]}
    environment = Environment(
        user_classes=users_of(task["kind"], url_of),
        shape_class=Chosen(),
        parsed_options=Namespace(
            shape=task["shape"],
            num_users=task["users"],
            run_time=task["duration_s"],
            headless=False,
            stop_timeout=task["timeout_s"] + STOP_S,
        ),
    )
    asked = ("pipeline", "rows", "rate_rps", "timeout_s", "ca", "token")
    inputs = unpack_proof(Path(task["rows_file"]), [ROWS])[ROWS][0]
    seed = task["seed"] * 1000 + task["number"]
    environment.asking = Asking(url_of=url_of, inputs=inputs, seed=seed, **{key: task[key] for key in asked})
    return environment


def run(environment: Any, task: Task, stop: Event) -> None:
    """Ask until the time is over, or somebody says *stop*; what is under way is answered, and reported last."""
    reporter, parent = Reporter(environment), os.getppid()
    runner = environment.create_local_runner()
    runner.start_shape()
    end = time.monotonic() + task["duration_s"]
    while not stop.wait(max(0.0, min(EVERY_S, end - time.monotonic()))) and os.getppid() == parent:
        reporter.report(runner.user_count)
        if time.monotonic() >= end or reporter.broken:
            break
    runner.quit()
    reporter.report(0)
    if reporter.broken:
        sys.exit(reporter.broken)


class Reporter:
    """Gathers requests of *environment*, and prints those that came since the last time; *broken* says what broke."""

    def __init__(self, environment: Any) -> None:
        self._requests: list[tuple[str, float, float, str]] = []
        self._sentences: dict[str, str] = {}
        self._busy = _Busy()
        self.broken = ""
        environment.events.request.add_listener(self._take)
        environment.events.user_error.add_listener(self._break)

    def _break(self, *, exception: Exception, **_: Any) -> None:
        """A user that met anything but an error of ours is gone: a load that lacks it would measure another."""
        self.broken = self.broken or f"{type(exception).__name__}: {exception}"

    def _take(self, *, response_time: float, exception: Exception | None, context: Task, **_: Any) -> None:
        name = "" if exception is None else type(exception).__name__
        if exception is not None:
            self._sentences.setdefault(name, str(exception))
        self._requests.append((context["users"], round(context["begun"], 6), round(response_time, 4), name))

    def report(self, users: int) -> None:
        """One line, with how many *users* there are now."""
        requests, self._requests = self._requests, []
        facts = {"at": time.monotonic(), "users": users, "busy": self._busy.share(), "sentences": self._sentences}
        print(json.dumps({**facts, "requests": requests}), flush=True)  # noqa: T201  a line of the protocol


class _Busy:
    """Which share of a processor core this process took since it was last asked."""

    def __init__(self) -> None:
        self._wall, self._own = time.monotonic(), time.process_time()

    def share(self) -> float:
        wall, own = self._wall, self._own
        self._wall, self._own = time.monotonic(), time.process_time()
        return (self._own - own) / max(self._wall - wall, 1e-6)


if __name__ == "__main__":
    main()
