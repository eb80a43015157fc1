"""Models that are in the server's index and do not serve."""

from __future__ import annotations

from collections.abc import Iterator

from sextant_cli.doctor.check import Check
from sextant_cli.doctor.finding import WARNING, Finding
from sextant_cli.doctor.server.triton import Triton
from sextant_server.log import plain

# What Triton says of a version that was taken away on purpose.
_ON_PURPOSE = "unloaded"


def _look(triton: Triton) -> Iterator[Finding]:
    serving = {state.name for state in triton.index if state.ready}
    for state in triton.index:
        if state.failed and state.reason != _ON_PURPOSE:
            beside = ", another version of it serves" if state.name in serving else ""
            yield Finding(
                severity=WARNING,
                found=f"model {state.name} version {state.version} is unavailable{beside}: {plain(state.reason)}",
                why="a pipeline that is wired to it answers nobody",
                change=f"mend what the reason names, then promote again, or load {state.name}",
            )


MODELS = Check("models", "Are models unavailable, and why?", _look)
