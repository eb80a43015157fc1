"""Who reaches an address: this machine alone, or others too; as the kernel's table of sockets says."""

from __future__ import annotations

import ipaddress
import socket

import psutil

from sextant_client.address import Address


def loopback(host: str) -> bool:
    """
    Whether *host* is this machine, spoken to by itself.

    >>> loopback("127.0.0.1"), loopback("localhost"), loopback("::ffff:127.0.0.1"), loopback("0.0.0.0")
    (True, True, True, False)
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def private(host: str) -> bool:
    """Whether every address of *host* is of a private network; ``OSError`` where it has none."""
    found = {str(info[4][0]) for info in socket.getaddrinfo(host, None)}
    return all(ipaddress.ip_address(each.partition("%")[0]).is_private for each in found)


def listening(port: int) -> dict[str, int | None]:
    """Each address at which a program of this machine listens at *port*, with its process id where we may know it."""
    sockets = [each for each in psutil.net_connections("tcp") if each.status == psutil.CONN_LISTEN]
    return {each.laddr.ip: each.pid for each in sockets if each.laddr.port == port}


def elsewhere(address: Address) -> set[str]:
    """Where other machines find what answers at *address*, as ``host:port``; nothing where only this one does."""
    if not loopback(address.host):
        return {address.netloc}
    return {f"{host}:{address.port}" for host in listening(address.port) if not loopback(host)}
