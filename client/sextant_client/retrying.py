"""
Asking again what a server was too busy for, or where nobody answered: a transport around another.

Only where a client was told to.  An answer is a function of what is asked, so asking twice does no harm but load:
each pause is twice the one before, and drawn, lest all callers come back at once.  What the deadline does not allow any
more is not tried, and what a server refused never is.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from types import TracebackType

from sextant.errors import CertificateRefused, ServerBusy, ServerUnreachable

from .transport import AsyncTransport, Reply, Request, ServerReady, Transport

PASSING = ServerBusy, ServerUnreachable
LASTING = CertificateRefused
"""Of these, what waiting does not mend."""
FIRST_S, MOST_S = 0.05, 2.0

Retried = Callable[[str], None]


class Attempts:
    """
    The attempts at one request, *retries* after the first, all within *timeout_s*.

    ``with attempts:`` around one of them swallows the error that is worth another, after ``pause_s``; ``left_s`` is
    what the next one has.  *retried* is told the model before each.
    """

    def __init__(self, request: Request, timeout_s: float, retries: int, retried: Retried) -> None:
        self._request, self._retried = request, retried
        self._ends, self._retries, self._again = time.monotonic() + timeout_s, retries, 0
        self.left_s, self.pause_s = timeout_s, 0.0

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, PASSING) or isinstance(error, LASTING) or self._again == self._retries:
            return False
        self.pause_s = min(MOST_S, FIRST_S * 2**self._again) * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        self.left_s = self._ends - time.monotonic() - self.pause_s
        if self.left_s <= 0:
            return False
        self._again += 1
        self._retried(self._request.model)
        return True


class _Retrying:
    def __init__(self, retries: int, retried: Retried) -> None:
        if retries < 0:
            raise ValueError(f"retries: expected a whole number from 0 on, got {retries!r}")
        self._retries, self._retried = retries, retried

    def _attempts(self, request: Request, timeout_s: float) -> Attempts:
        """Whether a server is ready is asked once: an answer of no is one."""
        retries = 0 if isinstance(request, ServerReady) else self._retries
        return Attempts(request, timeout_s, retries, self._retried)


class Retrying(_Retrying):
    """*transport*, asked up to *retries* times more."""

    def __init__(self, transport: Transport, retries: int, retried: Retried) -> None:
        super().__init__(retries, retried)
        self._transport = transport

    def send(self, request: Request, timeout_s: float) -> Reply:
        """Give the reply within ``timeout_s``, or raise the error of the last attempt."""
        attempts = self._attempts(request, timeout_s)
        while True:
            with attempts:
                return self._transport.send(request, attempts.left_s)
            time.sleep(attempts.pause_s)

    def close(self) -> None:
        """Let go of every connection."""
        self._transport.close()


class AsyncRetrying(_Retrying):
    """:class:`Retrying` for an event loop."""

    def __init__(self, transport: AsyncTransport, retries: int, retried: Retried) -> None:
        super().__init__(retries, retried)
        self._transport = transport

    async def asend(self, request: Request, timeout_s: float) -> Reply:
        """Give the reply within ``timeout_s``, or raise the error of the last attempt."""
        attempts = self._attempts(request, timeout_s)
        while True:
            with attempts:
                return await self._transport.asend(request, attempts.left_s)
            await asyncio.sleep(attempts.pause_s)

    async def aclose(self) -> None:
        """Let go of every connection."""
        await self._transport.aclose()
