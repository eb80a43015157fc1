"""Any call as a request of Locust's: how long it took, and what became of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sextant.errors import SextantError


@dataclass
class Call:
    """What is done in the ``with`` block of :func:`request_event`; after it, the *error* it ended with, or None."""

    error: SextantError | None = None


@contextmanager
def request_event(request: Any, protocol: str, name: str, users: str) -> Iterator[Call]:
    """
    The ``with`` block as one *request* event of this class of *users*; an error of ours is counted, and not raised.

    Of a call that is cut off, as by the end of a load, no event is made: it was neither answered nor refused.
    """
    call, begun = Call(), time.monotonic()
    try:
        yield call
    except SextantError as error:
        call.error = error
    took_ms = (time.monotonic() - begun) * 1000
    request.fire(
        request_type=protocol,
        name=name,
        response_time=took_ms,
        response_length=0,
        exception=call.error,
        start_time=time.time() - took_ms / 1000,
        context={"users": users, "begun": begun},
    )
