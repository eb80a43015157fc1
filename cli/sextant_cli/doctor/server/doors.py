"""
The two doors of a Triton, gRPC and HTTP, and the few questions that are asked through them.

Every question reads. Nothing is loaded, unloaded, registered or set, and no model is asked: ``CALLS`` is all there is,
and ``docs/doctor.md`` lists it.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import cached_property
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple
from urllib.parse import quote

import grpc
from google.protobuf import json_format
from tritonclient.grpc import service_pb2 as messages
from tritonclient.grpc.model_config_pb2 import ModelConfig
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub

from sextant.errors import AccessDenied, ModelNotReady, RequestRefused
from sextant_client.address import Address, parse
from sextant_client.credentials import Credentials
from sextant_client.failures import failure, unreachable
from sextant_client.protobuf import CHANNEL_OPTIONS, translated
from sextant_client.transport import ModelMetadata
from sextant_server.address import TOKEN_HEADER
from sextant_server.control import ModelState

TIMEOUT_S = 10.0
NOBODYS = Credentials()
_SERVER = ModelMetadata("")
_STATE = [field.name for field in fields(ModelState)]


class Call(NamedTuple):
    """One question: the gRPC method and its empty message, the HTTP method and path that ask the same."""

    grpc: str
    message: Any
    http: str
    path: str


CALLS: Mapping[str, Call] = MappingProxyType(
    {
        "metadata": Call("ServerMetadata", messages.ServerMetadataRequest, "GET", "/v2"),
        "model-repository": Call("RepositoryIndex", messages.RepositoryIndexRequest, "POST", "/v2/repository/index"),
        "shared-memory": Call(
            "SystemSharedMemoryStatus",
            messages.SystemSharedMemoryStatusRequest,
            "GET",
            "/v2/systemsharedmemory/status",
        ),
        "trace": Call("TraceSetting", messages.TraceSettingRequest, "GET", "/v2/trace/setting"),
        "logging": Call("LogSettings", messages.LogSettingsRequest, "GET", "/v2/logging"),
        "model-config": Call("ModelConfig", messages.ModelConfigRequest, "GET", "/v2/models/NAME/versions/N/config"),
    }
)
"""Each API group of Triton that is looked at, by the one call of it that only reads."""

CONTROL = ("model-repository", "shared-memory", "trace", "logging")
"""The groups that change a server, and that nobody without the token should reach."""


@dataclass(frozen=True)
class Door(ABC):
    """
    One protocol of a Triton, at *address*; *flag* is the option of tritonserver that closes groups of its APIs.

    *token* opens those that are closed, *credentials* say whose certificates are believed and who asks.
    """

    address: Address
    token: str | None = None
    credentials: Credentials = NOBODYS
    flag: ClassVar[str]

    @abstractmethod
    def version(self) -> str:
        """Which Triton it is."""

    @abstractmethod
    def index(self) -> list[ModelState]:
        """Every model that the server knows, one entry a version."""

    @abstractmethod
    def config(self, model: str, version: str) -> Any:
        """The configuration of *model* as the server completed it, a ``ModelConfig``."""

    def opens(self, group: str) -> bool:
        """Whether *group* answers without a token; a ``ClientError`` where that cannot be known."""
        try:
            self._ask(group)
        except (AccessDenied, ModelNotReady, RequestRefused):  # refused, not there, switched off
            return False
        return True

    @property
    def _headers(self) -> dict[str, str]:
        """What every call shows to a proxy: over TLS alone, else it would be anybody's."""
        return self.credentials.headers if self.address.secure else {}

    @abstractmethod
    def _ask(self, group: str, token: str | None = None) -> Any:
        """What the call of *group* answers to whoever has *token*."""


class GrpcDoor(Door):
    """gRPC, over TLS where the address says so."""

    flag = "--grpc-restricted-protocol"

    def version(self) -> str:
        """Which Triton it is."""
        return str(self._ask("metadata", token=self.token).version)

    def index(self) -> list[ModelState]:
        """Every model that the server knows."""
        models = self._ask("model-repository", token=self.token).models
        return [ModelState(entry.name, entry.version, entry.state, entry.reason) for entry in models]

    def config(self, model: str, version: str) -> Any:
        """The configuration of *model*."""
        return self._ask("model-config", token=self.token, name=model, version=version).config

    @cached_property
    def _stub(self) -> GRPCInferenceServiceStub:
        if self.address.secure:
            trusted = grpc.ssl_channel_credentials(self.credentials.roots())
            return GRPCInferenceServiceStub(grpc.secure_channel(self.address.netloc, trusted, CHANNEL_OPTIONS))
        return GRPCInferenceServiceStub(grpc.insecure_channel(self.address.netloc, CHANNEL_OPTIONS))

    def _ask(self, group: str, token: str | None = None, **about: str) -> Any:
        call = CALLS[group]
        headers = [(name.lower(), value) for name, value in self._headers.items()]
        headers += [(f"triton-grpc-protocol-{TOKEN_HEADER}", token)] if token else []
        try:
            return getattr(self._stub, call.grpc)(call.message(**about), timeout=TIMEOUT_S, metadata=headers)
        except grpc.RpcError as error:
            raise translated(_SERVER, error, self.address.url, TIMEOUT_S) from error


class HttpDoor(Door):
    """HTTP, over TLS where the address says so."""

    flag = "--http-restricted-api"

    def version(self) -> str:
        """Which Triton it is."""
        with self._a_triton():
            return str(self._ask("metadata", token=self.token)["version"])

    def index(self) -> list[ModelState]:
        """Every model that the server knows."""
        with self._a_triton():
            entries = self._ask("model-repository", token=self.token)
            return [ModelState(**{word: entry[word] for word in _STATE if word in entry}) for entry in entries]

    def config(self, model: str, version: str) -> Any:
        """The configuration of *model*."""
        path = f"/v2/models/{quote(model)}/versions/{version}/config"
        with self._a_triton():
            said = self._ask("model-config", self.token, path)
            return json_format.ParseDict(said, ModelConfig(), ignore_unknown_fields=True)

    @contextmanager
    def _a_triton(self) -> Iterator[None]:
        """Whatever does not have the form of Triton's answers is somebody else's."""
        try:
            yield
        except (KeyError, TypeError, AttributeError, ValueError, json_format.ParseError) as error:
            raise unreachable(self.address.url, "what answers there is no Triton") from error

    def _ask(self, group: str, token: str | None = None, path: str | None = None) -> Any:
        call = CALLS[group]
        status, body = self._call(
            call.http, path or call.path, self._headers | ({TOKEN_HEADER: token} if token else {})
        )
        if status != 200:
            raise failure(_SERVER, status, _sentence(status, body))
        with self._a_triton():
            return json.loads(body)

    def _call(self, method: str, path: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
        connection = self._connection()
        try:
            connection.request(method, path, headers=dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, HTTPException) as error:
            raise unreachable(self.address.url, error) from error
        finally:
            connection.close()

    def _connection(self) -> HTTPConnection:
        host, port = self.address.host, self.address.port
        if self.address.secure:
            return HTTPSConnection(host, port, timeout=TIMEOUT_S, context=self.credentials.context())
        return HTTPConnection(host, port, timeout=TIMEOUT_S)


def door(url: str, token: str | None, credentials: Credentials) -> Door:
    """The door at *url*, ``grpc://host:port`` or ``http://host:port``, or the same over TLS; else AddressRefused."""
    address = parse(url)
    return (HttpDoor if address.over_http else GrpcDoor)(address, token, credentials)


def _sentence(status: int, body: bytes) -> str:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP status: {status}"
