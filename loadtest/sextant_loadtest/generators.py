"""The child processes in which Locust runs: started together, read line by line, ended for certain."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from sextant.answers import Kind
from sextant.errors import LoadTestError
from sextant_export.evidence import pack_proof
from sextant_export.signature import Feed
from sextant_loadtest.measurements import Report

if TYPE_CHECKING:
    from typing_extensions import Self

    from sextant_loadtest.load import LoadPlan

ROWS = "rows"
COMMAND = (sys.executable, "-m", "sextant_loadtest.swarm.generator")
STOP_S = 5.0
"""What a generator has beyond a request's own timeout to end after it was told to."""

Process: TypeAlias = "subprocess.Popen[str]"


class Generators:
    """
    As many processes as *plan* says, each with its share of the users, who ask with rows of *inputs*.

    *kind* is what the pipeline answers.

    They have a session of their own, so that Ctrl-C reaches this process alone, which then tells them to stop. Should
    this one be killed, they end by themselves.
    """

    def __init__(self, plan: LoadPlan, inputs: Feed, kind: Kind) -> None:
        self._plan, self._inputs, self._kind = plan, inputs, kind
        self._lines: queue.SimpleQueue[tuple[int, str]] = queue.SimpleQueue()
        self._processes: list[Process] = []
        self._open: set[int] = set()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Start them, and let all begin at one moment, once all are ready."""
        with ExitStack() as stack:
            self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sextant-load-")))
            stack.callback(self._kill)
            pack_proof(self._folder / "rows.npz", {ROWS: (self._inputs, {})})
            dealt = shares(self._plan.users, self._plan.processes, len(self._plan.urls))
            for number, users in enumerate(dealt):
                self._processes.append(self._start(number, users))
            for process in self._processes:
                self._await_ready(process)
            for number, process in enumerate(self._processes):
                self._begin(number, process)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def reports(self) -> Iterator[Report]:
        """What they report, until all have ended; ``LoadTestError`` where one broke."""
        while self._open:
            number, line = self._lines.get()
            if line:
                yield {**json.loads(line), "process": number}
            else:
                self._open.discard(number)
                self._require_sound(number)

    def stopped(self) -> Iterator[Report]:
        """Tell those that still run to stop, and give what they report last."""
        for process in self._processes:
            process.terminate()
        yield from self.reports()

    def _start(self, number: int, users: int) -> Process:
        share = replace(self._plan, users=users).to_dict()
        of_its_own = {"number": number, "kind": self._kind, "rows_file": str(self._folder / "rows.npz")}
        task = {**share, **of_its_own, "token": self._plan.token}
        with (self._folder / f"{number}.log").open("w") as log:
            process = subprocess.Popen(
                COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        assert process.stdin is not None  # noqa: S101  a pipe
        with suppress(BrokenPipeError):
            process.stdin.write(json.dumps(task) + "\n")
            process.stdin.flush()
        return process

    def _await_ready(self, process: Process) -> None:
        assert process.stdout is not None  # noqa: S101  a pipe
        if not process.stdout.readline():
            process.wait()
            self._require_sound(self._processes.index(process))

    def _begin(self, number: int, process: Process) -> None:
        assert process.stdin is not None  # noqa: S101  a pipe
        self._open.add(number)
        threading.Thread(target=self._read, args=(number, process.stdout), daemon=True).start()
        with suppress(BrokenPipeError):
            process.stdin.write("go\n")
            process.stdin.flush()

    def _read(self, number: int, stdout: Any) -> None:
        for line in stdout:
            self._lines.put((number, line))
        self._lines.put((number, ""))

    def _require_sound(self, number: int) -> None:
        process = self._processes[number]
        try:
            code = process.wait(self._plan.timeout_s + STOP_S)
        except subprocess.TimeoutExpired:
            return
        if code:
            said = (self._folder / f"{number}.log").read_text(encoding="utf-8").strip().splitlines()
            raise LoadTestError(f"the load generator ended with code {code}: {said[-1] if said else 'it said nothing'}")

    def _kill(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with suppress(BrokenPipeError):
                        pipe.close()


def shares(users: int, processes: int, protocols: int = 1) -> list[int]:
    """
    *users* dealt out over *processes*, none of which goes without a user of each of so many *protocols*.

    A process deals its own users over the protocols, so all but the last have as many of each.

    >>> shares(100, 3), shares(2, 5), shares(7, 2, protocols=2), shares(4, 4, protocols=2)
    ([34, 33, 33], [1, 1], [4, 3], [2, 2])
    """
    rounds, over = divmod(users, protocols)
    count = min(rounds, processes)
    dealt = [protocols * (rounds // count + (place < rounds % count)) for place in range(count)]
    return [*dealt[:-1], dealt[-1] + over]
