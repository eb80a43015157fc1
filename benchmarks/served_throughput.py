"""
Rows per second of one registered model, served three ways side by side: converted, by its own Python, by MLflow.

``converted`` is the ONNX copy behind a Triton, ``own Python`` the same version with ``flavor: python_function`` behind
another, both over gRPC; ``mlflow`` is ``mlflow models serve`` with two workers, asked its own JSON over HTTP. Each has
two processes that compute, on the cores it shares with eight callers, who send one encoded request again and again.
The three are asked slice by slice in turn, so that a busy moment hits all of them, and the ratios are of medians.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import grpc.aio
import numpy as np
from tritonclient.grpc import service_pb2

from report import report

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from configurations import Configuration, Fitted
from configurations.data import bundled
from configurations.serving import Workshop
from sextant_export.store import Store
from sextant_promote.control import Control
from sextant_promote.promotion import promote
from sextant_server import EmbeddedTriton

CALLERS, WORKERS = 8, 2
BATCHES = (1, 64)
HEALTHY_S = 120
CONVERTED, OWN_PYTHON, MLFLOW = "converted", "own_python", "mlflow"


def forest() -> Fitted:
    """A hundred trees."""
    from sklearn.ensemble import RandomForestClassifier

    rows = bundled("breast_cancer")
    model = RandomForestClassifier(100, random_state=0).fit(rows.array, rows.y)

    def log(mlflow: Any, **facts: Any) -> Any:
        return mlflow.sklearn.log_model(model, serialization_format="cloudpickle", **facts)

    return Fitted(log, rows.array[:64], model.predict(rows.array[:64]))


def boosted() -> Fitted:
    """XGBoost's classifier, a hundred rounds."""
    import xgboost

    rows = bundled("breast_cancer")
    model = xgboost.XGBClassifier(n_estimators=100, n_jobs=1, random_state=0).fit(rows.array, rows.y)

    def log(mlflow: Any, **facts: Any) -> Any:
        return mlflow.xgboost.log_model(model, model_format="json", **facts)

    return Fitted(log, rows.array[:64], model.predict(rows.array[:64]))


MODELS = (
    Configuration("sklearn", "breast_cancer", "RandomForestClassifier", forest),
    Configuration("xgboost", "breast_cancer", "XGBClassifier", boosted),
)


@dataclass(frozen=True)
class Effort:
    """How long a slice lasts and how often each is repeated."""

    seconds: float
    repeats: int


FULL = Effort(seconds=3.0, repeats=5)
QUICK = Effort(seconds=1.0, repeats=2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two short slices of each, and less certain")
    effort = QUICK if parser.parse_args().quick else FULL
    with tempfile.TemporaryDirectory(prefix="throughput-") as folder:
        workshop = Workshop(Path(folder))
        for model in MODELS:
            workshop.log(model)
            with contextlib.ExitStack() as stack:
                urls = {
                    CONVERTED: stack.enter_context(triton(workshop, model, flavor=model.flavor)),
                    OWN_PYTHON: stack.enter_context(triton(workshop, model, flavor="python_function")),
                    MLFLOW: stack.enter_context(mlflow_server(workshop, model)),
                }
                for batch in BATCHES:
                    compare(model, urls, bundled("breast_cancer").array[:batch], effort)


@contextlib.contextmanager
def triton(workshop: Workshop, model: Configuration, flavor: str) -> Iterator[str]:
    """The gRPC address of a Triton of its own, in which *model* is served by *flavor*."""
    store = Store(workshop.root / f"{model.name}.{flavor}").prepare()
    page = workshop.page(model, instances=WORKERS, flavor=flavor)
    with EmbeddedTriton(store.root) as server, Control(server.address.grpc, server.address.token) as control:
        promote(page, store, workshop.registry, control)
        yield server.address.grpc.removeprefix("grpc://")


@contextlib.contextmanager
def mlflow_server(workshop: Workshop, model: Configuration) -> Iterator[str]:
    """The HTTP address of ``mlflow models serve``."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    uri = f"models:/{model.name}/1"
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", uri, "--env-manager", "local"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", str(WORKERS)]
    beside = {"MLFLOW_TRACKING_URI": workshop.registry.tracking_uri, "MLFLOW_DISABLE_TELEMETRY": "true"}
    environment = {**os.environ, **beside, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    with (workshop.root / "mlflow-serve.log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
    try:
        wait_until_healthy(f"http://127.0.0.1:{port}/ping", server)
        yield f"http://127.0.0.1:{port}/invocations"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


def wait_until_healthy(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + HEALTHY_S
    while server.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(url, timeout=5).close()  # noqa: S310  our own server on loopback
            return
        time.sleep(0.2)
    sys.exit("mlflow models serve did not come up")


def compare(model: Configuration, urls: Mapping[str, str], rows: np.ndarray, effort: Effort) -> None:
    """Three figures and two ratios, once all three have given the same labels."""
    asks = {CONVERTED: over_grpc, OWN_PYTHON: over_grpc, MLFLOW: over_http}
    labels = {way: asyncio.run(asks[way](urls[way], model.name, rows, None))[1] for way in urls}
    assert all(np.array_equal(labels[MLFLOW], given) for given in labels.values()), labels
    reached: dict[str, list[float]] = {way: [] for way in urls}
    for _ in range(effort.repeats):
        for way, url in urls.items():
            reached[way].append(asyncio.run(asks[way](url, model.name, rows, effort.seconds))[0])
    name = f"throughput.{model.name}.batch_{len(rows)}"
    medians = {way: statistics.median(each) for way, each in reached.items()}
    for way, rate in medians.items():
        report(f"{name}.{way}", round(rate, 1), "rows/s")
    for way in (MLFLOW, OWN_PYTHON):
        ratio = round(medians[CONVERTED] / medians[way], 2)
        report(f"{name}.converted_to_{way}", ratio, "x", target="> 1", ok=ratio > 1)


async def over_grpc(url: str, name: str, rows: np.ndarray, seconds: float | None) -> tuple[float, np.ndarray]:
    """Rows per second of all callers, and the labels of the last answer; one request where *seconds* is None."""
    message = service_pb2.ModelInferRequest(model_name=name, raw_input_contents=[rows.tobytes()])
    message.inputs.add(name="features", datatype="FP32", shape=rows.shape)
    message.outputs.add(name="prediction")
    request = message.SerializeToString()
    async with grpc.aio.insecure_channel(url) as channel:
        infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")

        async def ask() -> Any:
            return await infer(request)

        rate, answer = await by_all(ask, len(rows), seconds)
    given = service_pb2.ModelInferResponse.FromString(answer)
    kind = {"INT32": np.int32, "INT64": np.int64}[given.outputs[0].datatype]
    return rate, np.frombuffer(given.raw_output_contents[0], dtype=kind).ravel()


async def over_http(url: str, _name: str, rows: np.ndarray, seconds: float | None) -> tuple[float, np.ndarray]:
    """The same, of MLflow's scoring server."""
    body = json.dumps({"inputs": rows.tolist()}).encode()
    headers = {"Content-Type": "application/json"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CALLERS)) as session:

        async def ask() -> Any:
            async with session.post(url, data=body, headers=headers) as answer:
                return await answer.read()

        rate, answer = await by_all(ask, len(rows), seconds)
    return rate, np.array(json.loads(answer)["predictions"])


async def by_all(ask: Callable[[], Awaitable[Any]], rows: int, seconds: float | None) -> tuple[float, Any]:
    """Rows per second of eight callers who *ask* without a pause, and the last answer."""
    answer = await ask()
    if seconds is None:
        return 0.0, answer
    answered, begun = 0, time.perf_counter()

    async def call() -> None:
        nonlocal answered
        while time.perf_counter() < begun + seconds:
            await ask()
            answered += rows

    await asyncio.gather(*(call() for _ in range(CALLERS)))
    return answered / (time.perf_counter() - begun), answer


if __name__ == "__main__":
    main()
