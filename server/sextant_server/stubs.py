"""The Python processes of a server, one for every instance of a Python model."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil

from sextant_server.installation import STUB

# A model class without a base and without this word has nothing to do at its end.
_PLAIN_CLASS = re.compile(r"^class TritonPythonModel\s*(\(\s*(object)?\s*\))?\s*:", re.MULTILINE)

# A block's end sends its spans and counts, for a server that goes on; one that traces is left to end by itself anyway.
_BLOCK = "from sextant.backend import Shell\n"
_END_OF_BLOCK = "    def finalize(self) -> None:\n        self.shell.close()\n"


def living_stubs(server_pid: int) -> list[list[str]]:
    """The command lines of the server's Python processes; the name of its model instance is in each."""
    try:
        children = psutil.Process(server_pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    lines = (_command_line(child) for child in children)
    return [line for line in lines if line and line[0].endswith(STUB)]


def instances(config: Mapping[str, Any]) -> Iterator[str]:
    """
    The names of a model's instances on the CPU.

    >>> list(instances({"instance_group": [{"name": "echo_0", "kind": "KIND_CPU", "count": 2}]}))
    ['echo_0_0', 'echo_0_1']
    """
    for group in config["instance_group"]:
        if group["kind"] == "KIND_CPU":
            yield from (f"{group['name']}_{number}" for number in range(group["count"]))


def expected(
    served: Iterable[tuple[Mapping[str, Any], int]], runs_in_stub: Callable[[str], bool]
) -> dict[str, Counter[str]]:
    """
    For every model that runs in Python processes, how many of each name there must be.

    *served* are the configurations of what is ready, each with the number of its versions that are.

    >>> group = {"name": "echo_0", "kind": "KIND_CPU", "count": 1}
    >>> expected([({"name": "echo", "backend": "python", "instance_group": [group]}, 2)], "python".__eq__)
    {'echo': Counter({'echo_0_0': 2})}
    """
    return {
        config["name"]: Counter(dict.fromkeys(instances(config), versions))
        for config, versions in served
        if runs_in_stub(config.get("backend", ""))
    }


def missing(expected: Counter[str], living: list[list[str]]) -> list[str]:
    """The *expected* instances that have fewer processes than versions being served, sorted."""
    return sorted(name for name, count in expected.items() if sum(name in line for line in living) < count)


def finalizing(living: list[list[str]]) -> bool:
    """Whether any of the processes may have a ``finalize`` to run before it ends."""
    return any(_may_finalize(_model_py(line)) for line in living)


def _model_py(line: list[str]) -> Path:
    """A process is told of its model's file, and last of its backend's folder, where that has the code."""
    return Path(line[1]) if line[-1] == "DEFAULT" else Path(line[-1]) / "model.py"


def _may_finalize(model: Path) -> bool:
    try:
        source = model.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return True
    if _BLOCK in source:
        source = source.removesuffix(_END_OF_BLOCK)
    return "finalize" in source or _PLAIN_CLASS.search(source) is None


def _command_line(process: psutil.Process) -> list[str]:
    """Empty for a zombie or one that has just ended."""
    try:
        line: list[str] = process.cmdline()
    except psutil.Error:
        return []
    return line
