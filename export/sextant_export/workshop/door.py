"""The door to the child: orders work, hears the narration, raises the child's errors as this process's own."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any

from sextant_export.narration import Narrator, Silence, Step
from sextant_export.workshop.child import Order
from sextant_export.workshop.forks import Fork, fork, import_path, warm
from sextant_export.workshop.limits import Limits, ended, out_of_time
from sextant_export.workshop.secrets import without_secrets
from sextant_export.workshop.wire import raised, unpacked

if TYPE_CHECKING:
    from typing_extensions import Self

_STATUS_BYTES = 4096


class Workshop:
    """
    One child process with *limits* and what it has made; its steps are told to *narrator*.

    ``begin`` starts it, ``call`` asks it, ``close`` (or the end of a ``with`` block) ends it and all it started.
    """

    def __init__(self, limits: Limits | None = None, narrator: Narrator | None = None) -> None:
        self.limits = limits or Limits()
        self._narrator = narrator or Silence()
        self._child: Fork | None = None
        self._left_s = self.limits.time_s

    def __enter__(self) -> Self:
        """Get ready behind the caller's back."""
        warm()
        return self

    def __exit__(self, *exception: object) -> None:
        """End the child."""
        self.close()

    def begin(self, kind: str, *arguments: Any, about: str, modules: Sequence[str] = (), **environment: str) -> None:
        """
        Have a child make a *kind*, ``module:class``, of a narrator and *arguments*, which must be no secrets.

        *modules* are imported before it is forked, and stay with the fork server; *environment* is added to the
        child's, which is this process's without secrets. Errors are about *about*, here and in ``call``.
        """
        self.close()
        self._child = fork(modules)
        order = Order(
            limits=self.limits,
            environment=without_secrets(os.environ) | environment,
            folder=os.getcwd(),  # noqa: PTH109  a word for the child
            path=import_path(),
            kind=kind,
            arguments=arguments,
        )
        self._asked(order, about)

    def call(self, name: str, *arguments: Any, about: str) -> Any:
        """
        What the method *name* of what was made answers to *arguments*: plain JSON values.

        Its errors are raised here as what they were there; ``ModelStopped`` where the child ended, or went too far.
        """
        return self._asked((name, arguments), about)

    def close(self) -> None:
        """End the child, with its process group, and wait until it is gone."""
        if self._child is not None:
            child, self._child = self._child, None
            child.channel.close()
            with child.life as life, suppress(OSError):
                life.shutdown(socket.SHUT_WR)
                life.recv(_STATUS_BYTES)

    def _asked(self, question: Any, about: str) -> Any:
        if self._child is None:
            raise RuntimeError("begin() comes before call()")
        with suppress(ConnectionError):  # it has ended: how, it is asked below
            self._child.channel.send(question)
        with ExitStack() as steps:
            step: Step = Silence()
            for message in self._messages(self._child, about):
                if "begin" in message:
                    step = steps.enter_context(self._narrator.step(message["begin"]))
                elif "result" in message:
                    step.result(message["result"])
                elif "end" in message:
                    steps.close()
                elif "error" in message:
                    raise raised(message["error"], about, self.limits)
                else:
                    return message["answer"]
        return None

    def _messages(self, child: Fork, about: str) -> Iterator[dict[str, Any]]:
        """What the child says, one after another, while there is time."""
        while True:
            began = time.monotonic()
            ready = wait([child.channel, child.life], max(self._left_s, 0.0))
            self._left_s -= time.monotonic() - began
            if not ready:
                raise out_of_time(about, self.limits)
            message = _received(child) if child.channel in ready else None
            if message is None:
                raise ended(_status(child), about, self.limits)
            yield message


def _received(child: Fork) -> dict[str, Any] | None:
    """The next message, or None where the child has none left: what a dying one wrote last may be cut short."""
    try:
        return unpacked(child.channel.recv_bytes())
    except (EOFError, OSError, ValueError):
        return None


def _status(child: Fork) -> dict[str, Any]:
    """How it ended; a child that only stopped talking is ended first."""
    child.channel.close()
    with suppress(OSError, ValueError):
        child.life.shutdown(socket.SHUT_WR)
        return dict(json.loads(child.life.recv(_STATUS_BYTES)))
    return {}
