"""
Ways to start a Triton on one store, measured in turn: servers after servers, a slice of one after a slice of the other.

Two servers that were started alike differ for as long as they live: on two cores by 3 % of their requests per second.
So a ratio of one pair tells of that pair, and the servers are started anew many times: 24 pairs leave an error of
0.7 %. Slices of one pair that follow one another are compared, so that a busy moment hits both.
"""

from __future__ import annotations

import asyncio
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import grpc.aio
import numpy as np
from tritonclient.grpc import service_pb2

from serving_overhead import cpu_s
from sextant_server import EmbeddedTriton, ServerAddress

CALLERS = 32
_PATIENCE_S = 20.0

Start = Callable[[Path], EmbeddedTriton]
"""Makes a server on the store in a folder, and does not start it yet."""


@dataclass(frozen=True)
class Effort:
    """How often servers are started, how many slices each then has, and how long a slice lasts."""

    starts: int
    slices: int
    seconds: float


FULL, QUICK = Effort(starts=24, slices=4, seconds=0.5), Effort(starts=3, slices=5, seconds=0.5)


class Slice(NamedTuple):
    """Requests per second, and processor seconds that each took the server and its models."""

    rate: float
    cpu_s: float


def in_turn(store: Path, ways: Mapping[str, Start], message: bytes, effort: Effort) -> dict[str, list[Slice]]:
    """The slices of each of the *ways*, in the order in which they were compared; none of servers that went away."""
    found: dict[str, list[Slice]] = {way: [] for way in ways}
    for number in range(effort.starts):
        try:
            with started(store, ways) as servers:
                slices = compared(servers, message, effort, first=number)
        except (TimeoutError, grpc.aio.AioRpcError) as error:
            print(f"servers {number + 1} of {effort.starts} went away: {error!r:.200}", file=sys.stderr)
            continue
        for way, measured in slices.items():
            found[way] += measured
    return found


def kept(slices: Mapping[str, list[Slice]], way: str, of: str) -> Slice:
    """What is left with *way* of the figures with *of*: the medians of the ratios of neighbouring slices."""
    pairs = list(zip(slices[way], slices[of], strict=True))
    return Slice(*(round(statistics.median(a[i] / b[i] for a, b in pairs), 3) for i in (0, 1)))


def rate(slices: list[Slice]) -> float:
    """The median of requests per second."""
    return round(statistics.median(each.rate for each in slices), 1)


@contextmanager
def started(store: Path, ways: Mapping[str, Start]) -> Iterator[dict[str, ServerAddress]]:
    """A server for each of the *ways*, on a copy of *store*."""
    with tempfile.TemporaryDirectory(prefix="in-turn-") as folder, ExitStack() as stack:
        servers = {}
        for way, start in ways.items():
            own = Path(folder) / way
            shutil.copytree(store, own, ignore=shutil.ignore_patterns("server.json", "*.log"))
            servers[way] = stack.enter_context(start(own)).address
        yield servers


def compared(
    servers: Mapping[str, ServerAddress], message: bytes, effort: Effort, *, first: int
) -> dict[str, list[Slice]]:
    """The slices of these servers; a first one of each warms up and is thrown away."""
    slices: dict[str, list[Slice]] = {way: [] for way in servers}
    for turn in range(effort.slices + 1):
        for way, server in servers.items() if (turn + first) % 2 else reversed(servers.items()):
            measured = measure(server, message, effort.seconds)
            if turn:
                slices[way].append(measured)
    return slices


def measure(server: ServerAddress, message: bytes, seconds: float) -> Slice:
    """One slice; TimeoutError where the server answers no more."""
    began = cpu_s(server.pid)
    asking = asked(server.grpc.removeprefix("grpc://"), message, seconds)
    rate = asyncio.run(asyncio.wait_for(asking, seconds + _PATIENCE_S))
    return Slice(rate, (cpu_s(server.pid) - began) / (rate * seconds))


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


def request(pipeline: str, features: np.ndarray) -> bytes:
    """One row, as it travels."""
    message = service_pb2.ModelInferRequest(model_name=pipeline, raw_input_contents=[features.tobytes()])
    message.inputs.add(name="features", datatype="FP32", shape=features.shape)
    return bytes(message.SerializeToString())
