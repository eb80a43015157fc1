"""
What a router costs: a small tabular pipeline asked through its front as a router, and as the ensemble behind it.

The pipeline is the block ``scale`` and a forest of 20 trees over 24 features. Both ways lead to ensembles of it in
the same Triton, on the cores it shares with the callers, and are asked slice by slice in turn, so that a busy moment
hits both; ratios are of medians. The router splits evenly between two releases, without a shadow and with one of a
tenth.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio
import numpy as np
from skl2onnx import to_onnx
from sklearn.ensemble import RandomForestRegressor
from tritonclient.grpc import service_pb2

from report import report

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from routed_releases import wire
from sextant.blocks import Scale
from sextant.tensors import Tensor
from sextant_export.config import Configs, block_config, onnx_config
from sextant_export.pipeline import Serving
from sextant_export.receipt import Receipt
from sextant_export.release import front_config
from sextant_export.shells import write_block
from sextant_export.store import Candidate, Store
from sextant_export.wiring import EnsembleStep
from sextant_promote.canary.routing import route, unroute
from sextant_promote.control import Control
from sextant_promote.fleet import Fleet, Server
from sextant_server import EmbeddedTriton

WIDTH, BATCH = 24, 64
SCALE = {"width": WIDTH}
FEATURES, POSITION = Tensor("features", "FP32", (WIDTH,)), Tensor("position", "FP32", (2,))
FRONT, ENSEMBLE = "p", "p.r1"


@dataclass(frozen=True)
class Effort:
    """How long a slice lasts and how often each is repeated."""

    seconds: float
    repeats: int


FULL, QUICK = Effort(seconds=3.0, repeats=5), Effort(seconds=1.0, repeats=2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two short slices of each, and less certain")
    effort = QUICK if parser.parse_args().quick else FULL
    with tempfile.TemporaryDirectory(prefix="router-") as folder, serving(Store(Path(folder) / "store")) as served:
        url, store, fleet, releases = served
        for shadow in (0.0, 0.1):
            route(store, fleet, *releases, weight=0.5, shadow=shadow)
            for callers, rows in ((1, 1), (16, 1), (16, BATCH)):
                compare(f"router.shadow_{shadow:g}", url, callers, rows, effort)
        unroute(store, fleet, releases[0])


@contextmanager
def serving(store: Store) -> Iterator[tuple[str, Store, Fleet, list[Receipt]]]:
    """A Triton with two releases of the pipeline, and its front."""
    store.prepare()
    publish_forest(store)
    releases = [release(store, number) for number in (1, 2)]
    store.write_ensemble(front_config(releases[0]))
    with EmbeddedTriton(store.root) as triton, Control(triton.address.grpc, triton.address.token) as control:
        yield triton.address.grpc.removeprefix("grpc://"), store, Fleet(store, [Server(control)]), releases


def publish_forest(store: Store) -> None:
    """The member."""
    random = np.random.default_rng(20240229)
    features = random.uniform(0, 1, (2000, WIDTH)).astype(np.float32)
    trees = RandomForestRegressor(20, max_depth=8, random_state=0).fit(features, features[:, :2])
    graph = to_onnx(trees, features[:1], target_opset={"": 17, "ai.onnx.ml": 3})
    graph.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 2
    described = [[Tensor(side[0].name, "FP32", dims)] for side, dims in graph_sides(graph)]
    config = onnx_config("forest", *described, Serving(max_queue_delay_us=0, instances=1), [1])

    def write(directory: Path) -> None:
        (directory / "model.onnx").write_bytes(graph.SerializeToString())

    store.publish(Candidate(model="forest", version=1, configs=Configs(config), write=write))


def graph_sides(graph: Any) -> tuple[tuple[Any, tuple[int, ...]], ...]:
    """The forest's inputs and outputs with their dims."""
    return (graph.graph.input, (WIDTH,)), (graph.graph.output, (2,))


def release(store: Store, number: int) -> Receipt:
    """Release *number*: a block of its own, and the member that both share."""
    config = block_config("p.scale", Scale(SCALE), Serving(), [number])
    store.publish(
        Candidate(
            model="p.scale", version=number, configs=Configs(config), write=lambda d: write_block("scale", SCALE, d)
        )
    )
    forest = store.config("forest")
    assert forest is not None
    steps = [
        EnsembleStep("p.scale", number, {"features": "features"}, {"scaled": "scaled"}),
        EnsembleStep("forest", 1, {forest.input[0].name: "scaled"}, {forest.output[0].name: "position"}),
    ]
    return wire(store, number, steps, [FEATURES], [POSITION], batch=BATCH)


def compare(name: str, url: str, callers: int, rows: int, effort: Effort) -> None:
    """Report requests per second and median milliseconds of both ways, and the ratio."""
    asked = {model: request(model, rows) for model in (ENSEMBLE, FRONT)}
    slices: dict[str, list[tuple[float, float]]] = {model: [] for model in asked}
    for repeat in range(effort.repeats + 1):
        for model, message in asked.items():
            measured = asyncio.run(measure(url, message, callers, effort.seconds))
            if repeat:  # the first slice of each warms up
                slices[model].append(measured)
    per_second, ms = ({m: statistics.median(s[i] for s in slices[m]) for m in slices} for i in (0, 1))
    place = f"{name}.callers_{callers}.rows_{rows}"
    for word, model in (("ensemble", ENSEMBLE), ("router", FRONT)):
        report(f"{place}.{word}.requests_per_s", per_second[model], "1/s")
        report(f"{place}.{word}.latency_ms.median", ms[model], "ms")
    report(f"{place}.throughput_ratio", per_second[FRONT] / per_second[ENSEMBLE], "router / ensemble")


def request(model: str, rows: int) -> service_pb2.ModelInferRequest:
    """One encoded request."""
    features = np.random.default_rng(1).uniform(0, 1, (rows, WIDTH)).astype(np.float32)
    message = service_pb2.ModelInferRequest(model_name=model)
    message.inputs.add(name="features", datatype="FP32", shape=features.shape)
    message.raw_input_contents.append(features.tobytes())
    return message


async def measure(
    url: str, message: service_pb2.ModelInferRequest, callers: int, seconds: float
) -> tuple[float, float]:
    """Requests per second, and the median milliseconds of one, with so many *callers*."""
    async with grpc.aio.insecure_channel(url) as channel:
        infer = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=service_pb2.ModelInferRequest.SerializeToString,
            response_deserializer=service_pb2.ModelInferResponse.FromString,
        )
        took: list[float] = []
        ends = time.perf_counter() + seconds

        async def call() -> None:
            while (begun := time.perf_counter()) < ends:
                await infer(message)
                took.append(1000 * (time.perf_counter() - begun))

        await asyncio.gather(*(call() for _ in range(callers)))
    return len(took) / seconds, statistics.median(took)


if __name__ == "__main__":
    main()
