"""wrk, the one load generator for all servers: the same request on every connection, again and again."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import psutil

from serving_overhead import cpu_s

SCRIPT = Path(__file__).parents[1] / "peer_servers" / "post.lua"
WAIT_S = 30
FEW = 0.01
"""Of a server that fails more than this share of its requests it says nothing how fast it is."""


class Request(NamedTuple):
    """One HTTP request, whole: its body lies in the file *body*, and *pid* is the process that serves it."""

    pid: int
    url: str
    headers: Mapping[str, str]
    body: Path


class Slice(NamedTuple):
    """
    Answers a second, the median and the 95th percentile of what a caller waits in ms, and what went wrong.

    *cpu_us* is the processor's time that an answer took the server, which other work on the cores touches less, and
    *answered* how many there were.
    """

    rate: float
    p50_ms: float
    p95_ms: float
    errors: int
    cpu_us: float
    answered: int

    @property
    def sound(self) -> bool:
        """Whether it answered, and failed few requests."""
        return self.answered > 0 and self.errors <= FEW * self.answered


def asked(request: Request, callers: int, seconds: int) -> Slice:
    """
    What *callers* see in whole *seconds*, each with one request under way; a status from 400 on is an error.

    Of a server that is not there any more each of them sees one.
    """
    command = ["wrk", "--threads", "1", "--connections", str(callers), "--duration", f"{seconds}s"]
    command += ["--timeout", f"{WAIT_S}s", "--script", str(SCRIPT), request.url, "--", str(request.body)]
    command += [word for header in request.headers.items() for word in header]
    try:
        began = cpu_s(request.pid)
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        spent = cpu_s(request.pid) - began
    except (psutil.NoSuchProcess, subprocess.CalledProcessError) as error:
        print(f"peers: {request.url}: {getattr(error, 'stdout', None) or error}", file=sys.stderr)
        return Slice(0.0, 0.0, 0.0, errors=callers, cpu_us=0.0, answered=0)
    seen = json.loads(next(line for line in said.splitlines() if line.startswith("{")))
    answered = seen["answered"]
    cpu_us = spent / max(1, answered) * 1e6
    return Slice(answered / seen["seconds"], seen["p50_ms"], seen["p95_ms"], seen["errors"], cpu_us, answered)
