"""The gRPC form of the messages, by the message classes and the stub that ``tritonclient.grpc`` brings."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from sextant.errors import ClientError, ServerUnreachable
from sextant.routing import ROUTE_KEY

from .dtypes import Array, from_bytes, to_bytes, triton_dtype
from .failures import failure, late, unreachable
from .transport import (
    Limits,
    ModelConfig,
    ModelInfer,
    ModelMetadata,
    Reply,
    Request,
    ServerReady,
    Tensor,
    Tensors,
)

# Tensors may be as large as a message can be, and a restarted server is found again within a second. What gRPC calls
# the least pause is how long one attempt to connect may take: to a far proxy, TLS included, that is many a millisecond.
CHANNEL_OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 5000),
    ("grpc.max_reconnect_backoff_ms", 1000),
]


class Methods:
    """A channel's remote methods, by the type of message each takes; the same for both kinds of channel."""

    def __init__(self, channel: Any) -> None:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        self._by_type = {
            ServerReady: stub.ServerReady,
            ModelMetadata: stub.ModelMetadata,
            ModelConfig: stub.ModelConfig,
            ModelInfer: stub.ModelInfer,
        }

    def __call__(self, request: Request, timeout_s: float) -> Any:
        """Start the call."""
        headers = request.trace if isinstance(request, ModelInfer) else ()
        return self._by_type[type(request)](encode(request), timeout=timeout_s, metadata=headers or None)


def encode(request: Request) -> Any:
    """The request as a protobuf message."""
    if isinstance(request, ModelInfer):
        return _encode_infer(request)
    if isinstance(request, ServerReady):
        return service_pb2.ServerReadyRequest()
    if isinstance(request, ModelMetadata):
        return service_pb2.ModelMetadataRequest(name=request.model)
    return service_pb2.ModelConfigRequest(name=request.model)


def decode(request: Request, reply: Any) -> Reply:
    """The reply that a protobuf message holds."""
    if isinstance(request, ModelInfer):
        return _decode_infer(reply)
    if isinstance(request, ServerReady):
        return bool(reply.ready)
    if isinstance(request, ModelMetadata):
        return Tensors(_tensors(reply.inputs), _tensors(reply.outputs))
    optional = frozenset(entry.name for entry in reply.config.input if entry.optional)
    said = {name: value.string_value for name, value in reply.config.parameters.items()}
    return Limits(reply.config.max_batch_size, optional, said.get("columns", ""), said.get("classes", ""))


def translated(request: Request, error: grpc.RpcError, url: str, timeout_s: float) -> ClientError:
    """Our error for gRPC's."""
    status, sentence = error.code().name, error.details() or ""
    if status == "DEADLINE_EXCEEDED":
        return late(request, timeout_s)
    ours = failure(request, status, sentence)
    return unreachable(url, sentence) if isinstance(ours, ServerUnreachable) else ours


def _encode_infer(request: ModelInfer) -> Any:
    message = service_pb2.ModelInferRequest()
    message.CopyFrom(_asking(request.model, request.outputs))
    if request.route_key is not None:
        message.parameters[ROUTE_KEY].string_param = request.route_key
    for name, array in request.inputs.items():
        message.inputs.add(name=name, datatype=triton_dtype(array), shape=array.shape)
        message.raw_input_contents.append(to_bytes(array))
    return message


@lru_cache(maxsize=256)
def _asking(model: str, outputs: tuple[str, ...]) -> Any:
    """What all requests for these outputs of a model have in common."""
    return service_pb2.ModelInferRequest(model_name=model, outputs=[{"name": name} for name in outputs])


def _decode_infer(reply: Any) -> dict[str, Array]:
    return {
        output.name: from_bytes(raw, output.datatype, output.shape)
        for output, raw in zip(reply.outputs, reply.raw_output_contents, strict=True)
    }


def _tensors(entries: Any) -> tuple[Tensor, ...]:
    return tuple(Tensor(entry.name, entry.datatype, tuple(entry.shape)) for entry in entries)
