"""gRPC for threads and on an event loop: one channel each, which gRPC itself makes safe to share."""

from __future__ import annotations

from typing import Any

import grpc
import grpc.aio

from . import protobuf
from .address import Address
from .credentials import Credentials
from .transport import Reply, Request


class GrpcTransport:
    """Triton's gRPC endpoint, or that of the proxy before it."""

    def __init__(self, address: Address, credentials: Credentials) -> None:
        self._url = address.url
        self._channel = _channel(grpc, address, _channel_credentials(address, credentials))
        self._methods = protobuf.Methods(self._channel)

    def send(self, request: Request, timeout_s: float) -> Reply:
        """Send and wait; a call given up is cancelled on the server too."""
        try:
            return protobuf.decode(request, self._methods(request, timeout_s))
        except grpc.RpcError as error:
            raise protobuf.translated(request, error, self._url, timeout_s) from error

    def close(self) -> None:
        """Close the channel; calls in flight end as cancelled."""
        self._channel.close()


class GrpcAioTransport:
    """Triton's gRPC endpoint, or the proxy's; opens its channel on the loop of its first request."""

    def __init__(self, address: Address, credentials: Credentials) -> None:
        self._address, self._credentials = address, _channel_credentials(address, credentials)
        self._channel: grpc.aio.Channel | None = None
        self._methods: protobuf.Methods | None = None

    async def asend(self, request: Request, timeout_s: float) -> Reply:
        """Send and wait; a cancelled task cancels the call on the server too."""
        if self._methods is None:
            self._channel = _channel(grpc.aio, self._address, self._credentials)
            self._methods = protobuf.Methods(self._channel)
        try:
            return protobuf.decode(request, await self._methods(request, timeout_s))
        except grpc.RpcError as error:
            raise protobuf.translated(request, error, self._address.url, timeout_s) from error

    async def aclose(self) -> None:
        """Close the channel."""
        if self._channel is not None:
            await self._channel.close()
            self._channel = self._methods = None


def _channel_credentials(address: Address, credentials: Credentials) -> grpc.ChannelCredentials | None:
    """TLS and the token, which gRPC sends with each call; None where nothing is encrypted."""
    if not address.secure:
        return None
    trusted = grpc.ssl_channel_credentials(credentials.roots())
    if credentials.token is None:
        return trusted
    return grpc.composite_channel_credentials(trusted, grpc.access_token_call_credentials(credentials.token))


def _channel(kind: Any, address: Address, credentials: grpc.ChannelCredentials | None) -> Any:
    """A channel of *kind*, for threads or for an event loop."""
    if credentials is None:
        return kind.insecure_channel(address.netloc, protobuf.CHANNEL_OPTIONS)
    return kind.secure_channel(address.netloc, credentials, protobuf.CHANNEL_OPTIONS)
