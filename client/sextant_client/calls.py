"""
Every call as a conversation without I/O: a generator yields what it wants asked and receives the replies.

Whoever drives it, with threads or with an event loop (:mod:`.drive`), may ask the messages of one step at the
same time; their replies come back in order. So the logic of a call is typed once.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar, cast

import numpy as np

from sextant.answers import from_tensors, kind
from sextant.errors import AccessDenied, DeadlineExceeded, ModelNotReady, RequestRefused, ServerUnreachable

from . import traces
from .contract import Batch, Contract
from .dtypes import Array
from .metrics import ClientMetrics
from .transport import Limits, ModelConfig, ModelMetadata, Reply, Request, ServerReady, Tensors
from .unanswered import refuse_unanswered

T = TypeVar("T")
Call: TypeAlias = Generator[Sequence[Request], Sequence[Reply], T]
Key: TypeAlias = str | int | None
"""What a router keeps a caller's requests together by; a number is routed as its digits."""

UNLIMITED = 2**31 - 1


def is_ready() -> Call[bool]:
    """Whether the server is ready for requests."""
    try:
        (ready,) = yield [ServerReady()]
    except (ServerUnreachable, DeadlineExceeded, RequestRefused):  # HTTP says "not yet" with 400
        return False
    return bool(ready)


class PipelineCalls:
    """What can be asked of one pipeline; reads its contract before the first call and keeps it."""

    def __init__(self, model: str, peer: traces.Peer, metrics: ClientMetrics) -> None:
        self.model = model
        self._peer, self._timed = peer, metrics.calls(model)
        self._contract: Contract | None = None

    def answers(self, positional: Sequence[Any], named: Mapping[str, Any], route_key: Key = None) -> Call[Any]:
        """The typed answers: one for a single row, a list for a batch."""
        with self._timed():
            return (yield from self._answers(positional, named, route_key))

    def tensors(
        self, positional: Sequence[Any], named: Mapping[str, Any], route_key: Key = None
    ) -> Call[dict[str, Array]]:
        """The arrays as the server gave them, rows first."""
        with self._timed():
            _, tensors = yield from self._ask(positional, named, route_key)
            return tensors

    def _answers(self, positional: Sequence[Any], named: Mapping[str, Any], route_key: Key) -> Call[Any]:
        batch, tensors = yield from self._ask(positional, named, route_key)
        if (answered := kind(tensors)) != "tensors":
            refuse_unanswered(self.model, answered, batch.arrays, tensors)
            answers = from_tensors(tensors, self._contract.classes if self._contract else ())
            return answers[0] if batch.single else answers
        if batch.index is not None and self._contract and self._contract.table:
            table = self._contract.table.answer(tensors, batch.index)
            return tensors if table is None else table
        return {name: array[0] for name, array in tensors.items()} if batch.single else tensors

    def _ask(
        self, positional: Sequence[Any], named: Mapping[str, Any], route_key: Key
    ) -> Call[tuple[Batch, dict[str, Array]]]:
        with traces.call(self.model, self._peer) as call:
            contract = self._contract or (yield from self._read_contract())
            batch = contract.batch(positional, named)
            if not batch.rows and contract.outputs:
                return batch, contract.nothing()
            requests = contract.requests(batch, None if route_key is None else str(route_key))
            try:
                replies = yield call.carried(requests, batch.rows)
            except (RequestRefused, ModelNotReady):
                self._contract = None  # another release may be served by now: read it again next time
                raise
            return batch, _joined(cast("Sequence[dict[str, Array]]", replies))

    def _read_contract(self) -> Call[Contract]:
        (tensors,) = yield [ModelMetadata(self.model)]
        limits = yield from self._read_limits(cast("Tensors", tensors))
        self._contract = Contract.of(self.model, cast("Tensors", tensors), limits)
        return self._contract

    def _read_limits(self, tensors: Tensors) -> Call[Limits]:
        try:
            (limits,) = yield [ModelConfig(self.model)]
        except AccessDenied:
            return _guessed(tensors)
        return cast("Limits", limits)


def _guessed(tensors: Tensors) -> Limits:
    """Limits where the configuration is closed to us: a first dimension open everywhere is the batch's."""
    batched = all(tensor.shape[:1] == (-1,) for tensor in (*tensors.inputs, *tensors.outputs))
    return Limits(UNLIMITED if batched else 0, frozenset())


def _joined(parts: Sequence[dict[str, Array]]) -> dict[str, Array]:
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
