"""HTTP on an event loop, over aiohttp."""

from __future__ import annotations

import asyncio

import aiohttp

from . import binary
from .failures import late, unreachable
from .transport import Reply, Request


class AiohttpTransport:
    """Triton's HTTP endpoint at ``host:port``; opens its session on the loop of its first request."""

    def __init__(self, host: str, port: int) -> None:
        self._base = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
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
            self._session = aiohttp.ClientSession()
        async with self._session.request(
            "GET" if message.body is None else "POST",
            self._base + message.path,
            data=message.body,
            headers=message.headers,
            timeout=aiohttp.ClientTimeout(total=timeout_s),
        ) as response:
            return response.status, response.headers.get(binary.HEADER_LENGTH), await response.read()
