"""HTTP on an event loop, over aiohttp."""

from __future__ import annotations

import asyncio
import io

import aiohttp

from . import binary
from .address import Address
from .credentials import Credentials
from .failures import late, unreachable
from .transport import Reply, Request


class _Response(aiohttp.ClientResponse):
    """One that is given up leaves no connection behind: TLS would wait half a minute for the server's farewell."""

    def close(self) -> None:
        if self.connection is not None and self.connection.transport is not None:
            self.connection.transport.abort()
        super().close()


class AiohttpTransport:
    """Triton's HTTP endpoint, or the proxy's; opens its session on the loop of its first request."""

    def __init__(self, address: Address, credentials: Credentials) -> None:
        self._base, self._headers = address.url, credentials.headers
        self._trust = credentials.context() if address.secure else True
        self._session: aiohttp.ClientSession | None = None

    async def asend(self, request: Request, timeout_s: float) -> Reply:
        """Send, and read the whole reply within ``timeout_s``."""
        try:
            response = await self._exchange(binary.encode(request), timeout_s)
        except asyncio.TimeoutError as error:  # not yet the built-in on Python 3.10
            raise late(request, timeout_s) from error
        except (aiohttp.ClientError, OSError) as error:
            raise unreachable(self._base, error) from error
        return binary.decode(request, *response)

    async def aclose(self) -> None:
        """Close the session."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _exchange(self, message: binary.Message, timeout_s: float) -> tuple[int, str | None, bytes]:
        if self._session is None:
            self._session = aiohttp.ClientSession(headers=self._headers, response_class=_Response)
        async with self._session.request(
            "GET" if message.body is None else "POST",
            self._base + message.path,
            data=None if message.body is None else io.BytesIO(message.body),  # sent in pieces: others get their turn
            headers=message.headers,
            ssl=self._trust,
            allow_redirects=False,  # a token is for whom it was given to
            timeout=aiohttp.ClientTimeout(total=timeout_s),
        ) as response:
            return response.status, response.headers.get(binary.HEADER_LENGTH), await response.read()
