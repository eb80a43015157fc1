"""A child of the fork server: it settles within its limits, then works until the pipe closes."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from sextant_export.narration import Narrator
from sextant_export.workshop.limits import Limits
from sextant_export.workshop.wire import described, packed


@dataclass(frozen=True, kw_only=True)
class Order:
    """
    What a child is told first: how to settle, and what to make.

    *kind* is ``module:class``; its object is made of *arguments*, with a narrator first, and answers the calls.
    """

    limits: Limits
    environment: dict[str, str] = field(repr=False)
    folder: str
    path: list[str] = field(repr=False)
    kind: str
    arguments: tuple[Any, ...]


def work(descriptor: int) -> None:
    """Do what comes on the pipe, one call after another, until it closes."""
    channel = Connection(descriptor)
    made: list[Any] = []
    while (call := _received(channel)) is not None:
        _answer(channel, made, call)


def _received(channel: Connection) -> Any | None:
    """The next call; None once nobody calls any more.  It comes from Sextant itself, so a pickle it may be."""
    try:
        return channel.recv()
    except EOFError:
        return None


def _answer(channel: Connection, made: list[Any], call: Any) -> None:
    try:
        if isinstance(call, Order):
            made.append(_begun(channel, call))
            answer = None
        else:
            name, arguments = call
            answer = getattr(made[0], name)(*arguments)
        channel.send_bytes(packed({"answer": answer}))
    except Exception as error:  # noqa: BLE001  all of them cross the pipe
        channel.send_bytes(packed({"error": described(error)}))


def _begun(channel: Connection, order: Order) -> Any:
    os.environ.clear()
    os.environ.update(order.environment)
    os.chdir(order.folder)
    sys.path[:] = order.path
    tempfile.tempdir = None  # looked up once by whatever the fork server imported
    importlib.invalidate_caches()
    order.limits.settle()
    module, _, name = order.kind.partition(":")
    return getattr(importlib.import_module(module), name)(_Told(channel), *order.arguments)


class _Told(Narrator):
    """The narrator of a child: its words are said on the other side, one step at a time."""

    def __init__(self, channel: Connection) -> None:
        self._channel = channel

    @contextmanager
    def step(self, title: str) -> Iterator[_Told]:
        """Announce a step; where it fails, the error itself ends it on the other side."""
        self._channel.send_bytes(packed({"begin": title}))
        yield self
        self._channel.send_bytes(packed({"end": title}))

    def result(self, text: str) -> None:
        """Say what came of it."""
        self._channel.send_bytes(packed({"result": text}))
