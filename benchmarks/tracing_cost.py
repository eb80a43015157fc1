"""
What traces cost: the demo's ``locate`` without them, with one request in a hundred traced, and with all.

Three Tritons serve copies of one store; 32 callers ask them slice by slice in turn, one row a request, so that a busy
moment hits all, and the ratios are medians of those of slices next to one another.  Spans go to a receiver that reads
them and throws them away; it has the same cores, so what it takes is counted as a cost of traces too.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import shutil
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from metrics_cost import CALLERS, FULL, QUICK, Effort, asked, request
from report import report
from sextant_cli.demo.bay import simulate
from sextant_cli.demo.members import BAY
from sextant_cli.demo.story import Folder, tell
from sextant_cli.narrator import Narrator
from sextant_server import EmbeddedTriton, Tracing

LEAST = 0.97
WITHOUT, SOME, ALL = "without", "one_in_100", "all"
RATES = {WITHOUT: None, SOME: 0.01, ALL: 1.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="five short slices of each, and less certain")
    effort = QUICK if parser.parse_args().quick else FULL
    with tempfile.TemporaryDirectory(prefix="tracing-cost-") as folder:
        survey, told = simulate(), Folder(Path(folder) / "demo")
        tell(survey, BAY, told, Narrator())
        with receiver() as url, serving(told.store, Path(folder), url) as urls:
            compare(urls, request(np.asarray(survey.features[:1], np.float32)), effort)


@contextmanager
def receiver() -> Iterator[str]:
    """The URL of a receiver that keeps nothing; the bytes that it got are reported at the end."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=receive, args=(theirs,))
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
        ours.send("enough")
        report("tracing.bytes_received", ours.recv(), "B")
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


@contextmanager
def serving(store: Path, folder: Path, receiver_url: str) -> Iterator[dict[str, str]]:
    """The gRPC addresses of Tritons on copies of *store*, which trace nothing, some requests, and all."""
    with ExitStack() as stack:
        urls = {}
        for way, rate in RATES.items():
            shutil.copytree(store, folder / way, ignore=shutil.ignore_patterns("server.json", "*.log"))
            tracing = None if rate is None else Tracing(receiver_url, rate=rate)
            triton = stack.enter_context(EmbeddedTriton(folder / way, trace=tracing))
            urls[way] = triton.address.grpc.removeprefix("grpc://")
        yield urls


def compare(urls: dict[str, str], message: bytes, effort: Effort) -> None:
    """Requests per second of each, and what is left of them with traces."""
    reached: dict[str, list[float]] = {way: [] for way in urls}
    for repeat in range(effort.repeats + 1):
        for way, url in urls.items() if repeat % 2 else reversed(urls.items()):
            rate = asyncio.run(asked(url, message, effort.seconds))
            if repeat:  # the first slice of each warms up
                reached[way].append(rate)
    for way, rates in reached.items():
        report(f"tracing.callers_{CALLERS}.{way}", round(statistics.median(rates), 1), "requests/s")
    for way, least in ((SOME, LEAST), (ALL, None)):
        pairs = zip(reached[way], reached[WITHOUT], strict=True)
        kept = round(statistics.median(traced / untraced for traced, untraced in pairs), 3)
        aim = {} if least is None else {"target": f">= {least}", "ok": kept >= least}
        report(f"tracing.callers_{CALLERS}.{way}.ratio", kept, "with / without", **aim)


if __name__ == "__main__":
    main()
