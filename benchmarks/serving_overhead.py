"""
What the embedded Triton costs: rows per second through it, against ONNX Runtime in the caller's own process.

Both run the same file, in the same number of threads on the same cores, with the same number of callers asking at
once, a slice of one after a slice of the other so that a busy moment hits both. The load generator shares the cores
with the server, and what it takes to send and receive is in Triton's rows per second; ``cpu_ratio`` leaves it out: the
seconds of processor a row takes in process, to those it takes in the server and its models.
The convolutional model reads a mel spectrogram of 128 bands by 128 frames and is built with seeded weights.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import statistics
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import grpc.aio
import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import psutil
from onnx import TensorProto, helper, numpy_helper
from tritonclient.grpc import service_pb2

from report import report
from sextant_server import EmbeddedTriton, ServerAddress

SEED = 20240229
BATCHES = (1, 64)
LEAST_RATIO = 0.9
CORES = len(os.sched_getaffinity(0))

Rows = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Model:
    """A graph to serve: *dims* in and *width* numbers out for each row."""

    name: str
    graph: onnx.ModelProto
    dims: tuple[int, ...]
    width: int
    target: float | None

    def rows(self, count: int) -> Rows:
        """Seeded rows."""
        return np.random.default_rng(SEED).standard_normal((count, *self.dims)).astype(np.float32)

    def config(self) -> str:
        """One single-threaded instance a core, so that the cores never wait for one another."""
        return f"""
            name: "{self.name}" backend: "onnxruntime" max_batch_size: {max(BATCHES)}
            input {{ name: "x" data_type: TYPE_FP32 dims: {list(self.dims)} }}
            output {{ name: "y" data_type: TYPE_FP32 dims: [{self.width}] }}
            instance_group {{ kind: KIND_CPU count: {CORES} }} dynamic_batching {{ }}
            parameters {{ key: "intra_op_thread_count" value {{ string_value: "1" }} }}
        """


def convolutional(side: int = 128) -> Model:
    """3x3 convolutions with pooling over *side* squared: 1.7 million parameters, at 128 0.6 billion products a row."""
    random = np.random.default_rng(SEED)
    nodes, weights, channels, tensor = [], [], 1, "x"
    for layer, (width, halved) in enumerate(
        [(32, True), (64, True), (128, False), (128, True), (256, False), (256, True), (256, False)]
    ):
        scale = np.sqrt(2 / (9 * channels))
        kernel = (random.standard_normal((width, channels, 3, 3)) * scale).astype(np.float32)
        weights.append(numpy_helper.from_array(kernel, f"kernel_{layer}"))
        nodes += _block(layer, tensor, halved=halved)
        tensor, channels = nodes[-1].output[0], width
    head = random.standard_normal((channels, 2)).astype(np.float32)
    weights.append(numpy_helper.from_array(head, "head"))
    nodes.append(helper.make_node("GlobalAveragePool", [tensor], ["pooled"]))
    nodes.append(helper.make_node("Flatten", ["pooled"], ["flat"]))
    nodes.append(helper.make_node("MatMul", ["flat", "head"], ["y"]))
    dims = (1, side, side)
    return Model("convolutional", _graph(nodes, weights, dims, 2), dims, 2, LEAST_RATIO)


def _block(layer: int, tensor: str, *, halved: bool) -> list[onnx.NodeProto]:
    names = [f"{kind}_{layer}" for kind in ("convolved", "rectified", "halved")]
    pads = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", [tensor, f"kernel_{layer}"], names[:1], **pads),
        helper.make_node("Relu", names[:1], names[1:2]),
    ]
    if halved:
        nodes.append(helper.make_node("MaxPool", names[1:2], names[2:], kernel_shape=[2, 2], strides=[2, 2]))
    return nodes


def _graph(
    nodes: list[onnx.NodeProto], weights: list[onnx.TensorProto], dims: tuple[int, ...], width: int
) -> onnx.ModelProto:
    info = helper.make_tensor_value_info
    inputs = [info("x", TensorProto.FLOAT, ["rows", *dims])]
    outputs = [info("y", TensorProto.FLOAT, ["rows", width])]
    graph = helper.make_graph(nodes, "spectrogram", inputs, outputs, initializer=weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def forest() -> Model:
    """A hundred trees over 24 features."""
    from skl2onnx import to_onnx
    from sklearn.ensemble import RandomForestRegressor

    random = np.random.default_rng(SEED)
    features = random.standard_normal((4000, 24)).astype(np.float32)
    position = features[:, :2] + random.standard_normal((4000, 2))
    trees = RandomForestRegressor(100, max_depth=12, random_state=0, n_jobs=CORES).fit(features, position)
    graph = to_onnx(trees, features[:1], target_opset={"": 17, "ai.onnx.ml": 3})
    renamed = {graph.graph.input[0].name: "x", graph.graph.output[0].name: "y"}
    for node in graph.graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
    graph.graph.input[0].name, graph.graph.output[0].name = "x", "y"
    graph.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 2
    return Model("forest", graph, (24,), 2, None)


def in_process(path: Path, rows: Rows, callers: int, seconds: float) -> float:
    """Rows per second of *callers* threads on one session, each run in its caller's thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    answered = [0] * callers
    end = time.perf_counter() + seconds

    def ask(caller: int) -> None:
        while time.perf_counter() < end:
            session.run(["y"], {"x": rows})
            answered[caller] += len(rows)

    threads = [threading.Thread(target=ask, args=(caller,)) for caller in range(callers)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(answered) / (time.perf_counter() - start)


async def through_triton(url: str, model: str, rows: Rows, callers: int, seconds: float) -> float:
    """Rows per second of *callers* coroutines over gRPC, who send one request that was encoded before."""
    request, answered = encoded(model, rows), 0
    async with grpc.aio.insecure_channel(url, [("grpc.max_send_message_length", -1)]) as channel:
        infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        start = time.perf_counter()

        async def ask() -> None:
            nonlocal answered
            while time.perf_counter() < start + seconds:
                await infer(request)
                answered += len(rows)

        await asyncio.gather(*(ask() for _ in range(callers)))
        return answered / (time.perf_counter() - start)


def encoded(model: str, rows: Rows) -> bytes:
    """The request as it travels."""
    message = service_pb2.ModelInferRequest(model_name=model, raw_input_contents=[rows.tobytes()])
    message.inputs.add(name="x", datatype="FP32", shape=rows.shape)
    message.outputs.add(name="y")
    return message.SerializeToString()


def cpu_s(pid: int) -> float:
    """The seconds that the process *pid* and its children have computed."""
    process = psutil.Process(pid)
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return sum(each.user + each.system for each in times)


def publish(store: Path, model: Model) -> Path:
    """Put *model* into *store*; gives its file."""
    version = store / "models" / model.name / "1"
    version.mkdir(parents=True)
    (version.parent / "config.pbtxt").write_text(model.config(), encoding="utf-8")
    onnx.save(model.graph, version / "model.onnx")
    return version / "model.onnx"


@dataclass(frozen=True)
class Effort:
    """How long a slice lasts, how often each is repeated, and with how many callers."""

    seconds: float
    repeats: int
    callers: tuple[int, ...]


FULL = Effort(seconds=2.0, repeats=5, callers=(1, 8, 32))
QUICK = Effort(seconds=0.5, repeats=2, callers=(1, 8))


def compare(address: ServerAddress, model: Model, path: Path, effort: Effort) -> None:
    """Report both figures and their ratio for every batch and number of callers: medians of slices in turn."""
    url = address.grpc.removeprefix("grpc://")
    for batch, callers in itertools.product(BATCHES, effort.callers):
        rows = model.rows(batch)
        near, far, near_cpu, far_cpu = [], [], [], []
        for _ in range(effort.repeats):
            began = time.process_time()
            near.append(in_process(path, rows, callers, effort.seconds))
            near_cpu.append((time.process_time() - began) / near[-1])
            began = cpu_s(address.pid)
            far.append(asyncio.run(through_triton(url, model.name, rows, callers, effort.seconds)))
            far_cpu.append((cpu_s(address.pid) - began) / far[-1])
        tell(model, batch, callers, statistics.median(near), statistics.median(far))
        share = statistics.median(near_cpu) / statistics.median(far_cpu)
        report(f"serving.{model.name}.batch_{batch}.callers_{callers}.cpu_ratio", round(share, 3), "1")


def tell(model: Model, batch: int, callers: int, near: float, far: float) -> None:
    """Three lines: what each reached, and their ratio."""
    name = f"serving.{model.name}.batch_{batch}.callers_{callers}"
    report(f"{name}.in_process", round(near, 1), "rows/s")
    report(f"{name}.triton", round(far, 1), "rows/s")
    aimed = model.target is not None and callers >= 8
    ok = far / near >= LEAST_RATIO if aimed else None
    report(f"{name}.ratio", round(far / near, 3), "1", target=f">= {LEAST_RATIO}" if aimed else None, ok=ok)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="under 40 s, and less certain")
    quick = parser.parse_args(arguments).quick
    with tempfile.TemporaryDirectory(prefix="serving-overhead-") as folder:
        store, models = Path(folder) / "store", [convolutional(), forest()]
        paths = [publish(store, model) for model in models]
        start = time.perf_counter()
        with EmbeddedTriton(store, models=[model.name for model in models]) as triton:
            triton.wait_ready()
            took = time.perf_counter() - start
            report("serving.start", round(took, 3), "s", target="< 2", ok=took < 2)
            for model, path in zip(models, paths, strict=True):
                compare(triton.address, model, path, QUICK if quick else FULL)


if __name__ == "__main__":
    main()
