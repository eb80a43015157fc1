"""
200 promotions and rollbacks in a row while 32 callers, half over gRPC and half over HTTP, ask without a pause.

Two registered versions of a member alternate: the alias has moved, a promotion follows it, a rollback goes back. Each
answer is checked: the release that it names must be the one that computed it. Counted: requests that failed and answers
that were wrong (both 0), the 99th percentile of latency while fronts were flipped against the same at rest in the same
run, how long the calls took, and what the server grew by in memory and in ``/dev/shm``.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from report import report

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from sklearn.linear_model import Ridge

from sextant.errors import SextantError
from sextant_client import Client
from sextant_promote.control import Control
from sextant_promote.promotion import promote, rollback
from sextant_server import EmbeddedTriton
from small_world import World, draw, make_world

CALLERS = 32
REST_S = 10.0
SHARED = "/dev/shm/"  # noqa: S108  where the server and its Python processes exchange tensors
WINDOW_S = 0.1
"""After a call returned, for how long requests still count as asked during a flip."""
GREW = 0.05


@dataclass(frozen=True)
class Asked:
    """What one process of callers saw: begin and end of each request ``(N, 2)`` in seconds, failures, wrong answers."""

    times: np.ndarray
    failures: list[str]
    wrong: int


def ask_until(url: str, callers: int, truth: dict[int, np.ndarray], stop: Any, answers: Any) -> None:
    """*callers* threads on one protocol, each with a row of its own, until *stop*."""
    rows = draw(CALLERS, seed=9).features
    times: list[tuple[float, float]] = []
    failures: list[str] = []
    wrong = [0]

    def call(i: int) -> None:
        with Client(url) as client:
            locate = client.pipeline("locate")
            while not stop.is_set():
                begun = time.perf_counter()
                try:
                    fix = locate(rows[i])
                    wrong[0] += not np.allclose(truth[fix.release][i], (fix.latitude, fix.longitude), rtol=0, atol=1e-7)
                except SextantError as error:
                    failures.append(str(error))
                times.append((begun, time.perf_counter()))

    threads = [threading.Thread(target=call, args=(i,)) for i in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answers.put(Asked(np.array(times), failures, wrong[0]))


@contextmanager
def callers(urls: list[str], truth: dict[int, np.ndarray]) -> Iterator[list[Asked]]:
    """One process of callers a protocol; what they saw is in the list once the ``with`` block has ended."""
    context = multiprocessing.get_context("spawn")
    stop, answers = context.Event(), context.Queue()
    processes = [
        context.Process(target=ask_until, args=(url, CALLERS // len(urls), truth, stop, answers)) for url in urls
    ]
    seen: list[Asked] = []
    for process in processes:
        process.start()
    try:
        yield seen
    finally:
        stop.set()
        seen += [answers.get() for _ in processes]
        for process in processes:
            process.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="10 promotions and rollbacks instead of 200")
    rounds = 5 if parser.parse_args().quick else 100
    with tempfile.TemporaryDirectory() as folder:
        world = make_world(Path(folder))
        with (
            EmbeddedTriton(world.store.root) as triton,
            Control(triton.address.grpc, triton.address.token) as control,
        ):
            measure(world, triton, control, rounds)


def measure(world: World, triton: EmbeddedTriton, control: Control, rounds: int) -> None:
    pipeline = world.write_spec()
    truth = {1: expected(world, triton, control)}
    world.register("ridge", Ridge(alpha=50.0))
    truth |= {2: expected(world, triton, control)}
    flips: list[tuple[float, float]] = []
    backs: list[tuple[float, float]] = []
    with callers([triton.address.grpc, triton.address.http], truth) as seen:
        began = time.perf_counter()
        time.sleep(REST_S)
        before = None
        alias(world, 1)
        for _ in range(rounds):
            flips.append(timed(lambda: promote(pipeline, world.store, world.registry, control)))
            backs.append(timed(lambda: rollback(world.store, "locate", control)))
            before = before or footprint(triton)  # after the first flips: what a warm server holds
        after = footprint(triton)
        time.sleep(REST_S)
        ended = time.perf_counter()
    told(seen, flips, backs, (began, ended))
    for name, first, last in zip(("server_rss", "shared_memory"), before or after, after, strict=True):
        grew = last / first - 1
        report(f"flips.{name}_growth", round(grew, 4), "share", target=f"<= {GREW}", ok=grew <= GREW)


def expected(world: World, triton: EmbeddedTriton, control: Control) -> np.ndarray:
    """Promote what the registry says now; where its release puts each caller's row, ``(CALLERS, 2)``."""
    done = promote(world.write_spec(), world.store, world.registry, control)
    with Client(triton.address.grpc) as client:
        fixes = client.pipeline(done.receipt.name)(draw(CALLERS, seed=9).features)
    return np.array([(fix.latitude, fix.longitude) for fix in fixes])


def alias(world: World, version: int) -> None:
    import mlflow

    mlflow.MlflowClient(world.registry.tracking_uri).set_registered_model_alias("ridge", "champion", str(version))


def timed(call: Any) -> tuple[float, float]:
    begun = time.perf_counter()
    call()
    return begun, time.perf_counter()


def footprint(triton: EmbeddedTriton) -> tuple[int, int]:
    """Bytes of the server's processes in memory, and of its regions in ``/dev/shm``."""
    server = psutil.Process(triton.address.pid)
    family = [server, *server.children(recursive=True)]
    mapped = {entry.path for process in family for entry in process.memory_maps() if entry.path.startswith(SHARED)}
    return sum(process.memory_info().rss for process in family), sum(Path(path).stat().st_size for path in mapped)


def told(
    seen: list[Asked], flips: list[tuple[float, float]], backs: list[tuple[float, float]], span: tuple[float, float]
) -> None:
    times = np.concatenate([asked.times for asked in seen])
    failures = [sentence for asked in seen for sentence in asked.failures]
    wrong = sum(asked.wrong for asked in seen)
    report("flips.requests", len(times), "requests")
    report("flips.failed_requests", len(failures), "requests", target="== 0", ok=not failures)
    report("flips.wrong_answers", wrong, "requests", target="== 0", ok=not wrong)
    latency_ms = (times[:, 1] - times[:, 0]) * 1000
    work = sorted([*flips, *backs])
    at_rest = (times[:, 1] < work[0][0]) & (times[:, 0] > span[0] + 1)
    during = np.zeros(len(times), bool)
    for begun, ended in work:
        during |= (times[:, 1] >= begun) & (times[:, 0] <= ended + WINDOW_S)
    rest, busy = (float(np.quantile(latency_ms[mask], 0.99)) for mask in (at_rest, during))
    report("flips.p99_at_rest_ms", rest, "ms")
    report("flips.p99_during_ms", busy, "ms")
    report("flips.p99_ratio", busy / rest, "ratio", target="<= 2", ok=busy <= 2 * rest)
    for name, calls in (("promote", flips), ("rollback", backs)):
        spent = [(ended - begun) * 1000 for begun, ended in calls]
        report(f"flips.{name}_ms.median", float(np.median(spent)), "ms")
        report(f"flips.{name}_ms.max", float(np.max(spent)), "ms")


if __name__ == "__main__":
    main()
