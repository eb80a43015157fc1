"""Ctrl-C ends the waiting for a call, and never the call in its middle."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from sextant_promote.uninterrupted import uninterrupted


@pytest.fixture
def ears():
    """Ctrl-C is heard even where the tests themselves were started in the background, deaf to it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_is_raised_at_once_and_the_call_goes_on_to_its_end(ears):
    """What it holds meanwhile it gives back by itself."""
    held, may_end, ended = threading.Lock(), threading.Event(), threading.Event()

    def call():
        with held:
            os.kill(os.getpid(), signal.SIGINT)
            may_end.wait(30)
        ended.set()

    with pytest.raises(KeyboardInterrupt):
        uninterrupted(call)
    locked = held.locked()
    may_end.set()

    assert locked
    assert ended.wait(30)
    assert held.acquire(timeout=30)


def test_what_a_call_raises_is_raised_where_it_was_made():
    def call():
        raise LookupError("nowhere")

    with pytest.raises(LookupError, match="nowhere"):
        uninterrupted(call)


def test_outside_the_main_thread_nothing_is_handed_on():
    made_by = []

    def call():
        made_by.append(threading.current_thread())

    other = threading.Thread(target=uninterrupted, args=(call,))
    other.start()
    other.join()

    assert made_by == [other]
