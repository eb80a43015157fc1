"""
A shadow: a release that is asked what another has answered already, to see how their answers differ.

Nobody waits for it, and what it may hold in memory is bounded: what comes while it is full is dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]

REQUESTS, BYTES = 64, 64 << 20
UNCOMPARED = frozenset({"release"})


@dataclass(frozen=True)
class Mirrored:
    """What a release was asked, and what it answered."""

    inputs: Arrays
    outputs: Arrays
    parameters: Mapping[str, Any]

    @property
    def size(self) -> int:
        """Its bytes in memory."""
        return sum(map(_size, (*self.inputs.values(), *self.outputs.values())))

    def copied(self) -> Mirrored:
        """The same, in memory of its own."""
        inputs, outputs = ({name: array.copy() for name, array in d.items()} for d in (self.inputs, self.outputs))
        return Mirrored(inputs, outputs, self.parameters)


class Shadow:
    """
    One thread that hands what is offered to *ask*, in order, of which at most *requests* and *size* bytes wait.

    *ask* must not raise.
    """

    def __init__(self, ask: Callable[[Mirrored], None], *, requests: int = REQUESTS, size: int = BYTES) -> None:
        self._ask, self._most, self._largest = ask, requests, size
        self._waiting = self._held = 0
        self._lock, self._open = Lock(), True
        self._queue: SimpleQueue[Mirrored | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name="shadow", daemon=True)
        self._thread.start()

    def offer(self, mirrored: Mirrored) -> bool:
        """Whether there was room for *mirrored*, which is then copied and asked later."""
        size = mirrored.size
        with self._lock:
            if self._waiting >= self._most or self._held + size > self._largest:
                return False
            self._waiting, self._held = self._waiting + 1, self._held + size
        self._queue.put(mirrored.copied())
        return True

    def close(self) -> None:
        """End after what is being asked; what waits is forgotten."""
        self._open = False
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (mirrored := self._queue.get()) is not None:
            if self._open:
                self._ask(mirrored)
            with self._lock:
                self._waiting, self._held = self._waiting - 1, self._held - mirrored.size


def alike(one: Mapping[str, NDArray[Any]], other: Mapping[str, NDArray[Any]], tolerance: float) -> bool:
    """
    Whether two answers say the same but for the release they are of: floats within a relative *tolerance*.

    >>> fix = {"position": np.array([[43.72, 10.4]]), "release": np.array([[1]])}
    >>> alike(fix, {"position": np.array([[43.7200001, 10.4]]), "release": np.array([[2]])}, 1e-6)
    True
    >>> alike(fix, {"position": np.array([[43.73, 10.4]]), "release": np.array([[2]])}, 1e-6)
    False
    """
    names = one.keys() - UNCOMPARED
    return names == other.keys() - UNCOMPARED and all(_alike(one[name], other[name], tolerance) for name in names)


def _alike(one: NDArray[Any], other: NDArray[Any], tolerance: float) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if one.dtype.kind == "f":
        return bool(np.allclose(one, other, rtol=tolerance, atol=tolerance * 1e-3, equal_nan=True))
    return bool(np.array_equal(one, other))


def _size(array: NDArray[Any]) -> int:
    """Bytes, those of texts included, which an array of objects only points to."""
    return array.nbytes + (sum(map(len, array.flat)) if array.dtype.kind == "O" else 0)
