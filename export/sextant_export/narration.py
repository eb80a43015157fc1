"""What long work tells whoever watches: each step by its name, then by its result."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Step(Protocol):
    """A step under way."""

    def result(self, text: str) -> None:
        """Say in a few words what came of it."""


class Narrator(Protocol):
    """Whoever is told; the command line's prints a line with the time each step took."""

    def step(self, title: str) -> AbstractContextManager[Step]:
        """Announce a step; it ends with the ``with`` block."""


class Silence:
    """The narrator of a library call: says nothing."""

    @contextmanager
    def step(self, title: str) -> Iterator[Silence]:  # noqa: ARG002  a narrator's words
        """Announce nothing."""
        yield self

    def result(self, text: str) -> None:
        """Say nothing."""
