"""
One load on one pipeline: so many callers for so long, in a child process of their own, and what they measured.

Locust is made of gevent, which rewrites Python's sockets and threads when it is imported. So it is imported by
:mod:`sextant_loadtest.swarm` alone, in a process that does nothing else; this module has that process started, takes in
what it measures, and ends it, whatever ends this one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from math import inf
from os import fspath
from typing import Any, TypeAlias

from sextant.answers import Kind, kind
from sextant.errors import ParametersError
from sextant_client import Client
from sextant_client.client import File
from sextant_export.problem import guess
from sextant_export.signature import Feed
from sextant_loadtest.callers import class_of, protocol_of
from sextant_loadtest.curves import CURVES
from sextant_loadtest.drawing import drawn
from sextant_loadtest.figures import Figures, Samples
from sextant_loadtest.generators import Generators
from sextant_loadtest.measurements import Measurements, Moment

DONE, LOST, INTERRUPTED = "done", "lost", "interrupted"
LOST_S = 3.0
"""For how long nothing but unreachable servers may be met before a load is given up."""

Progress: TypeAlias = Callable[[Moment], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPlan:
    """
    Who asks whom, and how.

    *users* callers ask *pipeline* at *urls*, over which they are dealt evenly: ``grpc://...``, ``http://...`` or both.
    *shape* says how many of them there are at which time of *duration_s* seconds: ``steady``, ``ramp``, ``spike``,
    ``soak``. Each asks *rows* rows at once, drawn by *seed*, again as soon as it is answered, or *rate_rps* times a
    second at most. *processes* share the users: one Python process asks some hundred or thousand times a second. Over
    TLS *ca* and *token* are those of :class:`sextant_client.Client`.
    """

    pipeline: str
    urls: tuple[str, ...]
    users: int = 100
    duration_s: float = 30.0
    shape: str = "steady"
    rate_rps: float | None = None
    rows: int = 1
    timeout_s: float = 10.0
    seed: int = 0
    processes: int = 1
    ca: File | None = None
    token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for name in ("users", "duration_s", "rows", "timeout_s", "processes", "rate_rps"):
            value = getattr(self, name)
            if value is not None and not 0 < value < inf:
                raise ParametersError(f"{name}: expected a number above 0, got {value}")
        if self.shape not in CURVES:
            raise ParametersError(f"shape: {self.shape!r} is none{guess(self.shape, CURVES)}")
        if not self.urls or len({protocol_of(url) for url in self.urls}) != len(self.urls):
            raise ParametersError(f"urls: expected one of gRPC, one of HTTP, or both, got {', '.join(self.urls)}")
        if self.users < len(self.urls):
            raise ParametersError(f"users: expected one for each protocol at least, got {self.users}")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, without the token."""
        ca = None if self.ca is None else fspath(self.ca)
        return {**asdict(self), "urls": list(self.urls), "ca": ca, "token": None}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """
    What a load came to.

    *ended* is ``done``, ``lost`` where the server was out of reach for ``LOST_S``, or ``interrupted``. *total* are the
    figures of all requests, *by_class* those of each class of users. *sentences* give for each name of an error what
    the first of them said. *samples* are all requests, by class of users, and *moments* how many users there were when.
    *warnings* say what makes the figures doubtful.
    """

    plan: LoadPlan
    began: str
    seconds: float
    ended: str
    total: Figures
    by_class: Mapping[str, Figures]
    sentences: Mapping[str, str]
    warnings: tuple[str, ...] = ()
    samples: Mapping[str, Samples] = field(default_factory=dict, repr=False)
    moments: tuple[Moment, ...] = field(default=(), repr=False)

    @property
    def throughput_rps(self) -> float:
        """Answered requests a second, of all users."""
        return self.total.throughput_rps

    @property
    def p50_ms(self) -> float | None:
        """The median time of answered requests; None where none was."""
        return self.total.p50_ms

    @property
    def p95_ms(self) -> float | None:
        """The 95th percentile of the times of answered requests; None where none was."""
        return self.total.p95_ms

    @property
    def p99_ms(self) -> float | None:
        """The 99th percentile of the times of answered requests; None where none was."""
        return self.total.p99_ms

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; the samples are left out."""
        return {
            "plan": self.plan.to_dict(),
            "began": self.began,
            "seconds": round(self.seconds, 3),
            "ended": self.ended,
            "total": self.total.to_dict(),
            "by_class": {name: figures.to_dict() for name, figures in self.by_class.items()},
            "sentences": dict(self.sentences),
            "warnings": list(self.warnings),
        }


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, or SIGTERM, came in the middle of a load; *outcome* holds what was measured until then."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        super().__init__()


def load(plan: LoadPlan, inputs: Feed, progress: Progress | None = None) -> Outcome:
    """
    Put the load of *plan* on a pipeline, with rows drawn from *inputs*, and give what it came to.

    *inputs* are rows by the names of the pipeline's tensors, the first axis being the rows, as
    :func:`sextant_loadtest.inputs.inputs_of` finds them. *progress* is told every half second.

    One question is asked beforehand, whose error passes through: a server that is not there, a pipeline that is not
    served, rows that it refuses. After that a request that fails is counted, and is no error of this function; a server
    that goes away ends the load, and ``outcome.ended`` is ``lost``. ``LoadTestError`` where the generator broke;
    ``Interrupted``, a ``KeyboardInterrupt`` with the outcome so far, on Ctrl-C.
    """
    answered = _kind(plan, inputs)
    measured = Measurements(class_of(answered, protocol_of(url)) for url in plan.urls)
    ended, interruption = DONE, None
    with Generators(plan, inputs, answered) as generators:
        began = datetime.now(timezone.utc).isoformat(timespec="seconds")
        measured.begin(time.monotonic())
        try:
            for report in generators.reports():
                measured.take(report)
                if progress is not None and measured.moments:
                    progress(measured.moments[-1])
                if measured.unreachable_s > LOST_S:
                    ended = LOST
                    break
        except KeyboardInterrupt as error:
            ended, interruption = INTERRUPTED, error
        for report in generators.stopped():
            measured.take(report)
    outcome = Outcome(plan=plan, began=began, ended=ended, **measured.summary(plan.users if ended == DONE else 0))
    if interruption is not None:
        raise Interrupted(outcome) from interruption
    return outcome


def _kind(plan: LoadPlan, inputs: Feed) -> Kind:
    """What the pipeline answers, asked once over each protocol; its errors are the client's."""
    question: dict[str, Any] = {**next(drawn(inputs, plan.rows, [plan.seed]))}
    answered: Kind = "tensors"
    for url in plan.urls:
        with Client(url, timeout_s=plan.timeout_s, ca=plan.ca, token=plan.token) as client:
            answered = kind(client.pipeline(plan.pipeline).tensors(**question).keys())
    return answered
