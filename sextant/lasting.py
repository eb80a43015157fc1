"""
Objects that live as long as their process, to the very end.

A metric of Triton's tells the server when it is taken apart. Python does that when the process of a model ends, when
there is no server to tell any more, and Triton 24.10's process then ends by a segmentation fault, after it has answered
everything. What is never taken apart tells nobody; and the server keeps what was counted.
"""

from __future__ import annotations

from ctypes import py_object, pythonapi
from typing import TypeVar

T = TypeVar("T")


def lasting(thing: T) -> T:
    """
    The same *thing*, with one reference more that nobody gives back.

    >>> from sys import getrefcount
    >>> thing = object()
    >>> before = getrefcount(thing)
    >>> lasting(thing) is thing, getrefcount(thing) - before
    (True, 1)
    """
    pythonapi.Py_IncRef(py_object(thing))
    return thing
