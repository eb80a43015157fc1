"""Ctrl-C and SIGTERM that come while Python frees an object, where it can raise nothing."""

from __future__ import annotations

import signal
import sys
import threading

import pytest

from sextant_cli.interrupts import Terminated, never_lost, terminated_as_interrupted


class Freed:
    """What is sent *number* at the moment it is freed."""

    def __init__(self, number):
        self.number = number

    def __del__(self):
        signal.raise_signal(self.number)


def free(number):
    """Something that is sent *number* just then; and wait until somebody interrupts."""
    freed = Freed(number)
    del freed
    threading.Event().wait(30)


@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)])
def test_an_interrupt_while_an_object_is_freed_comes_again(number, error):
    with pytest.raises(KeyboardInterrupt) as raised, terminated_as_interrupted(), never_lost():
        free(number)

    assert raised.type is error


def test_other_errors_of_a_freed_object_are_told_as_before(monkeypatch):
    class Broken:
        def __del__(self):
            raise OSError

    told = []
    monkeypatch.setattr(sys, "unraisablehook", lambda lost: told.append(lost.exc_type))
    with never_lost():
        broken = Broken()
        del broken

    assert told == [OSError]
