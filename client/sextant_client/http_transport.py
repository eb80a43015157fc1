"""
HTTP for threads: a pool of keep-alive connections over the standard library.

A connection belongs to one request at a time and the pool is a deque, whose ends are atomic: any number of
threads may send. A socket's own timeout covers one read; the deadline here covers the whole reply, however
slowly it drips.
"""

from __future__ import annotations

import http.client
import select
import socket
import ssl
import time
from collections import deque
from contextlib import suppress
from typing import Any, cast

from . import binary
from .address import Address
from .credentials import Credentials
from .failures import late, unreachable
from .transport import Reply, Request


class HttpTransport:
    """Triton's HTTP endpoint, or that of the proxy before it."""

    def __init__(self, address: Address, credentials: Credentials) -> None:
        self._address, self._headers = address, credentials.headers
        self._context = _deadline_context(credentials) if address.secure else None
        self._idle: deque[_Connection] = deque()

    def send(self, request: Request, timeout_s: float) -> Reply:
        """Send on an idle connection, or a new one, and read the reply."""
        connection = self._connection()
        connection.deadline = time.monotonic() + timeout_s
        try:
            response = connection.exchange(binary.encode(request))
        except TimeoutError as error:
            raise late(request, timeout_s) from error
        except (OSError, http.client.HTTPException) as error:
            raise unreachable(self._address.url, error or type(error).__name__) from error
        self._idle.append(connection)
        return binary.decode(request, *response)

    def close(self) -> None:
        """Close the idle connections; one in use closes with its owner."""
        while self._idle:
            self._idle.pop().close()

    def _connection(self) -> _Connection:
        """The connection used last if the server has not closed it meanwhile, else a new one."""
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:  # another thread took it
                break
            if connection.is_open():
                return connection
            connection.close()
        return _Connection(self._address, self._context, self._headers)


class _Connection:
    """One keep-alive connection, opened by its first request."""

    def __init__(self, address: Address, context: ssl.SSLContext | None, headers: dict[str, str]) -> None:
        self._address, self._context = address, context
        self._headers = {"Host": address.netloc, **headers}
        self._socket: _Deadline | None = None
        self.deadline = 0.0

    def exchange(self, message: binary.Message) -> tuple[int, str | None, bytes]:
        """Send, and read status, header length and body; closes itself on any failure."""
        try:
            return self._exchange(message)
        except BaseException:
            self.close()
            raise

    def _exchange(self, message: binary.Message) -> tuple[int, str | None, bytes]:
        if self._socket is None:
            self._socket = _connected(self._address, self._context, self.deadline)
        self._socket.deadline = self.deadline
        with suppress(ConnectionError, ssl.SSLEOFError):  # who hangs up on what is sent may have said why before
            self._socket.sendall(_head(message, self._headers) + (message.body or b""))
        with http.client.HTTPResponse(self._socket) as response:
            response.begin()
            body = response.read()
        if response.will_close:
            self.close()
        return response.status, response.getheader(binary.HEADER_LENGTH), body

    def is_open(self) -> bool:
        """Whether it is connected; an idle one has something to read only once the server closed it."""
        if self._socket is None:
            return False
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return not poll.poll(0)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class _Deadline(socket.socket):
    """A socket whose reads and writes together end at one moment."""

    deadline: float

    def recv_into(self, *arguments: Any) -> int:
        self._limit()
        return super().recv_into(*arguments)

    def sendall(self, *arguments: Any) -> None:
        self._limit()
        super().sendall(*arguments)

    def _limit(self) -> None:
        self.settimeout(_left_s(self.deadline))


class _TlsDeadline(_Deadline, ssl.SSLSocket):
    """The same over TLS, where what is sent at once is sent in pieces."""

    def send(self, *arguments: Any, **named: Any) -> int:  # gevent's, which load tests patch in, names one
        self._limit()
        return super().send(*arguments, **named)


def _deadline_context(credentials: Credentials) -> ssl.SSLContext:
    context = credentials.context()
    context.sslsocket_class = _TlsDeadline
    return context


def _connected(address: Address, context: ssl.SSLContext | None, deadline: float) -> _Deadline:
    plain = socket.create_connection((address.host, address.port), _left_s(deadline))
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if context is None:
        return _Deadline(plain.family, plain.type, plain.proto, fileno=plain.detach())
    plain.settimeout(_left_s(deadline))  # of which the handshake has what the connection left
    return cast("_TlsDeadline", context.wrap_socket(plain, server_hostname=address.host))


def _left_s(deadline: float) -> float:
    """The seconds until then; TimeoutError where there are none, for a timeout of 0 would mean not to wait at all."""
    left_s = deadline - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    return left_s


def _head(message: binary.Message, headers: dict[str, str]) -> bytes:
    method = "GET" if message.body is None else "POST"
    fields = {**headers, "Content-Length": str(len(message.body or b"")), **message.headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{method} {message.path} HTTP/1.1\r\n{lines}\r\n".encode("ascii")
