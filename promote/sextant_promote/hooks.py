"""
A door for MLflow's webhooks: a delivery whose signature holds rings the bell, and does nothing else.

MLflow keeps deliveries in memory and may lose them, and whoever sends one may lie about the registry; so nothing of a
body is believed. It only makes the next look at the registry come now.

MLflow signs ``<delivery id>.<timestamp>.<body>`` with HMAC-SHA256 under the secret that the webhook was made with, and
sends ``v1,<base64>`` in ``X-MLflow-Signature``.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import re
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Thread
from typing import TYPE_CHECKING, NamedTuple

import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from sextant.errors import ParametersError

if TYPE_CHECKING:
    from typing_extensions import Self

PATH = "/hooks/mlflow"
SIGNATURE, TIMESTAMP, DELIVERY_ID = "x-mlflow-signature", "x-mlflow-timestamp", "x-mlflow-delivery-id"
WINDOW_S = 300
"""A delivery that was signed longer ago, or so far in the future, is refused."""
REMEMBERED = 10_000
"""So many deliveries are taken within a window: each is remembered until its time stamp is stale."""
LARGEST_BODY = 1 << 18
BODY_TIMEOUT_S = 10.0


class Refusal(NamedTuple):
    """An HTTP *status*, and the *sentence* that goes with it."""

    status: int
    sentence: str


@dataclass
class Deliveries:
    """
    Which deliveries are MLflow's, and not seen before: those signed with *secret*, by the time of *clock* (Unix, s).

    >>> came = Deliveries("s3cret", clock=lambda: 1_700_000_000.0)
    >>> signed = signature("s3cret", "d1", "1700000000", b"{}")
    >>> headers = {DELIVERY_ID: "d1", TIMESTAMP: "1700000000", SIGNATURE: signed}
    >>> came.refusal(headers, b"{}")
    >>> came.refusal(headers, b"{}")
    Refusal(status=409, sentence='delivery d1 came before: a delivery counts once')
    """

    secret: str = field(repr=False)
    clock: Callable[[], float] = time.time
    _seen: dict[str, float] = field(default_factory=dict, repr=False)

    def refusal(self, headers: Mapping[str, str], body: bytes) -> Refusal | None:
        """Why the delivery is refused; None where it counts, and from then on is remembered."""
        delivery, stamp, signed = (headers.get(name, "") for name in (DELIVERY_ID, TIMESTAMP, SIGNATURE))
        if not (delivery and stamp and signed):
            return Refusal(401, "not signed: make the webhook with a secret, the one this watch was started with")
        if not hmac.compare_digest(signed.encode(), signature(self.secret, delivery, stamp, body).encode()):
            return Refusal(401, "the signature does not fit: webhook and watch were given different secrets")
        return self._known(delivery, stamp)

    def _known(self, delivery: str, stamp: str) -> Refusal | None:
        """What a signed delivery can still be refused for."""
        now = self.clock()
        if not re.fullmatch(r"[0-9]{1,12}", stamp) or abs(now - int(stamp)) > WINDOW_S:
            return Refusal(401, f"signed more than {WINDOW_S} s from now: is it a replay, or is a clock wrong?")
        self._seen = {each: until for each, until in self._seen.items() if until >= now}
        if delivery in self._seen:
            return Refusal(409, f"delivery {delivery} came before: a delivery counts once")
        if len(self._seen) >= REMEMBERED:
            return Refusal(429, f"more than {REMEMBERED} deliveries within {WINDOW_S} s: the registry is polled anyway")
        self._seen[delivery] = int(stamp) + WINDOW_S
        return None


def signature(secret: str, delivery: str, stamp: str, body: bytes) -> str:
    """
    What MLflow writes into ``X-MLflow-Signature``.

    >>> signature("secret", "id", "0", b"{}")
    'v1,E1dgkCf/zWJwoqyLX4JX4msjlpeuuY59/nLUxawMaKQ='
    """
    signed = hmac.new(secret.encode(), f"{delivery}.{stamp}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(signed).decode()}"


def hook_app(deliveries: Deliveries, ring: Callable[[], None]) -> Starlette:
    """The application: ``POST /hooks/mlflow`` calls *ring* for each delivery that counts; ``GET /health`` answers."""

    async def deliver(request: Request) -> Response:
        body = await _body(request)
        refused = body if isinstance(body, Refusal) else deliveries.refusal(request.headers, body)
        if refused is not None:
            return PlainTextResponse(f"{refused.sentence}\n", refused.status)
        ring()
        return Response(status_code=202)

    async def health(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    return Starlette(routes=[Route(PATH, deliver, methods=["POST"]), Route("/health", health, methods=["GET"])])


class Hook:
    """
    The application of :func:`hook_app` on *host*:*port*, in a thread, until the ``with`` block ends; port 0: a free
    one.

    ``ParametersError`` without a secret, which would let anyone in, and where the address cannot be had.
    """

    def __init__(self, host: str, port: int, secret: str, ring: Callable[[], None]) -> None:
        if not secret:
            raise ParametersError(
                "the webhook needs a secret, or anyone could ring: put the one that MLflow's webhook was made with "
                "into an environment variable, and name the variable by --hook-secret-env"
            )
        self._socket = _listening(host, port)
        app = hook_app(Deliveries(secret), ring)
        config = uvicorn.Config(
            app, log_config=None, log_level="error", access_log=False, limit_concurrency=64, timeout_keep_alive=5
        )
        self._server = uvicorn.Server(config)
        self._thread = Thread(target=self._server.run, args=([self._socket],), name="sextant-hook", daemon=True)

    @property
    def url(self) -> str:
        """Where MLflow is to deliver."""
        host, port, *_ = self._socket.getsockname()
        return f"http://{f'[{host}]' if ':' in host else host}:{port}{PATH}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()


def _listening(host: str, port: int) -> socket.socket:
    """It listens before anything serves it: whoever comes early waits in line."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        said = getattr(error, "strerror", None) or error
        raise ParametersError(f"the webhook cannot listen on {host}:{port}: {said}; name a free port") from error


async def _body(request: Request) -> bytes | Refusal:
    """The body, as long as it is short and comes soon."""
    try:
        return await asyncio.wait_for(_short(request), BODY_TIMEOUT_S)
    except asyncio.TimeoutError:
        return Refusal(408, f"the body did not come within {BODY_TIMEOUT_S:g} s")
    except ClientDisconnect:
        return Refusal(400, "the body was cut off")


async def _short(request: Request) -> bytes | Refusal:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > LARGEST_BODY:
            return Refusal(413, f"a body of more than {LARGEST_BODY} bytes is none of MLflow's")
    return bytes(body)
