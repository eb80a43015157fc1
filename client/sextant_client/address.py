"""Where a Triton answers, and the transport that goes there; each is imported only when it is used."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import urlsplit

from sextant.errors import AddressRefused, MissingExtra

from .credentials import Credentials
from .transport import AsyncTransport, Transport

TLS_PORT = 443
NOBODY = Credentials()
_HOST = re.compile(r"[^.]{1,63}(\.[^.]{1,63})*\.?")  # what no name can be breaks as many libraries in as many ways


class Address(NamedTuple):
    """``scheme`` is "grpc" or "http", or "grpcs" or "https", which are the same over TLS."""

    scheme: str
    host: str
    port: int

    @property
    def netloc(self) -> str:
        """``host:port`` as a channel takes it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """``scheme://host:port``."""
        return f"{self.scheme}://{self.netloc}"

    @property
    def secure(self) -> bool:
        """Whether TLS is spoken there."""
        return self.scheme in ("grpcs", "https")

    @property
    def over_http(self) -> bool:
        """Whether HTTP is spoken there, with or without TLS, and not gRPC."""
        return self.scheme in ("http", "https")


def parse(url: str) -> Address:
    """
    The address in ``grpc://host:port`` or ``http://host:port``, or with TLS in ``grpcs://host`` or ``https://host``.

    With TLS the port is 443 where none is said. Anything else is AddressRefused.

    >>> parse("https://models.example")
    Address(scheme='https', host='models.example', port=443)
    """
    try:
        parts = urlsplit(url)
        address = Address(parts.scheme, parts.hostname or "", parts.port or 0)
    except ValueError:
        raise _refused(url) from None
    if address.secure and not address.port:
        address = address._replace(port=TLS_PORT)
    known = address.secure or address.scheme in ("grpc", "http")
    if not known or not _HOST.fullmatch(address.host) or not address.port or parts.path.strip("/") or parts.query:
        raise _refused(url)
    return address


def transport(url: str, credentials: Credentials = NOBODY) -> Transport:
    """A transport for threads."""
    address = _trusted(url, credentials)
    if address.over_http:
        from .http_transport import HttpTransport

        return HttpTransport(address, credentials)
    try:
        from .grpc_transport import GrpcTransport
    except ImportError as error:
        raise MissingExtra("client", f"a {address.scheme}:// address") from error
    return GrpcTransport(address, credentials)


def async_transport(url: str, credentials: Credentials = NOBODY) -> AsyncTransport:
    """A transport for an event loop."""
    address = _trusted(url, credentials)
    try:
        if address.over_http:
            from .aiohttp_transport import AiohttpTransport

            return AiohttpTransport(address, credentials)
        from .grpc_transport import GrpcAioTransport
    except ImportError as error:
        raise MissingExtra("client", f"an asynchronous {address.scheme}:// client") from error
    return GrpcAioTransport(address, credentials)


def _trusted(url: str, credentials: Credentials) -> Address:
    """Where *credentials* may go: a token that travels in the clear is anybody's."""
    address = parse(url)
    if credentials.token is not None and not address.secure:
        raise AddressRefused(f"a token is sent over TLS alone: write grpcs:// or https://, got {url!r}")
    return address


def _refused(url: str) -> AddressRefused:
    return AddressRefused(
        f"expected grpc://host:port or http://host:port, got {url!r}; with TLS it is grpcs://host or https://host"
    )
