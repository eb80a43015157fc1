"""Ctrl-C and SIGTERM: both end what is under way in the same manner, and neither is ever lost."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs


class Terminated(KeyboardInterrupt):
    """SIGTERM, as a cancelled job or a stopped container sends it: what is under way is taken back as by Ctrl-C."""


@contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM raises ``Terminated`` in the main thread until the ``with`` block ends."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(_number: int, _frame: FrameType | None) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


_AGAIN_S = 0.02
"""After so long an interrupt comes once more: by then Python has freed what it was freeing."""


@contextmanager
def never_lost() -> Iterator[None]:
    """
    An interrupt that comes while Python frees an object comes once more, until the ``with`` block ends.

    Python has nobody to raise it to in a ``__del__`` or a weak reference's callback: it would be printed and forgotten.
    """
    before = sys.unraisablehook

    def hook(lost: UnraisableHookArgs) -> None:
        if issubclass(lost.exc_type, KeyboardInterrupt):
            number = signal.SIGTERM if issubclass(lost.exc_type, Terminated) else signal.SIGINT
            threading.Timer(_AGAIN_S, signal.pthread_kill, [threading.main_thread().ident, number]).start()
        else:
            before(lost)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before
