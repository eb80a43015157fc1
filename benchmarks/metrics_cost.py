"""
What the blocks' own metrics cost: the demo's ``locate`` with them and without, and one write of Triton's.

Tritons serve copies of one store, every second one of them started with ``SEXTANT_METRICS=off``; 32 callers ask them
slice by slice in turn, one row a request (in_turn.py says why servers are started anew).  A ratio is the median of
those of neighbouring slices: of requests per second, and of the processor seconds that a request takes in the server
and its models.  The write is the reason why blocks count by themselves and write about once a second: a block that does
nothing else times it.  What a client's counting of one call takes is timed too.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import timeit
from pathlib import Path

import numpy as np

from in_turn import CALLERS, FULL, QUICK, Effort, Start, in_turn, kept, rate, request
from report import report

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from embedded_calls import ask
from embedded_models import rows, write_python
from sextant.meter import VARIABLE
from sextant_cli.demo.bay import simulate
from sextant_cli.demo.members import BAY
from sextant_cli.demo.story import NAME, Folder, tell
from sextant_cli.narrator import Narrator
from sextant_client import ClientMetrics
from sextant_server import EmbeddedTriton

LEAST = 0.97
WITH, WITHOUT = "with", "without"
WRITES = """
import time
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        kinds = pb_utils.MetricFamily
        self.families = [kinds(name=f"a_{kind}", description=kind, kind=getattr(kinds, kind)) for kind in KINDS]
        counter, histogram = self.families
        self.writes = counter.Metric(labels={}).increment, histogram.Metric(labels={}, buckets=[1.0, 2.0]).observe

    def execute(self, requests):
        tensors = [pb_utils.Tensor("y", np.array([[self.us(write) for write in self.writes]], np.float32))]
        return [pb_utils.InferenceResponse(tensors) for _ in requests]

    def us(self, write):
        begun = time.perf_counter()
        for _ in range(1000):
            write(1.0)
        return 1000 * (time.perf_counter() - begun)


KINDS = "COUNTER", "HISTOGRAM"
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer servers, shorter slices, and less certain")
    effort = QUICK if parser.parse_args().quick else FULL
    client_call()
    with tempfile.TemporaryDirectory(prefix="metrics-cost-") as folder:
        one_write(Path(folder) / "writes")
        survey, demo = simulate(), Folder(Path(folder) / "demo")
        tell(survey, BAY, demo, Narrator())
        compare(demo.store, request(NAME, np.asarray(survey.features[:1], np.float32)), effort)


def client_call(calls: int = 100_000) -> None:
    """The microseconds that a client's counting of one call takes."""
    timed = ClientMetrics().calls(NAME)

    def call() -> None:
        with timed():
            pass

    us = min(timeit.repeat(call, number=calls)) / calls * 1e6
    report("metrics.client.call", round(us, 2), "us")


def one_write(store: Path) -> None:
    """The microseconds of a write of each kind, on a server with nothing else to do."""
    write_python(store, "writes", source=WRITES)
    with EmbeddedTriton(store, models=["writes"]) as triton:
        counter, histogram = ask(triton, "writes", rows(1)).ravel().tolist()
    report("metrics.write.counter", round(counter, 1), "us")
    report("metrics.write.histogram_observation", round(histogram, 1), "us")


def told(said: str) -> Start:
    """Starts a server whose blocks are told whether to measure."""

    def start(store: Path) -> EmbeddedTriton:
        os.environ[VARIABLE] = said
        return EmbeddedTriton(store)

    return start


def compare(store: Path, message: bytes, effort: Effort) -> None:
    """Requests per second of both, and the ratios."""
    slices = in_turn(store, {WITH: told("on"), WITHOUT: told("off")}, message, effort)
    for way, measured in slices.items():
        report(f"metrics.callers_{CALLERS}.{way}", rate(measured), "requests/s")
    ratio = kept(slices, WITH, WITHOUT)
    report(
        f"metrics.callers_{CALLERS}.ratio", ratio.rate, "with / without", target=f">= {LEAST}", ok=ratio.rate >= LEAST
    )
    report(f"metrics.callers_{CALLERS}.cpu_ratio", ratio.cpu_s, "with / without")


if __name__ == "__main__":
    main()
