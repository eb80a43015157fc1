"""
One graph against the ensemble it was made of: how far their answers differ, and what each serves.

Both releases stand in one embedded Triton and are asked in turn, a slice of the one after a slice of the other, by
callers that share the cores with the server. ``small`` is a pipeline of three small tabular members: what it costs is
passing tensors from model to model, and that is what a graph saves. ``radio`` is the example's pipeline of six
receivers' windows, whose limit is the members' own arithmetic; ``in_process`` is that arithmetic without any server,
ONNX Runtime and NumPy on the same cores, a thread a core, which is where it is fastest. A graph is one model where an
ensemble is several, so it has a copy a core and they one each. ``cpu`` is what a row costs the server in microseconds
of processor, which other work on the cores does not touch.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import grpc.aio
import numpy as np
import psutil
from tritonclient.grpc import service_pb2

from report import report

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
import onnxruntime as ort
import yaml
from google.protobuf import text_format
from radio.service import Folder, prepare, spec
from radio.windows import QUICK, test
from tritonclient.grpc.model_config_pb2 import ModelConfig

from sextant.blocks import BLOCKS
from sextant_cli.narrator import Narrator
from sextant_client import Client
from sextant_export.pipeline import Pipeline, load_pipeline
from sextant_export.receipt import Receipt
from sextant_export.registry import Registry
from sextant_export.store import Store
from sextant_promote.control import Control
from sextant_promote.promotion import promote
from sextant_server import EmbeddedTriton
from small_world import draw, make_world

Arrays = dict[str, Any]
SMALL_RATIO, MEMBERS_RATIO = 2.5, 0.9
CORES = len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Effort:
    """How long a slice lasts, and how often each is repeated."""

    seconds: float
    repeats: int


@dataclass(frozen=True)
class Served:
    """Both releases of one pipeline in one Triton, and rows to ask."""

    name: str
    url: str
    pid: int
    plain: Receipt
    fused: Receipt
    rows: Any
    input: str


def serve(name: str, registry: Registry, pages: Callable[..., Pipeline], rows: Any, root: Path, then: Any) -> None:
    """Promote a pipeline as an ensemble and as a graph, and have both asked by *then*."""
    store = Store(root).prepare()
    with EmbeddedTriton(store.root) as triton, Control(triton.address.grpc, triton.address.token) as control:
        plain, fused = (
            promote(pages(fuse_graph=asked), store, registry, control, Narrator(io.StringIO())).receipt
            for asked in (False, True)
        )
        url = triton.address.grpc
        tell_differences(name, url, plain, fused, rows)
        then(Served(name, url.removeprefix("grpc://"), triton.address.pid, plain, fused, rows, input_of(plain)), store)


def input_of(receipt: Receipt) -> str:
    """The name of the pipeline's only input."""
    return str(text_format.Parse(receipt.ensemble, ModelConfig()).input[0].name)


def tell_differences(name: str, url: str, plain: Receipt, fused: Receipt, rows: Any) -> None:
    """The largest difference of each output; of what is no real number, how many values differ."""
    with Client(url, timeout_s=120) as client:
        one, other = (client.pipeline(receipt.name).tensors(rows) for receipt in (plain, fused))
    report(f"fused.{name}.rows_compared", len(rows), "rows")
    for tensor in sorted(one.keys() - {"release"}):
        if one[tensor].dtype.kind == "f":
            report(f"fused.{name}.delta.{tensor}", float(np.abs(one[tensor] - other[tensor]).max()), "1")
        else:
            differ = int((one[tensor] != other[tensor]).sum())
            report(f"fused.{name}.differ.{tensor}", differ, "values", target="== 0", ok=not differ)


async def asked(served: Served, model: str, batch: int, callers: int, seconds: float) -> tuple[float, float]:
    """Rows per second of *callers*, each with one request under way, and the median of what one waits, in ms."""
    rows = served.rows[:batch]
    message = service_pb2.ModelInferRequest(model_name=model, raw_input_contents=[rows.tobytes()])
    message.inputs.add(name=served.input, datatype="FP32", shape=rows.shape)
    request, waits = message.SerializeToString(), []
    async with grpc.aio.insecure_channel(served.url, [("grpc.max_send_message_length", -1)]) as channel:
        infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        start = time.perf_counter()

        async def ask() -> None:
            while (begun := time.perf_counter()) < start + seconds:
                await infer(request)
                waits.append(time.perf_counter() - begun)

        await asyncio.gather(*(ask() for _ in range(callers)))
        took = time.perf_counter() - start
    return len(waits) * batch / took, statistics.median(waits) * 1000


def cpu_s(pid: int) -> float:
    """The seconds that the process *pid* and its children have computed."""
    process = psutil.Process(pid)
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return sum(each.user + each.system for each in times)


class Slice(NamedTuple):
    """Rows per second, the median of what a caller waits in ms, and microseconds of processor a row."""

    rate: float
    wait_ms: float
    cpu_us: float


def served_slice(served: Served, model: str, batch: int, callers: int, seconds: float) -> Slice:
    """Of the release *model*, the processor's time being the server's."""
    began = cpu_s(served.pid)
    rate, wait = asyncio.run(asked(served, model, batch, callers, seconds))
    return Slice(rate, wait, (cpu_s(served.pid) - began) / (rate * seconds) * 1e6)


def near_slice(ask: Callable[[Any], Any], rows: Any, callers: int, seconds: float) -> Slice:
    """Of *ask* in as many threads of this process."""
    waits: list[float] = []
    began, start = time.process_time(), time.perf_counter()

    def call() -> None:
        while (begun := time.perf_counter()) < start + seconds:
            ask(rows)
            waits.append(time.perf_counter() - begun)

    threads = [threading.Thread(target=call) for _ in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took, answered = time.perf_counter() - start, len(waits) * len(rows)
    cpu = (time.process_time() - began) / answered
    return Slice(answered / took, statistics.median(waits) * 1000, cpu * 1e6)


def in_turn(slices: Mapping[str, Callable[[], Slice]], repeats: int) -> dict[str, Slice]:
    """The medians of all *slices*, taken in turn so that a busy moment hits each."""
    found: dict[str, list[Slice]] = {name: [] for name in slices}
    for _ in range(repeats):
        for name, one in slices.items():
            found[name].append(one())
    return {name: Slice(*map(statistics.median, zip(*each, strict=True))) for name, each in found.items()}


def compare(served: Served, batch: int, callers: int, effort: Effort, near: InProcess | None = None) -> None:
    """Both releases, and where *near* is given the same arithmetic without a server: rates, waits and processor."""
    rows, seconds = served.rows[:batch], effort.seconds
    slices = {
        "ensemble": partial(served_slice, served, served.plain.name, batch, callers, seconds),
        "graph": partial(served_slice, served, served.fused.name, batch, callers, seconds),
    }
    if near is not None:
        slices["in_process"] = partial(near_slice, near.ensemble, rows, CORES, seconds)
        slices["graph_in_process"] = partial(near_slice, near.fused, rows, CORES, seconds)
    found = in_turn(slices, effort.repeats)
    name = f"fused.{served.name}.batch_{batch}.callers_{callers}"
    for word, one in found.items():
        report(f"{name}.{word}", round(one.rate, 1), "rows/s")
        report(f"{name}.{word}_p50", round(one.wait_ms, 3), "ms")
        report(f"{name}.{word}_cpu", round(one.cpu_us, 1), "us/row")
    plain, fused = found["ensemble"], found["graph"]
    ratio = fused.rate / plain.rate
    aimed = near is None and (batch, callers) == (1, 32)
    tell(f"{name}.ratio", ratio, SMALL_RATIO if aimed else None)
    tell(f"{name}.p50_ratio", fused.wait_ms / plain.wait_ms, None)
    tell(f"{name}.cpu_ratio", plain.cpu_us / fused.cpu_us, None)
    if near is not None:
        for word in ("ensemble", "graph"):
            target = MEMBERS_RATIO if (batch, callers) == (8, 8) else None
            tell(f"{name}.{word}_of_in_process", found[word].rate / found["in_process"].rate, target)
            tell(f"{name}.{word}_cpu_of_in_process", found["in_process"].cpu_us / found[word].cpu_us, None)


def tell(name: str, ratio: float, target: float | None) -> None:
    """A ratio, and whether it is what it should be."""
    aimed = None if target is None else f">= {target}"
    report(name, round(ratio, 3), "1", target=aimed, ok=None if target is None else ratio >= target)


class InProcess:
    """The steps of a release without a server: blocks in NumPy, members in ONNX Runtime with one thread each."""

    def __init__(self, served: Served, store: Store) -> None:
        self.blocks = {name: BLOCKS[name](given) for name, given in served.plain.blocks.items()}
        self.members = {
            name: session(store.models / fact["model"] / str(fact["version"]) / "model.onnx")
            for name, fact in served.plain.members.items()
        }
        self.graph = session(store.models / served.fused.models[0][0] / str(served.fused.release) / "model.onnx")
        self.input = served.input

    def ensemble(self, rows: Any) -> Arrays:
        """What the ensemble answers."""
        features = self.blocks["log_mel"](**{self.input: rows})["log_mel"]
        said: Arrays = {}
        for slot, member in enumerate(self.members.values()):
            answers = member.run(None, {member.get_inputs()[0].name: features})
            for output, array in zip(member.get_outputs(), answers, strict=True):
                said[f"{'member' if output.name == 'position' else output.name}_{slot}"] = array
        return self.blocks["ellipse"](**self.blocks["fuse"](**said))

    def fused(self, rows: Any) -> Any:
        """What the graph answers."""
        return self.graph.run(None, {self.input: rows})


def session(path: Path) -> Any:
    """The graph at *path* in one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def small(root: Path, effort: Effort) -> None:
    """Three small tabular members."""
    world = make_world(root)

    def page(*, fuse_graph: bool) -> Pipeline:
        serving = {"max_batch_size": 64, "max_queue_delay_us": 0, "instances": CORES if fuse_graph else 1}
        return world.write_spec({"serving": {**serving, **({"fuse_graph": True} if fuse_graph else {})}})

    def measure(served: Served, _store: Store) -> None:
        for batch, callers in ((1, 1), (1, 8), (1, 32), (8, 32)):
            compare(served, batch, callers, effort)

    serve("small", world.registry, page, draw(512, seed=5).features, world.store.root, measure)


def radio(root: Path, effort: Effort) -> None:
    """Six receivers' windows, three convolutional members."""
    folder, quiet = Folder(root), Narrator(io.StringIO())

    def measure(served: Served, store: Store) -> None:
        near = InProcess(served, store)
        for batch, callers in ((1, 1), (8, 8)):
            compare(served, batch, callers, effort, near)

    def page(*, fuse_graph: bool) -> Pipeline:
        prepare(folder, QUICK, quiet)
        decisions = spec(QUICK, fuse_graph=fuse_graph)
        decisions["serving"]["instances"] = CORES if fuse_graph else 1
        folder.page.write_text(yaml.safe_dump(decisions, sort_keys=False), encoding="utf-8")
        return load_pipeline(folder.page)

    serve("radio", Registry(folder.tracking_uri), page, test(QUICK).iq[:128], folder.store, measure)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="two short slices of each, under two minutes")
    parser.add_argument("--only", choices=("small", "radio"), help="one of the two pipelines")
    options = parser.parse_args(arguments)
    effort = Effort(seconds=1.0, repeats=2) if options.quick else Effort(seconds=2.0, repeats=5)
    for name, pipeline in (("small", small), ("radio", radio)):
        if options.only in (None, name):
            with tempfile.TemporaryDirectory(prefix="fused-graph-") as root:
                pipeline(Path(root), effort)


if __name__ == "__main__":
    main()
