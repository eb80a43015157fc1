"""What ends a watch's sleep: somebody rings, or it is time."""

from __future__ import annotations

from queue import Empty, SimpleQueue


class Bell:
    """
    Rung by a webhook for a pass at once, or by a signal to end after the step under way; *ended* says the latter.

    Its queue is the one of Python's that a signal handler may put into while the same thread waits on it.

    >>> bell = Bell()
    >>> bell.ring()
    >>> bell.wait(60.0), bell.wait(0.0), bell.ended
    (True, False, False)
    """

    def __init__(self) -> None:
        self.ended = False
        self._rung: SimpleQueue[None] = SimpleQueue()

    def ring(self) -> None:
        """Ask for a pass at once."""
        self._rung.put(None)

    def end(self) -> None:
        """Ask for the end."""
        self.ended = True
        self.ring()

    def wait(self, timeout_s: float) -> bool:
        """Whether it rang within *timeout_s*; a burst counts once."""
        try:
            self._rung.get(timeout=max(timeout_s, 0.0))
        except Empty:
            return False
        while not self._rung.empty():
            self._rung.get()
        return True
