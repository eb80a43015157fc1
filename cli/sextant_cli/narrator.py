"""
The narration of a long command: one line a step, with its time and what came of it.

A person at a terminal sees a bar while a step runs; a log file sees plain lines and no control characters.
Everything goes to stderr, so that stdout stays free for the one JSON object a script reads.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

PLAIN_INTERVAL_S = 2.0
"""In a log file, how long to wait before the next line about the same step."""


@dataclass
class Step:
    """One step while it runs: tell it how far it is, and at the end what came of it."""

    name: str
    progress: Progress
    plain: Console | None
    outcome: str = ""
    began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self._bar = self.progress.add_task(self.name, total=None, count="")
        self._last_line = self.began

    @property
    def elapsed_s(self) -> float:
        """Seconds since the step began."""
        return time.monotonic() - self.began

    def at(self, done: int, total: int, what: str = "") -> None:
        """*done* of *total* pieces are behind us; *what* is being done now."""
        title, count = f"{self.name} {what}".rstrip(), f"{done:,}/{total:,}"
        self.progress.update(self._bar, completed=done, total=total, count=count, description=title)
        now = time.monotonic()
        if self.plain is not None and (done == total or now - self._last_line >= PLAIN_INTERVAL_S):
            self._last_line = now
            self.plain.print(Text(f"{'':>8}  {self.name} {done:,}/{total:,} {what}".rstrip()))

    def result(self, outcome: str) -> None:
        """What came of it, in a few words with numbers."""
        self.outcome = outcome


class Narrator:
    """
    Announces steps, and remembers in ``seconds`` how long those that begin with the same word took together.

    >>> import io
    >>> narrator = Narrator(io.StringIO())
    >>> with narrator.step("fuse") as step:
    ...     step.result("3 members")
    >>> list(narrator.seconds)
    ['fuse']
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self.console = Console(file=stream, stderr=True, highlight=False, soft_wrap=True)
        self.seconds: dict[str, float] = {}

    def say(self, sentence: str = "") -> None:
        """One line that belongs to no step."""
        self.console.print(Text(sentence))

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """A step of this *name*; its line is printed when it ends, however it ends."""
        terminal = self.console.is_terminal
        with _bar(self.console, shown=terminal) as progress:
            step = Step(name, progress, plain=None if terminal else self.console)
            try:
                yield step
            except KeyboardInterrupt:
                step.result("interrupted")
                raise
            except BaseException:
                step.result("failed")
                raise
            finally:
                progress.stop()
                self._close(step)

    def _close(self, step: Step) -> None:
        phase = step.name.split()[0]
        self.seconds[phase] = round(self.seconds.get(phase, 0.0) + step.elapsed_s, 3)
        self.console.print(
            Text.assemble(
                (f"{step.elapsed_s:6.1f} s", "cyan"),
                (f"  {step.name}", "bold"),
                f": {step.outcome}" if step.outcome else "",
            )
        )


def _bar(console: Console, *, shown: bool) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TextColumn("{task.fields[count]}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not shown,
    )
