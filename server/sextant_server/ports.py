"""Three loopback ports for one server."""

from __future__ import annotations

import socket
from contextlib import ExitStack, suppress
from typing import NamedTuple

import psutil

from sextant.errors import LaunchRefused

LOOPBACK = "127.0.0.1"


class Ports(NamedTuple):
    """Where a server listens; 0 means any that is free."""

    http: int = 0
    grpc: int = 0
    metrics: int = 0


USUAL = Ports(http=8000, grpc=8001, metrics=8002)


def choose_ports(wanted: Ports) -> Ports:
    """
    *wanted* with every 0 replaced by a port free just now.

    Raises LaunchRefused for a wanted port that is in use. A free one may be taken before the server binds it:
    the launcher then asks again.
    """
    with ExitStack() as held:  # all at once, so that the three differ
        return Ports(*(_bind(held, name, port) for name, port in wanted._asdict().items()))


def usual_or_free(wanted: Ports) -> Ports:
    """*wanted* with every 0 replaced by Triton's usual port where that is free, so that a restart keeps its address."""
    return Ports(*(port or (usual if _free(usual) else 0) for port, usual in zip(wanted, USUAL, strict=True)))


def callers(pid: int, ports: Ports) -> int:
    """How many connections the server *pid* has with callers that may wait for an answer."""
    try:
        connections = psutil.Process(pid).net_connections("tcp")
    except psutil.Error:
        return 0
    inference = {ports.http, ports.grpc}
    return sum(each.status == psutil.CONN_ESTABLISHED and each.laddr.port in inference for each in connections)


def listened_to(port: int) -> bool:
    """Whether anybody takes connections on *port*."""
    with suppress(OSError), socket.create_connection((LOOPBACK, port), timeout=1):
        return True
    return False


def _free(port: int) -> bool:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def _bind(held: ExitStack, name: str, port: int) -> int:
    listener = held.enter_context(socket.socket())
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
    except OSError as error:
        raise LaunchRefused(
            f"{name} port {port} cannot be had ({error.strerror}): choose another, or 0 for any free one"
        ) from error
    return int(listener.getsockname()[1])
