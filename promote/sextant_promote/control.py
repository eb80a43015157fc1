"""Model control of one running Triton, over gRPC, with every result looked up in the repository index."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import tritonclient.grpc as triton
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from sextant.errors import AccessDenied, ClientError, LoadFailed, ServerUnreachable
from sextant_client.failures import failure, unreachable
from sextant_client.transport import ModelMetadata

if TYPE_CHECKING:
    from typing_extensions import Self

TOKEN_HEADER = "triton-grpc-protocol-sextant-token"  # noqa: S105  its name, not a token
LOAD_TIMEOUT_S = 300.0


class Control:
    """
    The control side of the Triton at *url* (``grpc://host:port``); *token* opens its restricted calls.

    Every method raises the errors of :mod:`sextant.errors`: ``ServerUnreachable``, ``AccessDenied``, ``LoadFailed``.
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        self.url = url
        self._headers = {TOKEN_HEADER: token} if token else None
        self._client = triton.InferenceServerClient(url.removeprefix("grpc://"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def require_live(self) -> None:
        """Raise ``ServerUnreachable`` unless a Triton answers."""
        if not self._call("is_server_live", client_timeout=10.0):
            raise ServerUnreachable(f"the Triton at {self.url} answers, but is not live yet: wait for it")

    def load(self, model: str) -> None:
        """Load what the store now holds of *model*; what served before goes on serving until then, and on failure."""
        try:
            self._call("load_model", model, client_timeout=LOAD_TIMEOUT_S)
        except (AccessDenied, ServerUnreachable):
            raise
        except ClientError as error:
            raise LoadFailed(f"{model} does not load on {self.url}: {last_words(str(error))}") from error

    def unload(self, model: str) -> None:
        """Stop serving *model*; requests under way are answered first."""
        self._call("unload_model", model)

    def ready(self) -> dict[str, set[int]]:
        """The versions that are READY, by model."""
        index: dict[str, set[int]] = {}
        for entry in self._call("get_model_repository_index").models:
            versions = index.setdefault(entry.name, set())
            if entry.state == "READY":
                versions.add(int(entry.version))
        return index

    def require_ready(self, models: Mapping[str, int]) -> None:
        """Raise ``LoadFailed`` unless every model serves its version: Triton's 200 alone does not say so."""
        ready = self.ready()
        missing = [f"{m} version {v}" for m, v in models.items() if v not in ready.get(m, set())]
        if missing:
            raise LoadFailed(f"{self.url} took the load calls but does not serve {', '.join(missing)}: see its log")

    def release(self, pipeline: str) -> int | None:
        """The release that the front of *pipeline* is wired to on this server; None when it serves no such front."""
        if not self.ready().get(pipeline):
            return None
        config = self._call("get_model_config", pipeline).config
        return int(config.parameters["release"].string_value or 0) or None

    def answer(self, model: str, version: int, tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """What one *version* of *model* answers to *tensors*: all its outputs by name."""
        result = self._call("infer", model, [_input(n, a) for n, a in tensors.items()], model_version=str(version))
        names = [output.name for output in result.get_response().outputs]
        return {name: result.as_numpy(name) for name in names}

    def _call(self, method: str, *arguments: Any, **options: Any) -> Any:
        try:
            return getattr(self._client, method)(*arguments, headers=self._headers, **options)
        except InferenceServerException as error:
            raise self._named(str(arguments[0]) if arguments else "", error) from error

    def _named(self, model: str, error: InferenceServerException) -> ClientError:
        status = str(error.status()).removeprefix("StatusCode.")
        ours = failure(ModelMetadata(model), status, error.message() or "")
        return unreachable(self.url, error.message()) if isinstance(ours, ServerUnreachable) else ours


def wait_for_release(control: Control, pipeline: str, release: int, *, timeout_s: float = 5.0) -> bool:
    """Whether the front of *pipeline* serves *release* within *timeout_s*."""
    deadline = time.monotonic() + timeout_s
    while control.release(pipeline) != release:
        if time.monotonic() > deadline:
            return False
    return True


def last_words(message: str) -> str:
    r"""
    The line of a server's message that says what went wrong, without the Python traceback around it.

    >>> last_words("failed: Traceback (most recent call last):\n  File x\nValueError: width 7, not 8\n\nAt: x")
    'ValueError: width 7, not 8'
    """
    lines = [line.strip() for line in message.partition("\n\nAt:")[0].splitlines() if line.strip()]
    return lines[-1] if lines else message


def _input(name: str, array: NDArray[Any]) -> triton.InferInput:
    tensor = triton.InferInput(name, array.shape, np_to_triton_dtype(array.dtype))
    tensor.set_data_from_numpy(array)
    return tensor
