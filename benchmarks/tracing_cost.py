"""
What traces cost: the demo's ``locate`` without them, with one request in a hundred traced, and with all.

Tritons serve copies of one store; 32 callers ask them slice by slice in turn, one row a request (in_turn.py says why
servers are started anew), and ratios are medians of those of slices next to one another.  Spans go to a receiver that
reads them and throws them away; it has the same cores, so what it takes is counted as a cost of traces too.

Triton 24.10 may end while it traces (docs/traces.md): such servers are told on stderr and left out.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from in_turn import CALLERS, FULL, QUICK, Effort, Start, in_turn, kept, rate, request
from report import report
from sextant_cli.demo.bay import simulate
from sextant_cli.demo.members import BAY
from sextant_cli.demo.story import NAME, Folder, tell
from sextant_cli.narrator import Narrator
from sextant_server import EmbeddedTriton, Tracing

LEAST = 0.97
WITHOUT, SOME, ALL = "without", "one_in_100", "all"
ONCE_IN_A_WHILE = Effort(starts=3, slices=3, seconds=0.5)
"""Where all is traced a server soon ends, so little is asked of many."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer servers, shorter slices, and less certain")
    effort = QUICK if parser.parse_args().quick else FULL
    with tempfile.TemporaryDirectory(prefix="tracing-cost-") as folder, receiver() as url:
        survey, demo = simulate(), Folder(Path(folder) / "demo")
        tell(survey, BAY, demo, Narrator())
        message = request(NAME, np.asarray(survey.features[:1], np.float32))
        compare(demo.store, SOME, Tracing(url, rate=0.01), message, effort, least=LEAST)
        compare(demo.store, ALL, Tracing(url, rate=1.0), message, ONCE_IN_A_WHILE)


@contextmanager
def receiver() -> Iterator[str]:
    """The URL of a receiver that keeps nothing; the bytes that it got are reported at the end."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=receive, args=(theirs,))
    process.start()
    theirs.close()  # or nothing would tell that it died
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
        ours.send("enough")
        received = ours.recv()
        report("tracing.bytes_received", received, "B", target="> 0", ok=received > 0)
    finally:
        process.kill()
        process.join()


def receive(pipe: Connection) -> None:
    """What its process does, until it is told that it is enough."""
    got: list[int] = []

    class Door(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            got.append(len(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Door) as server:
        pipe.send(server.server_port)
        server.timeout = 0.2
        while not pipe.poll():
            server.handle_request()
    pipe.send(sum(got))


def traced(tracing: Tracing | None) -> Start:
    """Starts a server that traces so."""
    return lambda store: EmbeddedTriton(store, trace=tracing)


def compare(
    store: Path, way: str, tracing: Tracing, message: bytes, effort: Effort, *, least: float | None = None
) -> None:
    """Requests per second with traces and without, and what is left of them with traces."""
    slices = in_turn(store, {way: traced(tracing), WITHOUT: traced(None)}, message, effort)
    name = f"tracing.callers_{CALLERS}.{way}"
    report(f"{name}.servers", len(slices[way]) // effort.slices, f"of {effort.starts}")
    if not slices[way]:
        return
    report(name, rate(slices[way]), "requests/s")
    ratio = kept(slices, way, WITHOUT).rate
    aim = {} if least is None else {"target": f">= {least}", "ok": ratio >= least}
    report(f"{name}.ratio", ratio, "with / without", **aim)


if __name__ == "__main__":
    main()
