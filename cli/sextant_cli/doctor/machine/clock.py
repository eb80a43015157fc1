"""Whether this machine's clock is kept right."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

from sextant_cli.doctor.check import Check, NotMade
from sextant_cli.doctor.finding import NOTE, Finding
from sextant_cli.doctor.machine.here import Here

# The kernel's struct timex with modes = 0, which asks and sets nothing; it is 208 bytes long on 64-bit Linux.
_TIMEX_BYTES, _UNSYNCHRONIZED = 512, 5


def _look(_: Here) -> Iterator[Finding]:
    if (state := kernel_clock()) is None:
        raise NotMade("this kernel does not say")
    if state == _UNSYNCHRONIZED:
        yield Finding(
            severity=NOTE,
            found="the kernel's clock is not synchronised",
            why="receipts, canaries and the metrics of several machines are put in order by it",
            change="run a time service: apt install chrony, or timedatectl set-ntp true",
        )


def kernel_clock() -> int | None:
    """What ``adjtimex(2)`` says of the clock, 0 to 5; None where it says nothing."""
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (AttributeError, OSError):
        return None
    return None if state < 0 else int(state)


CLOCK = Check("clock", "Is the clock synchronised?", _look)
