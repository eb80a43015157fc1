"""The names of classes: text or whole numbers, and never a truth value, for True is 1 to a dictionary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sextant.errors import ParametersError


@dataclass(frozen=True)
class Classes:
    """
    The *names* of classes, in the order of their probabilities.

    >>> Classes(("cat", "dog")).indices([b"dog", "cat", "", "bird"]).tolist()
    [1, 0, -1, -1]
    >>> Classes((7, 3)).indices([[3], [7], [1]]).tolist()
    [1, 0, -1]
    """

    names: tuple[str, ...] | tuple[int, ...]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def dtype(self) -> str:
        """Triton's word for the type of a name."""
        return "BYTES" if isinstance(self.names[0], str) else "INT64"

    def indices(self, labels: ArrayLike) -> NDArray[np.int64]:
        """The place of each of *labels* (N,) or (N, 1) among the names, -1 where it is none of them."""
        given = np.asarray(labels).ravel()
        if (given.dtype.kind in "iu") != (self.dtype == "INT64"):
            return np.full(given.size, -1)
        if self.dtype == "INT64":
            return self._of_numbers(given)
        places = self._places
        return np.fromiter((places.get(label, -1) for label in given.tolist()), np.int64, given.size)

    def labels(self, indices: NDArray[np.int64]) -> NDArray[Any]:
        """The names at *indices* (N,) as a tensor (N, 1): whole numbers, or bytes."""
        return self._tensor[indices, None]

    @cached_property
    def _tensor(self) -> NDArray[Any]:
        if self.dtype == "INT64":
            return np.asarray(self.names, dtype=np.int64)
        return np.array([str(name).encode() for name in self.names], dtype=object)

    @cached_property
    def _places(self) -> Mapping[Any, int]:
        """Where each name stands, as text and as the bytes that Triton makes of it."""
        places: dict[Any, int] = {name: i for i, name in enumerate(self.names)}
        return places | {str(name).encode(): i for name, i in places.items()}

    @cached_property
    def _order(self) -> NDArray[np.int64]:
        return np.argsort(self._tensor)

    def _of_numbers(self, labels: NDArray[Any]) -> NDArray[np.int64]:
        at = np.searchsorted(self._tensor, labels, sorter=self._order)
        places = self._order[at.clip(max=len(self) - 1)]
        return np.where(self._tensor[places] == labels, places, -1)


def read_classes(parameters: Mapping[str, Any]) -> Classes:
    """
    The classes that a block's *parameters* list; ``ParametersError`` where they are no names.

    >>> read_classes({"classes": [True, False]})
    Traceback (most recent call last):
    sextant.errors.ParametersError: classes: True is a truth value, which counts as 1: quote it, or use whole numbers
    """
    given = parameters.get("classes")
    if not isinstance(given, Sequence) or isinstance(given, str) or len(given) < 2:
        raise ParametersError(f"classes: expected the names of two or more classes, got {given!r}")
    for name in given:
        if isinstance(name, bool):
            raise ParametersError(
                f"classes: {name} is a truth value, which counts as 1: quote it, or use whole numbers"
            )
        if not isinstance(name, (str, int)) or name == "":
            raise ParametersError(f"classes: expected text or whole numbers, got {name!r}")
        if isinstance(name, int) and not -(2**63) <= name < 2**63:
            raise ParametersError(f"classes: expected whole numbers of 64 bits, got {name}")
    if len({type(name) for name in given}) > 1:
        raise ParametersError(f"classes: expected all text or all whole numbers, got {_some(given)}")
    if len(set(given)) < len(given):
        raise ParametersError(f"classes: {next(name for name in given if given.count(name) > 1)!r} stands twice")
    return Classes(tuple(given))


def _some(names: Sequence[Any]) -> str:
    said = ", ".join(map(repr, names[:6]))
    return said + (", ..." if len(names) > 6 else "")
