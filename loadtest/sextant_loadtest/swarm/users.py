"""
Users of Locust that ask a pipeline through the client SDK, one class for each kind of answer and protocol.

A user is a caller with a client of its own, and so with a connection of its own. It opens that and reads the pipeline's
contract, as a program does when it starts; then it asks for rows, and looks at what it is answered.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any, ClassVar

import gevent
import numpy as np
from locust import User, constant_throughput, task
from locust.exception import RescheduleTaskImmediately

from sextant.errors import ServerUnreachable, SextantError
from sextant_client import Client
from sextant_export.rows import taken
from sextant_export.signature import Feed
from sextant_loadtest.answers import require_sound
from sextant_loadtest.callers import class_of
from sextant_loadtest.drawing import drawn
from sextant_loadtest.events import request_event

AGAIN_S = 0.25
"""How long a caller waits that reached no server."""


@dataclass(frozen=True, kw_only=True)
class Asking:
    """What all users of a load have in common: whom they ask, with rows drawn from which *inputs*, and how."""

    pipeline: str
    url_of: Mapping[str, str]
    inputs: Feed
    rows: int = 1
    rate_rps: float | None = None
    timeout_s: float = 10.0
    seed: int = 0
    ca: str | None = None
    token: str | None = field(default=None, repr=False)
    numbers: Iterator[int] = field(default_factory=count, repr=False)

    def client(self, protocol: str) -> Client:
        """A client of its own for one user."""
        return Client(self.url_of[protocol], timeout_s=self.timeout_s, ca=self.ca, token=self.token)

    def questions(self, number: int) -> Iterator[Feed]:
        """What the user of this *number* asks, each of them something else."""
        return drawn(self.inputs, self.rows, [self.seed, number])

    def phase(self, number: int) -> float:
        """
        After which share of the time between two requests the user of this *number* comes in, if it keeps to a rate.

        Each has one of its own: all who began together would ask together ever after.
        """
        return float(np.random.default_rng([self.seed, number]).random())


class PipelineUser(User):  # type: ignore[misc]  # Locust has no types here
    """A caller of the pipeline that ``environment.asking`` names."""

    abstract = True
    kind: ClassVar[str]
    protocol: ClassVar[str]

    def on_start(self) -> None:
        """Open the connection and read the contract; where nobody answers, the first request says so."""
        self.asking: Asking = self.environment.asking
        number = next(self.asking.numbers)
        self.client, self.questions = self.asking.client(self.protocol), self.asking.questions(number)
        self.pipeline = self.client.pipeline(self.asking.pipeline)
        with suppress(SextantError):
            self.pipeline(**taken(self.asking.inputs, slice(0)))  # of no rows the contract is read, and nothing asked
        if self.asking.rate_rps is not None:
            self._come_in(self.asking.phase(number) / self.asking.rate_rps, self.asking.rate_rps)

    def _come_in(self, after_s: float, rate_rps: float) -> None:
        """Wait for the first request's time, from which on the rate is kept to."""
        self.wait_time = lambda: after_s
        self.wait()
        self._cp_last_run = time.perf_counter()  # Locust's, from which its pace is counted
        self.wait_time = partial(constant_throughput(rate_rps), self)

    def on_stop(self) -> None:
        """Close the connection."""
        self.client.close()

    @task  # type: ignore[untyped-decorator]  # as above
    def ask(self) -> None:
        """One request, whose answer is looked at; the next follows at once, or later where nobody was reached."""
        question, users = next(self.questions), type(self).__name__
        with request_event(self.environment.events.request, self.protocol, self.asking.pipeline, users) as call:
            require_sound(self.pipeline(**question), self.kind, self.asking.rows)
        if isinstance(call.error, ServerUnreachable):
            gevent.sleep(AGAIN_S)
        if self.asking.rate_rps is None:
            raise RescheduleTaskImmediately  # Locust's own wait, of no time, would let all others go first


class PositionOverGrpc(PipelineUser):
    """Asks for fixes over gRPC."""

    kind, protocol = "position", "grpc"


class PositionOverHttp(PipelineUser):
    """Asks for fixes over HTTP."""

    kind, protocol = "position", "http"


class LabelOverGrpc(PipelineUser):
    """Asks for labels over gRPC."""

    kind, protocol = "label", "grpc"


class LabelOverHttp(PipelineUser):
    """Asks for labels over HTTP."""

    kind, protocol = "label", "http"


class RecordOverGrpc(PipelineUser):
    """Asks for records over gRPC."""

    kind, protocol = "record", "grpc"


class RecordOverHttp(PipelineUser):
    """Asks for records over HTTP."""

    kind, protocol = "record", "http"


class TensorsOverGrpc(PipelineUser):
    """Asks for plain tensors over gRPC."""

    kind, protocol = "tensors", "grpc"


class TensorsOverHttp(PipelineUser):
    """Asks for plain tensors over HTTP."""

    kind, protocol = "tensors", "http"


USERS: Mapping[str, Any] = {
    user.__name__: user
    for user in (
        PositionOverGrpc,
        PositionOverHttp,
        LabelOverGrpc,
        LabelOverHttp,
        RecordOverGrpc,
        RecordOverHttp,
        TensorsOverGrpc,
        TensorsOverHttp,
    )
}


def users_of(kind: str, protocols: Iterable[str]) -> list[Any]:
    """The classes of users that ask a pipeline of this *kind* over these *protocols*."""
    return [USERS[class_of(kind, protocol)] for protocol in protocols]
