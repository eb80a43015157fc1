"""Two ways to drive a call: with threads, and on an event loop."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Generic, TypeVar

from sextant.errors import ClientError

from .calls import Call
from .failures import late
from .transport import AsyncTransport, Reply, Request, Transport

T = TypeVar("T")

# Parts of one split batch on their way at once: enough that the server never waits for us, few enough
# that one caller does not fill its queue.
IN_FLIGHT = 4


def drive(call: Call[T], transport: Transport, timeout_s: float) -> T:
    """Run the call to its result, sending the requests of one step from up to IN_FLIGHT threads."""
    deadline, conversation = Deadline(timeout_s), Conversation(call)

    def send(request: Request) -> Reply:
        return transport.send(request, deadline.left_s(request))

    while conversation.open:
        with conversation:
            conversation.replies = _in_threads(send, conversation.requests)
    return conversation.result


async def adrive(call: Call[T], transport: AsyncTransport, timeout_s: float) -> T:
    """Run the call to its result, sending the requests of one step up to IN_FLIGHT at a time."""
    deadline, conversation = Deadline(timeout_s), Conversation(call)

    async def send(request: Request) -> Reply:
        return await transport.asend(request, deadline.left_s(request))

    while conversation.open:
        with conversation:
            conversation.replies = await _in_tasks(send, conversation.requests)
    return conversation.result


class Deadline:
    """One span of time for all requests of a call."""

    def __init__(self, timeout_s: float) -> None:
        if not (math.isfinite(timeout_s) and timeout_s > 0):
            raise ValueError(f"timeout_s: expected a positive number of seconds, got {timeout_s!r}")
        self.timeout_s = timeout_s
        self._end = time.monotonic() + timeout_s

    def left_s(self, request: Request) -> float:
        """What is left for ``request``; DeadlineExceeded where nothing is."""
        left_s = self._end - time.monotonic()
        if left_s <= 0:
            raise late(request, self.timeout_s)
        return left_s


class Conversation(Generic[T]):
    """
    A call between two steps: ``requests`` is what it wants asked while ``open``, ``result`` what came of it.

    ``with conversation:`` around the asking hands the call its ``replies``, or the :class:`ClientError` met.
    """

    result: T
    requests: Sequence[Request]

    def __init__(self, call: Call[T]) -> None:
        self._call = call
        self.open = True
        self.replies: Sequence[Reply] = ()
        self._advance(lambda: next(call))

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is None:
            self._advance(lambda: self._call.send(self.replies))
        elif isinstance(error, ClientError):
            self._advance(lambda: self._call.throw(error))
        else:  # given up: what it measures ends here, and not when it is swept away
            self._call.close()
        return isinstance(error, ClientError)

    def _advance(self, step: Callable[[], Sequence[Request]]) -> None:
        try:
            self.requests = step()
        except StopIteration as done:
            self.open, self.result = False, done.value


def _in_threads(send: Callable[[Request], Reply], requests: Sequence[Request]) -> list[Reply]:
    if len(requests) == 1:
        return [send(requests[0])]
    with ThreadPoolExecutor(IN_FLIGHT, "sextant") as threads:
        return list(threads.map(send, requests))


async def _in_tasks(send: Callable[[Request], Awaitable[Reply]], requests: Sequence[Request]) -> list[Reply]:
    if len(requests) == 1:
        return [await send(requests[0])]
    gate = asyncio.Semaphore(IN_FLIGHT)

    async def gated(request: Request) -> Reply:
        async with gate:
            return await send(request)

    tasks = [asyncio.create_task(gated(request)) for request in requests]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
