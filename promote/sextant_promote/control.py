"""Model control of one running Triton, over gRPC, with every result looked up in the repository index."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2 as messages
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub

from sextant.errors import (
    AccessDenied,
    AddressRefused,
    ClientError,
    DeadlineExceeded,
    LoadFailed,
    ServerBusy,
    ServerUnreachable,
)
from sextant_client.protobuf import CHANNEL_OPTIONS, decode, encode, translated
from sextant_client.transport import ModelInfer, ModelMetadata
from sextant_export.config import backend_of, candidate_of, release_of
from sextant_promote.uninterrupted import uninterrupted

if TYPE_CHECKING:
    from typing_extensions import Self

TOKEN_HEADER = "triton-grpc-protocol-sextant-token"  # noqa: S105  its name, not a token
TIMEOUT_S = 30.0
LOAD_TIMEOUT_S = 300.0


class Lookups(NamedTuple):
    """
    Of the requests *answered*, *hits* by what lay in the response cache; *misses* were computed and put there.

    A server that has no cache computes them all, and counts neither.
    """

    answered: int
    hits: int
    misses: int


class Control:
    """
    The control side of the Triton at *url* (``grpc://host:port``); *token* opens its restricted calls.

    Every method raises the errors of :mod:`sextant.errors`: ``ServerUnreachable``, ``AccessDenied``, ``LoadFailed``.
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        if not url.startswith("grpc://"):
            raise AddressRefused(f"{url!r}: model control goes over gRPC: write grpc://host:port")
        self.url = url
        self._metadata = ((TOKEN_HEADER, token),) if token else ()
        self._channel = grpc.insecure_channel(url.removeprefix("grpc://"), CHANNEL_OPTIONS)
        self._stub = GRPCInferenceServiceStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def require_live(self) -> None:
        """Raise ``ServerUnreachable`` unless a Triton answers, ``AccessDenied`` unless it takes our token."""
        if not self._call("ServerLive", messages.ServerLiveRequest()).live:
            raise ServerUnreachable(f"the Triton at {self.url} answers, but is not live yet: wait for it")
        self.ready()

    def version(self) -> str:
        """Which Triton it is, as it says itself."""
        return str(self._call("ServerMetadata", messages.ServerMetadataRequest()).version)

    def load(self, model: str) -> None:
        """Load what the store now holds of *model*; what served before goes on serving until then, and on failure."""
        try:
            self._call("RepositoryModelLoad", messages.RepositoryModelLoadRequest(model_name=model), LOAD_TIMEOUT_S)
        except (AccessDenied, DeadlineExceeded, ServerBusy, ServerUnreachable):  # of the server, not of the model
            raise
        except ClientError as error:
            raise LoadFailed(f"{model} does not load on {self.url}: {last_words(str(error))}") from error

    def unload(self, model: str) -> None:
        """Stop serving *model*; requests under way are answered first."""
        self._call("RepositoryModelUnload", messages.RepositoryModelUnloadRequest(model_name=model))

    def ready(self) -> dict[str, set[int]]:
        """The versions that are READY, by model."""
        return self._versions("READY")

    def draining(self, model: str) -> set[int]:
        """The versions of *model* that take no requests any more and still have some under way."""
        return self._versions("UNLOADING").get(model, set())

    def require_ready(self, models: Iterable[tuple[str, int]]) -> None:
        """Raise ``LoadFailed`` unless every model serves its version: Triton's 200 alone does not say so."""
        ready = self.ready()
        missing = [f"{m} version {v}" for m, v in models if v not in ready.get(m, set())]
        if missing:
            raise LoadFailed(f"{self.url} took the load calls but does not serve {', '.join(missing)}: see its log")

    def release(self, pipeline: str) -> int | None:
        """The release that the front of *pipeline* is wired to on this server; None when it serves no such front."""
        front = self._front(pipeline)
        return None if front is None else release_of(front)

    def candidate(self, pipeline: str) -> int | None:
        """The release that the front of *pipeline* tries on this server, beside the one it is wired to; None: none."""
        front = self._front(pipeline)
        return None if front is None else candidate_of(front)

    def backend(self, model: str, version: int) -> str | None:
        """The Triton backend by which this server serves *version* of *model*; None where it does not."""
        if version not in self.ready().get(model, set()):
            return None
        asked = messages.ModelConfigRequest(name=model, version=str(version))
        return backend_of(self._call("ModelConfig", asked).config)

    def answer(self, model: str, version: int, tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """What one *version* of *model* answers to *tensors*: all its outputs by name."""
        request = ModelInfer(model, tensors, outputs=())
        message = encode(request)
        message.model_version = str(version)
        answers: dict[str, NDArray[Any]] = decode(request, self._call("ModelInfer", message))  # type: ignore[assignment]
        return answers

    def lookups(self, model: str) -> Lookups | None:
        """How requests to *model* fared with this server's response cache; None where it does not serve it."""
        if not self.ready().get(model):
            return None
        (told,) = self._call("ModelStatistics", messages.ModelStatisticsRequest(name=model)).model_stats
        counts = told.inference_stats
        return Lookups(counts.success.count, counts.cache_hit.count, counts.cache_miss.count)

    def _front(self, pipeline: str) -> Any | None:
        if not self.ready().get(pipeline):
            return None
        return self._call("ModelConfig", messages.ModelConfigRequest(name=pipeline)).config

    def _versions(self, state: str) -> dict[str, set[int]]:
        """The versions in this state, by model; a model without any is there all the same."""
        index: dict[str, set[int]] = {}
        for entry in self._call("RepositoryIndex", messages.RepositoryIndexRequest()).models:
            versions = index.setdefault(entry.name, set())
            if entry.state == state:
                versions.add(int(entry.version))
        return index

    def _call(self, method: str, message: Any, timeout_s: float = TIMEOUT_S) -> Any:
        send = getattr(self._stub, method)
        try:
            return uninterrupted(lambda: send(message, timeout=timeout_s, metadata=self._metadata))
        except grpc.RpcError as error:
            model = getattr(message, "model_name", "")
            raise translated(ModelMetadata(model), error, self.url, timeout_s) from error


def last_words(message: str) -> str:
    r"""
    The line of a server's message that says what went wrong, without the Python traceback around it.

    >>> last_words("failed: Traceback (most recent call last):\n  File x\nValueError: width 7, not 8\n\nAt: x")
    'ValueError: width 7, not 8'
    """
    lines = [line.strip() for line in message.partition("\n\nAt:")[0].splitlines() if line.strip()]
    return lines[-1] if lines else message
