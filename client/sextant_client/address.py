"""Where a Triton answers, and the transport that goes there; each is imported only when it is used."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlsplit

from sextant.errors import AddressRefused, MissingExtra

from .transport import AsyncTransport, Transport


class Address(NamedTuple):
    """``scheme`` is "grpc" or "http"."""

    scheme: str
    host: str
    port: int

    @property
    def netloc(self) -> str:
        """``host:port`` as a channel takes it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse(url: str) -> Address:
    """The address in ``grpc://host:port`` or ``http://host:port``; anything else is AddressRefused."""
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme, parts.hostname, parts.port
    except ValueError:
        scheme, host, port = "", None, None
    if scheme not in ("grpc", "http") or not host or not port or parts.path.strip("/") or parts.query:
        raise AddressRefused(f"expected grpc://host:port or http://host:port, got {url!r}")
    return Address(scheme, host, port)


def transport(url: str) -> Transport:
    """A transport for threads."""
    address = parse(url)
    if address.scheme == "http":
        from .http_transport import HttpTransport

        return HttpTransport(address.host, address.port)
    try:
        from .grpc_transport import GrpcTransport
    except ImportError as error:
        raise MissingExtra("client", "a grpc:// address") from error
    return GrpcTransport(address.netloc)


def async_transport(url: str) -> AsyncTransport:
    """A transport for an event loop."""
    address = parse(url)
    try:
        if address.scheme == "http":
            from .aiohttp_transport import AiohttpTransport

            return AiohttpTransport(address.host, address.port)
        from .grpc_transport import GrpcAioTransport
    except ImportError as error:
        raise MissingExtra("client", f"an asynchronous {address.scheme}:// client") from error
    return GrpcAioTransport(address.netloc)
