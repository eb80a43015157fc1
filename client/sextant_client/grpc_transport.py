"""gRPC for threads and on an event loop: one channel each, which gRPC itself makes safe to share."""

from __future__ import annotations

import grpc
import grpc.aio

from . import protobuf
from .transport import Reply, Request


class GrpcTransport:
    """Triton's gRPC endpoint at ``host:port``."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._channel = grpc.insecure_channel(address, protobuf.CHANNEL_OPTIONS)
        self._methods = protobuf.Methods(self._channel)

    def send(self, request: Request, timeout_s: float) -> Reply:
        """Send and wait; a call given up is cancelled on the server too."""
        try:
            return protobuf.decode(request, self._methods(request, timeout_s))
        except grpc.RpcError as error:
            raise protobuf.translated(request, error, self._address, timeout_s) from error

    def close(self) -> None:
        """Close the channel; calls in flight end as cancelled."""
        self._channel.close()


class GrpcAioTransport:
    """Triton's gRPC endpoint at ``host:port``; opens its channel on the loop of its first request."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._channel: grpc.aio.Channel | None = None
        self._methods: protobuf.Methods | None = None

    async def asend(self, request: Request, timeout_s: float) -> Reply:
        """Send and wait; a cancelled task cancels the call on the server too."""
        if self._methods is None:
            self._channel = grpc.aio.insecure_channel(self._address, protobuf.CHANNEL_OPTIONS)
            self._methods = protobuf.Methods(self._channel)
        try:
            return protobuf.decode(request, await self._methods(request, timeout_s))
        except grpc.RpcError as error:
            raise protobuf.translated(request, error, self._address, timeout_s) from error

    async def aclose(self) -> None:
        """Close the channel."""
        if self._channel is not None:
            await self._channel.close()
            self._channel = self._methods = None
