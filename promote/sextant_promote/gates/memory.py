"""
What a Triton's memory grows by while a candidate is loaded and asked.

Of a Triton on this machine its processes are measured, each page of memory once however many share it (``psutil``, by
Linux' proportional set size). Of one that is elsewhere, its metrics tell what the whole machine uses, others included.
"""

from __future__ import annotations

import urllib.request
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from sextant.errors import PromoteError
from sextant_export.pipeline import Pipeline

MACHINE = "nv_cpu_memory_used_bytes"
OF_PROCESSES, OF_MACHINE = "of the server's processes", f"of the server's whole machine ({MACHINE})"
BEFORE_LOADING = "before its models were loaded"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_PROGRAM, _TIMEOUT_S, _MB = "tritonserver", 10.0, 1e6


class MemoryMeter:
    """Reads bytes by *read* when it is made and when it is asked; *source* says of what they are."""

    def __init__(self, read: Callable[[], float], source: str) -> None:
        self._read, self.source = read, source
        self._before = read()

    def growth_mb(self) -> float:
        """Megabytes more than when the meter was made; less than nothing is possible."""
        return (self._read() - self._before) / _MB


def memory_meter(
    pipeline: Pipeline, url: str, metrics: str | None = None, *, since: str = BEFORE_LOADING
) -> MemoryMeter | None:
    """
    A meter of the Triton at *url*, which begins *since* now; None where the spec of *pipeline* does not ask for memory.

    ``PromoteError`` where its memory cannot be seen: it is not on this machine, and *metrics* is not, or does not say.
    """
    if pipeline.gate is None or pipeline.gate.memory_mb is None:
        return None
    process = local_server(url)
    if process is not None:
        return MemoryMeter(lambda: _resident(process), f"{OF_PROCESSES}, since {since}")
    if metrics is not None:
        return MemoryMeter(lambda: _of_machine(metrics), f"{OF_MACHINE}, since {since}")
    raise PromoteError(
        f"gate.memory_mb: no {_PROGRAM} of this machine listens at {url}, or psutil is not installed to look for one, "
        "and its metrics endpoint is not known: name that, or leave the gate out"
    )


def local_server(url: str) -> Any | None:
    """The process of the Triton that listens at *url*, where it is here and may be looked at."""
    address = urlsplit(url)
    try:
        import psutil
    except ImportError:
        return None
    if address.hostname not in _LOOPBACK:
        return None
    try:
        pids = {each.pid for each in psutil.net_connections("tcp") if each.pid and _listens(each, address.port)}
        found = [psutil.Process(pid) for pid in pids]
        (server,) = [process for process in found if process.name() == _PROGRAM]
        _resident(server)
    except (psutil.Error, ValueError):
        return None
    return server


def _listens(connection: Any, port: int | None) -> bool:
    return bool(connection.status == "LISTEN" and connection.laddr.port == port)


def _resident(server: Any) -> float:
    """Bytes of the server and of what it started; a process that has just ended has none."""
    return float(server.memory_full_info().pss) + sum(map(_held, server.children(recursive=True)))


def _held(child: Any) -> float:
    import psutil

    try:
        return float(child.memory_full_info().pss)
    except psutil.NoSuchProcess:
        return 0.0


def _of_machine(metrics: str) -> float:
    try:
        with urllib.request.urlopen(metrics, timeout=_TIMEOUT_S) as reply:  # noqa: S310  the operator's own address
            lines = reply.read().decode().splitlines()
    except (OSError, ValueError) as error:
        raise PromoteError(f"gate.memory_mb: the metrics at {metrics} cannot be read: {error}") from error
    values = [line.split()[-1] for line in lines if line.startswith(MACHINE)]
    if not values:
        raise PromoteError(f"gate.memory_mb: the metrics at {metrics} have no {MACHINE}: leave the gate out")
    return float(values[0])
