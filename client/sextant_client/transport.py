"""
The seam between what is asked and how it travels.

Everything a client ever asks a Triton is one of four frozen messages; a transport turns a message into bytes
and the reply into the answer named beside it, and a failure into a :class:`ClientError`. It knows nothing of
batches, casts or answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias

from .dtypes import Array


@dataclass(frozen=True)
class ServerReady:
    """Is the server ready? Answered by a ``bool``."""

    model = ""


@dataclass(frozen=True)
class ModelMetadata:
    """Which tensors does the model take and give? Answered by :class:`Tensors`."""

    model: str


@dataclass(frozen=True)
class ModelConfig:
    """How many rows does the model take at once, and of which table? Answered by :class:`Limits`."""

    model: str


@dataclass(frozen=True)
class ModelInfer:
    """
    What does the model answer? Answered by arrays by name.

    ``rows``: which part of a split batch it is; ``route_key``: who asks, for a router; ``trace``: W3C's headers, which
    say where in a trace it stands.
    """

    model: str
    inputs: Mapping[str, Array]
    outputs: tuple[str, ...]
    rows: tuple[int, int] | None = None
    route_key: str | None = None
    trace: tuple[tuple[str, str], ...] = ()


class Tensor(NamedTuple):
    """A tensor's name, Triton's word for its type, and its shape as the metadata gives it."""

    name: str
    dtype: str
    shape: tuple[int, ...]


class Tensors(NamedTuple):
    """What a model takes and gives."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


class Limits(NamedTuple):
    """
    What only a model's configuration says. ``max_batch_size`` 0: the model knows no batches.

    ``columns`` describes, in JSON, the table that a model takes; empty where it takes none.  ``classes`` are, in JSON
    too, what its probabilities are of; empty where it answers no label.
    """

    max_batch_size: int
    optional: frozenset[str]
    columns: str = ""
    classes: str = ""


Request: TypeAlias = ServerReady | ModelMetadata | ModelConfig | ModelInfer
Reply: TypeAlias = bool | Tensors | Limits | dict[str, Array]


class Transport(Protocol):
    """What :class:`Client` stands on; safe to use from many threads."""

    def send(self, request: Request, timeout_s: float) -> Reply:
        """Give the reply within ``timeout_s``, or raise the :class:`ClientError` that says why not."""

    def close(self) -> None:
        """Let go of every connection."""


class AsyncTransport(Protocol):
    """What :class:`AsyncClient` stands on."""

    async def asend(self, request: Request, timeout_s: float) -> Reply:
        """Give the reply within ``timeout_s``, or raise the :class:`ClientError` that says why not."""

    async def aclose(self) -> None:
        """Let go of every connection."""
