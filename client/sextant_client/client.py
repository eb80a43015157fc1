"""The two clients: the same calls, driven with threads or on an event loop."""

from __future__ import annotations

import os
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

from . import address, calls, traces
from .calls import Call, Key, PipelineCalls
from .credentials import Credentials
from .drive import adrive, drive
from .dtypes import Array
from .metrics import ClientMetrics
from .retrying import AsyncRetrying, Retrying
from .transport import AsyncTransport, Transport

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")
File: TypeAlias = "str | os.PathLike[str]"


class Client:
    """
    Asks the pipelines of one Triton; may be shared by any number of threads.

    ``Client("grpc://127.0.0.1:8001")`` or ``Client("http://127.0.0.1:8000")``. Every call ends within
    ``timeout_s``, all parts of a split batch together, or raises DeadlineExceeded. Nothing is tried twice unless
    *retries* says how often: then a request for which the server was busy, or where nobody answered, is sent again
    after a pause, within the same time. ``client.metrics`` counts it all; *metrics* may be shared by several clients.

    Where the program uses OpenTelemetry each call is a span, and the server's own spans become its children.

    Behind a proxy with TLS it is ``Client("grpcs://models.example", token=...)``, or ``https://``: *token* says who
    asks, and *ca* is a PEM file of the authorities to believe where the proxy's is none of the system's.

    >>> import numpy as np
    >>> from sextant_client import Client
    >>> from sextant_client.testing import InMemoryTransport
    >>> def double(x):
    ...     return {"doubled": 2 * x}
    >>> with Client(transport=InMemoryTransport(double, inputs={"x": "FP32 [3]"})) as client:
    ...     client.pipeline("double")([1, 2, 3])["doubled"].tolist()
    [2.0, 4.0, 6.0]
    """

    def __init__(
        self,
        url: str = "",
        *,
        timeout_s: float = 10.0,
        ca: File | None = None,
        token: str | None = None,
        retries: int = 0,
        metrics: ClientMetrics | None = None,
        transport: Transport | None = None,
    ) -> None:
        self.metrics = ClientMetrics() if metrics is None else metrics
        self._transport = transport or address.transport(url, Credentials(ca, token))
        if retries:
            self._transport = Retrying(self._transport, retries, self.metrics.retried)
        self._timeout_s, self._peer = timeout_s, traces.peer("" if transport else url)
        self._pipelines: dict[str, Pipeline] = {}

    def pipeline(self, name: str) -> Pipeline:
        """The pipeline of that name; the server is first asked when the pipeline is first called."""
        return self._pipelines.setdefault(name, Pipeline(name, self._run, self._peer, self.metrics))

    def is_ready(self, *, timeout_s: float | None = None) -> bool:
        """Whether the server is there, and ready for requests."""
        return self._run(calls.is_ready(), timeout_s)

    def close(self) -> None:
        """Let go of every connection."""
        self._transport.close()

    def _run(self, call: Call[T], timeout_s: float | None) -> T:
        return drive(call, self._transport, self._timeout_s if timeout_s is None else timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient:
    """
    :class:`Client` for one event loop: the same calls, awaited.

    >>> import asyncio
    >>> from sextant_client import AsyncClient
    >>> from sextant_client.testing import InMemoryTransport
    >>> def double(x):
    ...     return {"doubled": 2 * x}
    >>> async def main():
    ...     async with AsyncClient(transport=InMemoryTransport(double, inputs={"x": "FP32 [3]"})) as client:
    ...         return await client.pipeline("double")([1, 2, 3])
    >>> asyncio.run(main())["doubled"].tolist()
    [2.0, 4.0, 6.0]
    """

    def __init__(
        self,
        url: str = "",
        *,
        timeout_s: float = 10.0,
        ca: File | None = None,
        token: str | None = None,
        retries: int = 0,
        metrics: ClientMetrics | None = None,
        transport: AsyncTransport | None = None,
    ) -> None:
        self.metrics = ClientMetrics() if metrics is None else metrics
        self._transport = transport or address.async_transport(url, Credentials(ca, token))
        if retries:
            self._transport = AsyncRetrying(self._transport, retries, self.metrics.retried)
        self._timeout_s, self._peer = timeout_s, traces.peer("" if transport else url)
        self._pipelines: dict[str, AsyncPipeline] = {}

    def pipeline(self, name: str) -> AsyncPipeline:
        """The pipeline of that name; the server is first asked when the pipeline is first called."""
        return self._pipelines.setdefault(name, AsyncPipeline(name, self._run, self._peer, self.metrics))

    async def is_ready(self, *, timeout_s: float | None = None) -> bool:
        """Whether the server is there, and ready for requests."""
        return await self._run(calls.is_ready(), timeout_s)

    async def close(self) -> None:
        """Let go of every connection."""
        await self._transport.aclose()

    async def _run(self, call: Call[T], timeout_s: float | None) -> T:
        return await adrive(call, self._transport, self._timeout_s if timeout_s is None else timeout_s)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class Run(Protocol):
    """How a client runs a call."""

    def __call__(self, call: Call[T], timeout_s: float | None) -> T:
        """Give the call's result."""


class AsyncRun(Protocol):
    """How an asynchronous client runs a call."""

    async def __call__(self, call: Call[T], timeout_s: float | None) -> T:
        """Give the call's result."""


class Pipeline:
    """
    One pipeline, called like a function.

    ``pipeline(features)`` takes what the pipeline's only input takes, or the only one that is not named;
    ``pipeline(features=..., site=...)`` takes several by name. One row (an array of the declared rank) gives
    one answer, a batch (one dimension more) a list, in order; a batch larger than the server's is split, and
    an empty one gives an empty list without asking. The answer is a :class:`~sextant.answers.Fix`, Label or
    Record by the tensors the pipeline gives, else a dict of arrays.

    A pipeline that takes a table is asked with a pandas DataFrame: its columns are found by name, and where the
    answer is columns it comes back as a DataFrame with the same index.

    Numbers are cast to the declared type where they keep their meaning (float64 to FP32, int64 to INT32
    within its range); anything else is RequestRefused. ``timeout_s`` overrules the client's for one call.

    While a release is tried beside the one that serves, all requests of one ``route_key`` (a text or a whole number,
    such as the device that asks) are answered by the same of the two; at other times the key makes no difference.
    """

    def __init__(self, name: str, run: Run, peer: traces.Peer, metrics: ClientMetrics) -> None:
        self.name = name
        self._calls, self._run = PipelineCalls(name, peer, metrics), run

    def __call__(self, *features: Any, timeout_s: float | None = None, route_key: Key = None, **tensors: Any) -> Any:
        """The answer, or the list of answers."""
        return self._run(self._calls.answers(features, tensors, route_key), timeout_s)

    def tensors(
        self, *features: Any, timeout_s: float | None = None, route_key: Key = None, **tensors: Any
    ) -> dict[str, Array]:
        """The arrays as the server gave them, by name, rows first even for a single row; read-only views."""
        return self._run(self._calls.tensors(features, tensors, route_key), timeout_s)


class AsyncPipeline:
    """:class:`Pipeline`, awaited."""

    def __init__(self, name: str, run: AsyncRun, peer: traces.Peer, metrics: ClientMetrics) -> None:
        self.name = name
        self._calls, self._run = PipelineCalls(name, peer, metrics), run

    async def __call__(
        self, *features: Any, timeout_s: float | None = None, route_key: Key = None, **tensors: Any
    ) -> Any:
        """The answer, or the list of answers."""
        return await self._run(self._calls.answers(features, tensors, route_key), timeout_s)

    async def tensors(
        self, *features: Any, timeout_s: float | None = None, route_key: Key = None, **tensors: Any
    ) -> dict[str, Array]:
        """The arrays as the server gave them, by name, rows first even for a single row; read-only views."""
        return await self._run(self._calls.tensors(features, tensors, route_key), timeout_s)
