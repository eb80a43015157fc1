"""A peer that runs and answers as the model does, and what is sent to it."""

from __future__ import annotations

import http.client
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import numpy as np
from workloads import load

from serving_overhead import cpu_s
from side_by_side.load import Request, Slice
from side_by_side.peers import CODE, Peer, Reply, Rows
from side_by_side.servers import NotServing, free_port, serving
from side_by_side.world import Place

CHECKED = 8
"""Rows that are asked, one by one, before a server is measured."""

TOLERANCE, ROUNDING = 1e-4, 1e-7
"""What an answer may differ from the model's: a ten-thousandth of what the model's differ by, and FP32's last digit."""

ANSWER_S = 30


class Server(NamedTuple):
    """Where a server listens, and its process."""

    url: str
    pid: int


@contextmanager
def running(peer: Peer, home: Path, place: Place, workload: str) -> Iterator[Server]:
    """What *peer* is in its environment at *home*, serving *workload* and found to answer as the model does."""
    port = free_port()
    url, log = f"http://127.0.0.1:{port}", place.folder / f"{peer.name}-{workload}.log"
    settings = {
        **peer.settings,
        "PATH": f"{home / 'bin'}:/usr/local/bin:/usr/bin:/bin",
        "PEER_WORKLOAD": workload,
        "PEER_FOLDER": str(place.folder),
        "MLFLOW_TRACKING_URI": place.tracking_uri,
    }
    program, *arguments = peer.command(port, workload)
    command = [str(home / "bin" / program), *arguments]
    ready = partial(answers, peer, url, place.rows[workload][:1], workload)
    with serving(command, settings, log, CODE, ready) as pid:
        answering(peer, url, place, workload)
        yield Server(url, pid)


def answering(peer: Peer, url: str, place: Place, workload: str) -> None:
    """NotServing unless *peer* answers each row as the model does."""
    rows = place.rows[workload][:CHECKED]
    expected = load(workload, place.folder)(rows)
    given = np.concatenate([ask(peer, url, row[None], workload) for row in rows])
    allowed = TOLERANCE * np.ptp(expected, axis=0) + ROUNDING
    if given.shape != expected.shape or not (np.abs(given - expected) <= allowed).all():
        raise NotServing(f"it answers {given[0].tolist()} where the model answers {expected[0].tolist()}")


def answers(peer: Peer, url: str, row: Rows, workload: str) -> bool:
    """Whether *peer* answers at all."""
    try:
        ask(peer, url, row, workload)
    except (OSError, http.client.HTTPException, NotServing):
        return False
    return True


def ask(peer: Peer, url: str, rows: Rows, workload: str) -> Rows:
    """The answer of *peer* to *rows*; NotServing with what it says where that is none."""
    message = peer.encode(workload, rows)
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=ANSWER_S)
    try:
        connection.request("POST", message.path, message.body, dict(message.headers))
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    if response.status != 200:
        raise NotServing(f"it answers {response.status}: {body[:300].decode(errors='replace')}")
    reply = Reply({name.lower(): value for name, value in response.getheaders()}, body)
    try:
        return peer.decode(workload, reply)
    except (ValueError, KeyError) as error:
        raise NotServing(f"its answer cannot be read ({error}): {body[:300].decode(errors='replace')}") from error


def request_of(peer: Peer, server: Server, place: Place, workload: str) -> Request:
    """What callers send to *peer*, which runs as *server*: one row, again and again."""
    message = peer.encode(workload, place.rows[workload][:1])
    body = place.folder / f"{peer.name}-{workload}.body"
    body.write_bytes(message.body)
    return Request(server.pid, f"{server.url}{message.path}", message.headers, body)


@contextmanager
def in_process(place: Place, workload: str) -> Iterator[Callable[[int, int], Slice]]:
    """What measures the arithmetic of *workload* in two processes that nobody asks over a network."""
    row = place.folder / f"{workload}.row"
    row.write_bytes(place.rows[workload][:1].tobytes())
    settings = {"PEER_WORKLOAD": workload, "PEER_FOLDER": str(place.folder), "PEER_ROW": str(row)}
    command = [sys.executable, str(CODE / "in_process.py")]
    # Sessions of their own, as servers have: the kernel shares the cores among sessions first.
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "start_new_session": True}
    with (
        subprocess.Popen(command, env=settings, **pipes) as one,
        subprocess.Popen(command, env=settings, **pipes) as other,
    ):
        yield partial(_both, (one, other))


def _both(processes: tuple[subprocess.Popen[str], ...], _callers: int, seconds: int) -> Slice:
    began = sum(cpu_s(process.pid) for process in processes)
    for process in processes:
        process.stdin.write(f"{seconds}\n")
        process.stdin.flush()
    rate = sum(float(process.stdout.readline()) for process in processes)
    cpu = sum(cpu_s(process.pid) for process in processes) - began
    return Slice(rate, 0.0, 0.0, errors=0, cpu_us=cpu / (rate * seconds) * 1e6, answered=round(rate * seconds))
