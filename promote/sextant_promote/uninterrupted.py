"""Calls that Ctrl-C cannot break in the middle."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def uninterrupted(call: Callable[[], T]) -> T:
    """
    What *call* gives, or raises; in the main thread it is made by a thread of its own, and only waited for here.

    Ctrl-C is raised in the main thread between any two of Python's steps, such as one that takes a lock of a gRPC
    channel and the one that remembers to give it back. Whoever then uses the channel to take back what was half done
    would wait for ever.

    >>> uninterrupted(lambda: 6 * 7)
    42
    """
    if threading.current_thread() is not threading.main_thread():
        return call()
    made: Future[T] = Future()
    threading.Thread(target=_make, args=(call, made), name="call", daemon=True).start()
    return made.result()


def _make(call: Callable[[], T], made: Future[T]) -> None:
    try:
        made.set_result(call())
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is raised where the call was made
        made.set_exception(error)
