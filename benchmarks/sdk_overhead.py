"""
What the client costs: ``client.pipeline(...)`` with its checks and typed fixes, against raw ``tritonclient``.

Both ask the same model of the same server for all its tensors of a position answer, in turn and in blocks, so that
whatever else the machine does meets both alike. Two models: the demo's ``locate``, to which the targets apply, and the
shortest pipeline there could be, the worst case for a client: a block that checks its input, and a perceptron
(520 -> 512 -> 512) that answers a position. The raw call builds its inputs, names its outputs and reads them as arrays;
it makes no fixes. Run: ``python benchmarks/sdk_overhead.py``.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import tritonclient.grpc
import tritonclient.http

from report import report
from sextant_cli.demo.bay import simulate
from sextant_cli.demo.members import BAY
from sextant_cli.demo.story import Folder, tell
from sextant_cli.narrator import Narrator
from sextant_client import Client
from sextant_server import EmbeddedTriton

sys.path.append(str(Path(__file__).parents[1] / "tests"))

import client_store  # a test's store, as it stands

WIDTH = 520
BLOCKS, CALLS = 40, 25
LIMITS = {1: 1.15, 64: 1.05}
LIBRARIES = {"grpc": tritonclient.grpc, "http": tritonclient.http}

PERCEPTRON = f"""
    def initialize(self, args):
        random = np.random.default_rng(1)
        self.layers = [random.normal(size=(size, 512)).astype(np.float32) / 30 for size in ({WIDTH}, 512)]

    def perceive(self, scaled):
        for layer in self.layers:
            scaled = np.maximum(scaled @ layer, 0)
        return scaled
""" + client_store.FIX.replace('read(request, "scaled")', 'self.perceive(read(request, "scaled"))')


def main() -> None:
    demo = Folder(Path("var"))
    survey = simulate()
    tell(survey, BAY, demo, Narrator())
    measure("locate", demo.store, survey.features, LIMITS)
    with tempfile.TemporaryDirectory() as folder:
        client_store.write_locate(Path(folder, "models"), WIDTH, batch=64, fix=PERCEPTRON)
        noise = np.random.default_rng(1).normal(size=(64, WIDTH)).astype(np.float32)
        measure("shortest", Path(folder), noise, dict.fromkeys(LIMITS))


def measure(name: str, store: Path, features: np.ndarray, limits: Mapping[int, float | None]) -> None:
    with EmbeddedTriton(store, models=["locate"], stop_timeout_s=1) as triton:
        for scheme in LIBRARIES:
            for rows, limit in limits.items():
                compare(f"sdk.{name}.{scheme}", getattr(triton.address, scheme), features[:rows], limit)


def compare(name: str, url: str, features: np.ndarray, limit: float | None) -> None:
    scheme, rows = name.rpartition(".")[2], len(features)
    raw_client, client = LIBRARIES[scheme].InferenceServerClient(url.partition("//")[2]), Client(url)
    names = list(client.pipeline("locate").tensors(features))
    raw, ours = raw_call(LIBRARIES[scheme], raw_client, features, names), our_call(client, features)
    raw_s, ours_s = alternately(raw, ours)
    raw_client.close()
    client.close()
    ratio = round(ours_s / raw_s, 3)
    report(f"{name}.batch_{rows}.raw", round(raw_s * 1e6), "us")
    report(f"{name}.batch_{rows}.sextant", round(ours_s * 1e6), "us")
    given = {"target": f"<= {limit}", "ok": ratio <= limit} if limit else {}
    report(f"{name}.batch_{rows}.ratio", ratio, "x", **given)


def raw_call(library: Any, client: Any, features: np.ndarray, names: list[str]) -> Callable[[], object]:
    def call() -> object:
        tensor = library.InferInput("features", features.shape, "FP32")
        tensor.set_data_from_numpy(features)
        outputs = [library.InferRequestedOutput(name) for name in names]
        answer = client.infer("locate", [tensor], outputs=outputs)
        return {name: answer.as_numpy(name) for name in names}

    return call


def our_call(client: Client, features: np.ndarray) -> Callable[[], object]:
    pipeline = client.pipeline("locate")
    return lambda: pipeline(features)


def alternately(*calls: Callable[[], object]) -> list[float]:
    """The median seconds of each call, asked block by block in turn."""
    times: list[list[float]] = [[] for _ in calls]
    for block in range(BLOCKS + 1):
        for call, taken in zip(calls, times, strict=True):
            seconds = [timed(call) for _ in range(CALLS)]
            if block:  # the first one warms up
                taken.extend(seconds)
    return [median(taken) for taken in times]


def timed(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
