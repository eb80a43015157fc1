"""
Servers behind one name: ``grpc+dns://name:port`` stands for every address that the name has at the moment.

So Kubernetes tells of the pods behind a headless service. They come and go, therefore a name is looked up whenever its
servers are wanted, and no address is remembered.
"""

from __future__ import annotations

import socket
from dataclasses import replace
from urllib.parse import urlsplit

from sextant.errors import AddressRefused, ServerUnreachable
from sextant_client.address import Address, parse
from sextant_export.settings import ServerSettings
from sextant_export.settings_problems import BY_NAME


def servers_behind(told: ServerSettings) -> tuple[ServerSettings, ...]:
    """
    The servers that *told* stands for, in the order of their addresses; itself, where it is one.

    All of them take its token, and each has its metrics at its own address. ``ServerUnreachable`` where the name has no
    address.

    >>> several = ServerSettings(url="grpc+dns://127.0.0.1:8001", metrics="http://127.0.0.1:8002/metrics")
    >>> [(server.url, server.metrics) for server in servers_behind(several)]
    [('grpc://127.0.0.1:8001', 'http://127.0.0.1:8002/metrics')]
    """
    if not told.url.startswith(BY_NAME):
        return (told,)
    try:
        named = parse(told.url.replace(BY_NAME, "grpc://", 1))
    except AddressRefused:
        raise AddressRefused(f"{told.url!r}: write {BY_NAME}name:port") from None
    return tuple(_at(address, told) for address in _addresses(named))


def _at(address: Address, told: ServerSettings) -> ServerSettings:
    return replace(told, url=address.url, metrics=told.metrics and _moved(told.metrics, address))


def _moved(url: str, address: Address) -> str:
    """
    The same *url* at the host of *address*.

    >>> _moved("http://triton-pods:8002/metrics", Address("grpc", "10.1.0.7", 8001))
    'http://10.1.0.7:8002/metrics'
    """
    parts = urlsplit(url)
    host = address.netloc.removesuffix(f":{address.port}")
    return parts._replace(netloc=host if parts.port is None else f"{host}:{parts.port}").geturl()


def _addresses(named: Address) -> list[Address]:
    try:
        found = socket.getaddrinfo(named.host, named.port, type=socket.SOCK_STREAM)
    except OSError as error:
        why = f"{named.host} has no address ({error.strerror})"
        raise ServerUnreachable(
            f"no server at {BY_NAME}{named.netloc}: {why}: start one, or correct the name"
        ) from error
    return [named._replace(host=host) for host in sorted({str(place[0]) for *_, place in found})]
