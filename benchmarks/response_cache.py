"""
What Triton's response cache saves: one pipeline with it and without, asked in turn by callers whose requests repeat.

The pipeline is the small world's: a block, three members, a fusion, an ellipse. One request in ten is new and the
others ask again for what was asked before, the more often the earlier it was (by Zipf's law), as the windows of a
transmitter that does not move do. Both pipelines get the same requests in the same order, a slice of the one after a
slice of the other, so that a busy moment hits both, and the ratios are of medians over slices. Hits are what Triton's
own metrics count. ``fresh`` is the same without any repetition: what it costs to look up in vain.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import re
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc.aio
import numpy as np
from tritonclient.grpc import service_pb2

from report import report

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from sextant_cli.narrator import Narrator
from sextant_export.receipt import Receipt
from sextant_promote.control import Control
from sextant_promote.promotion import promote
from sextant_server import EmbeddedTriton
from small_world import World, draw, make_world

CALLERS = 8
NEW_SHARE = 0.1
HITS = 0.8


@dataclass(frozen=True)
class Effort:
    """How long a slice lasts, and how many there are of each pipeline."""

    seconds: float
    slices: int


FULL, QUICK = Effort(seconds=4.0, slices=6), Effort(seconds=1.0, slices=3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short slices, and less certain")
    effort = QUICK if parser.parse_args().quick else FULL
    with tempfile.TemporaryDirectory(prefix="response-cache-") as folder:
        world = make_world(Path(folder))
        with EmbeddedTriton(world.store.root) as triton, Control(triton.address.grpc, triton.address.token) as control:
            plain, cached = (promoted(world, control, cache=cache) for cache in (False, True))
            url = triton.address.grpc.removeprefix("grpc://")
            compare("repeating", url, (plain, cached), lambda: repeating(seed=5), effort)
            hits, misses = lookups(triton.address.metrics, cached.ensembles[1])
            share = round(hits / (hits + misses), 3)
            report("response_cache.repeating.hits", share, "1", target=f"> {HITS}", ok=share > HITS)
            compare("fresh", url, (plain, cached), lambda: fresh(seed=6), effort)


def promoted(world: World, control: Control, *, cache: bool) -> Receipt:
    """The release of the small world's page, with the *cache* or without, each a pipeline of its own."""
    serving = {"max_batch_size": 64, "max_queue_delay_us": 0, "response_cache": cache}
    page = world.write_spec({"name": "cached" if cache else "plain", "serving": serving})
    return promote(page, world.store, world.registry, control, Narrator(io.StringIO())).receipt


def repeating(seed: int) -> Iterator[bytes]:
    """Requests of one row, one in ten of them new."""
    random, new, asked = np.random.default_rng(seed), fresh(seed), [b""]
    asked[0] = next(new)
    while True:
        if random.random() < NEW_SHARE:
            asked.append(next(new))
            yield asked[-1]
        else:
            yield asked[min(random.zipf(1.5), len(asked)) - 1]


def fresh(seed: int) -> Iterator[bytes]:
    """Requests of one row, no two alike."""
    while True:
        seed += 1_000
        yield from (row.tobytes() for row in draw(10_000, seed).features)


def compare(
    name: str, url: str, receipts: tuple[Receipt, Receipt], requests: Callable[[], Iterator[bytes]], effort: Effort
) -> None:
    """Throughput and median time of each, and how many times more and quicker the second one is."""
    streams = [(receipt.pipeline, requests()) for receipt in receipts]
    measured: dict[str, list[tuple[float, float]]] = {pipeline: [] for pipeline, _ in streams}
    for pipeline, stream in streams:  # uncounted: processes wake up, the first answers get cached
        asyncio.run(asked(url, pipeline, stream, effort.seconds / 2))
    for slice_ in range(effort.slices):
        for pipeline, stream in (streams, streams[::-1])[slice_ % 2]:
            measured[pipeline].append(asyncio.run(asked(url, pipeline, stream, effort.seconds)))
    rates, waits = ([statistics.median(each) for each in column] for column in columns(measured))
    for pipeline, rate, wait in zip(measured, rates, waits, strict=True):
        report(f"response_cache.{name}.{pipeline}.throughput", round(rate, 1), "requests/s")
        report(f"response_cache.{name}.{pipeline}.p50", round(wait, 3), "ms")
    more, quicker = round(rates[1] / rates[0], 2), round(waits[0] / waits[1], 2)
    for what, ratio in {"more_throughput": more, "quicker_p50": quicker}.items():
        aimed = {"target": "> 1", "ok": ratio > 1} if name == "repeating" else {}
        report(f"response_cache.{name}.{what}", ratio, "x", **aimed)


def columns(measured: dict[str, list[tuple[float, float]]]) -> Iterator[list[list[float]]]:
    """The rates of each pipeline, then the waits of each."""
    for place in (0, 1):
        yield [[each[place] for each in slices] for slices in measured.values()]


async def asked(url: str, pipeline: str, requests: Iterator[bytes], seconds: float) -> tuple[float, float]:
    """Requests a second of all callers, each with one under way, and the median of what one waits, in ms."""
    waits: list[float] = []
    end = time.perf_counter() + seconds
    async with grpc.aio.insecure_channel(url) as channel:
        infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")

        async def call() -> None:
            while (begun := time.perf_counter()) < end:
                await infer(message(pipeline, next(requests)))
                waits.append(time.perf_counter() - begun)

        begun = time.perf_counter()
        await asyncio.gather(*(call() for _ in range(CALLERS)))
        took = time.perf_counter() - begun
    return len(waits) / took, 1000 * statistics.median(waits)


def message(pipeline: str, row: bytes) -> bytes:
    """A request for one *row* of eight signal strengths, as it travels."""
    made = service_pb2.ModelInferRequest(model_name=pipeline, raw_input_contents=[row])
    made.inputs.add(name="features", datatype="FP32", shape=[1, len(row) // 4])
    return bytes(made.SerializeToString())


def lookups(url: str, model: str) -> tuple[float, float]:
    """How often the answer of *model* was in the cache, and how often it was not, as the metrics at *url* say."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:  # noqa: S310  our own server on loopback
        page = answer.read().decode()
    counts = (
        re.search(rf'^nv_cache_num_{kind}_per_model{{model="{re.escape(model)}"[^}}]*}} (\S+)$', page, re.MULTILINE)
        for kind in ("hits", "misses")
    )
    hits, misses = (float(count[1]) if count else 0.0 for count in counts)
    return hits, misses


if __name__ == "__main__":
    main()
