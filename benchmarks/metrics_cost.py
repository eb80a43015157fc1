"""
What the blocks' own metrics cost: the demo's ``locate`` with them and without, and one write of Triton's.

Two Tritons serve copies of one store, one of them started with ``SEXTANT_METRICS=off``; 32 callers ask them slice by
slice in turn, one row a request.  A ratio is the median of those of neighbouring slices, so that a busy moment hits
both: of requests per second, and of the processor seconds that a request takes in the server and its models.  The write
is the reason why blocks count by themselves and write about once a second: a block that does nothing else times it.
What a client's counting of one call takes is timed too.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import statistics
import sys
import tempfile
import time
import timeit
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc.aio
import numpy as np
import psutil
from tritonclient.grpc import service_pb2

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
from sextant_server import EmbeddedTriton, ServerAddress

CALLERS, LEAST = 32, 0.97
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


@dataclass(frozen=True)
class Effort:
    """How long a slice lasts and how often each is repeated."""

    seconds: float
    repeats: int


FULL, QUICK = Effort(seconds=2.0, repeats=30), Effort(seconds=1.0, repeats=15)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="half as many slices, half as long, and less certain")
    effort = QUICK if parser.parse_args().quick else FULL
    client_call()
    with tempfile.TemporaryDirectory(prefix="metrics-cost-") as folder:
        one_write(Path(folder) / "writes")
        survey, told = simulate(), Folder(Path(folder) / "demo")
        tell(survey, BAY, told, Narrator())
        with both(told.store, Path(folder)) as servers:
            compare(servers, request(np.asarray(survey.features[:1], np.float32)), effort)


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


@contextmanager
def both(store: Path, folder: Path) -> Iterator[dict[str, ServerAddress]]:
    """Two Tritons on copies of *store*."""
    with ExitStack() as stack:
        servers = {}
        for way, said in ((WITH, "on"), (WITHOUT, "off")):
            shutil.copytree(store, folder / way, ignore=shutil.ignore_patterns("server.json", "*.log"))
            os.environ[VARIABLE] = said
            servers[way] = stack.enter_context(EmbeddedTriton(folder / way)).address
        yield servers


def compare(servers: dict[str, ServerAddress], message: bytes, effort: Effort) -> None:
    """Requests per second of both, and the ratios."""
    slices: dict[str, list[tuple[float, float]]] = {way: [] for way in servers}
    for repeat in range(effort.repeats + 1):
        for way, server in servers.items() if repeat % 2 else reversed(servers.items()):
            measured = measure(server, message, effort.seconds)
            if repeat:  # the first slice of each warms up
                slices[way].append(measured)
    for way, figures in slices.items():
        report(
            f"metrics.callers_{CALLERS}.{way}", round(statistics.median(rate for rate, _ in figures), 1), "requests/s"
        )
    rate, cpu = (
        round(statistics.median(a[i] / b[i] for a, b in zip(slices[WITH], slices[WITHOUT], strict=True)), 3)
        for i in (0, 1)
    )
    report(f"metrics.callers_{CALLERS}.ratio", rate, "with / without", target=f">= {LEAST}", ok=rate >= LEAST)
    report(f"metrics.callers_{CALLERS}.cpu_ratio", cpu, "with / without")


def measure(server: ServerAddress, message: bytes, seconds: float) -> tuple[float, float]:
    """Requests per second, and processor seconds a request."""
    began = cpu_s(server.pid)
    rate = asyncio.run(asked(server.grpc.removeprefix("grpc://"), message, seconds))
    return rate, (cpu_s(server.pid) - began) / (rate * seconds)


def cpu_s(pid: int) -> float:
    """The seconds that the process *pid* and its children have computed."""
    process = psutil.Process(pid)
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return sum(each.user + each.system for each in times)


def request(features: np.ndarray) -> bytes:
    """One row, as it travels."""
    message = service_pb2.ModelInferRequest(model_name=NAME, raw_input_contents=[features.tobytes()])
    message.inputs.add(name="features", datatype="FP32", shape=features.shape)
    return message.SerializeToString()


async def asked(url: str, message: bytes, seconds: float) -> float:
    """Requests per second of all callers, who ask without a pause."""
    async with grpc.aio.insecure_channel(url) as channel:
        infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        answered, begun = 0, time.perf_counter()

        async def call() -> None:
            nonlocal answered
            while time.perf_counter() < begun + seconds:
                await infer(message)
                answered += 1

        await asyncio.gather(*(call() for _ in range(CALLERS)))
        return answered / (time.perf_counter() - begun)


if __name__ == "__main__":
    main()
