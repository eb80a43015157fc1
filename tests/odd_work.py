"""Work of every odd kind, for a workshop to do: what models' code may come to, without a model."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

from sextant import errors
from sextant_export.problem import Problem

RAISED = {
    "parity": lambda: errors.ParityError("row 7", worst=0.5, tolerance=0.25),
    "problems": lambda: errors.PipelineError((Problem("steps[0]", "mend it"),)),
    "extra": lambda: errors.MissingExtra("text", "reading"),
    "input": lambda: errors.InputRefused("features", "FP32", "FP64"),
    "store": lambda: errors.StoreError("cannot write it"),
    "derived": lambda: _OfSomebodyElse("no converter"),
}


class _OfSomebodyElse(errors.ConversionError):
    """A plugin's own kind of error."""


class OddWork:
    """Does what its methods are called for; *begun* is said at once."""

    def __init__(self, narrator, begun="", forbidden=""):
        self._narrator = narrator
        if forbidden:
            raise errors.RegistryError(forbidden)
        if begun:
            with narrator.step(begun) as step:
                step.result(str(os.getpid()))

    def facts(self):
        """Where it runs."""
        limits = {name: resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))[0] for name in ("CORE", "CPU", "DATA")}
        return {"pid": os.getpid(), "group": os.getpgid(0), "environment": dict(os.environ), "limits": limits}

    def echo(self, *values):
        """The same, as JSON has it."""
        return values

    def say(self, *titles, fail=False):
        """Announce steps, the last of which may fail."""
        for title in titles:
            with self._narrator.step(title) as step:
                step.result(f"{title} done")
        if fail:
            with self._narrator.step("fail"):
                raise errors.ConversionError("it failed")

    def say_and_fail(self, title):
        """A step that ends well, and one that does not."""
        self.say(title, fail=True)

    def fail(self, kind):
        """Raise an error of the tree."""
        raise RAISED[kind]()  # noqa: RSE102

    def fail_oddly(self):
        """Raise what is not in the tree."""
        raise KeyError("what")

    def fail_to_write(self):
        """What the system refuses."""
        return open("/proc/nowhere", "wb")  # noqa: PTH123

    def allocate(self):
        """Take memory without end."""
        taken = []
        while True:
            taken.append(bytearray(16 << 20))

    def loop(self):
        """Use the processor without end."""
        while True:
            pass

    def wait(self):
        """Wait for what never comes, having started a process that does the same."""
        command = [sys.executable, "-c", "import signal; signal.pause()"]
        with subprocess.Popen(command) as waiting, self._narrator.step("waiting") as step:
            step.result(str(waiting.pid))
            waiting.wait()

    def leave(self, code):
        """End the process, as a model may."""
        os._exit(code)

    def abort(self):
        """End it as a library does."""
        os.abort()

    def print(self, words):
        """Print, as a model may."""
        sys.stdout.write(words)
        sys.stdout.flush()
