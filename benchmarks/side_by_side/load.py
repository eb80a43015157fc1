"""wrk, the one load generator for all servers: the same request on every connection, again and again."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from serving_overhead import cpu_s

SCRIPT = Path(__file__).parents[1] / "peer_servers" / "post.lua"
WAIT_S = 30


class Request(NamedTuple):
    """One HTTP request, whole: its body lies in the file *body*, and *pid* is the process that serves it."""

    pid: int
    url: str
    headers: Mapping[str, str]
    body: Path


class Slice(NamedTuple):
    """
    Answers a second, the median and the 95th percentile of what a caller waits in ms, and what went wrong.

    *cpu_us* is the processor's time that an answer took the server, which other work on the cores touches less.
    """

    rate: float
    p50_ms: float
    p95_ms: float
    errors: int
    cpu_us: float


def asked(request: Request, callers: int, seconds: int) -> Slice:
    """What *callers* see in whole *seconds*, each with one request under way; a status from 400 on is an error."""
    command = ["wrk", "--threads", "1", "--connections", str(callers), "--duration", f"{seconds}s"]
    command += ["--timeout", f"{WAIT_S}s", "--script", str(SCRIPT), request.url, "--", str(request.body)]
    command += [word for header in request.headers.items() for word in header]
    began = cpu_s(request.pid)
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    seen = json.loads(next(line for line in said.splitlines() if line.startswith("{")))
    cpu_us = (cpu_s(request.pid) - began) / max(1, seen["answered"]) * 1e6
    return Slice(seen["answered"] / seen["seconds"], seen["p50_ms"], seen["p95_ms"], seen["errors"], cpu_us)
