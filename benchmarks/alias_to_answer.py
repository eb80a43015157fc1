"""
From an alias that moves in MLflow to the first answer of the version it moved to, by the size of the member.

A network of seeded matrices, its weights in a file beside it, is registered twice with other weights. ``sextant watch``
keeps a pipeline of that one member, without gates or canary, on an embedded Triton, and looks at the registry because
MLflow's server delivers a webhook; it would poll an hour later. The alias moves in that server, while a caller asks
again and again. Where the time went is told from the moments at which the watch says that a step has ended: detection
(delivery, lookup, what is kept in order first), export (fetch, convert, prove, stage), load, second proof, flip.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from report import report

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from mlflow import MlflowClient

from export_memory import NAME, ROW, log
from mlflow_server import mlflow_server
from sextant_export.store import files_of
from sextant_promote.control import Control
from sextant_promote.hooks import PATH
from sextant_server import EmbeddedTriton
from small_world import World

PIPELINE = "answer"
SECRET = "a secret of the benchmark"  # noqa: S105  nobody else may ring, and nobody else is there
PRIVATE = {"MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true", "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http"}
SIZES = {"1_mb": (0, 512), "100_mb": (6, 2048), "1_gb": (15, 4096)}
"""How many matrices follow the first, and how wide they are."""
PARTS = {"detection": "resolve", "export": "stage", "load": "load", "second_proof": "prove again", "flip": "flip"}
"""Each part of the time, and the step that ends it."""
PAUSE_S = 0.005
ANSWERED_S = 60.0


@dataclass
class Watch:
    """``sextant watch`` at work: *hook* is where MLflow may deliver; *ended* says when each step did."""

    process: subprocess.Popen[str]
    hook: str
    ended: dict[str, float] = field(default_factory=dict)

    def until(self, event: str) -> dict[str, Any]:
        """The next notice of this *event*."""
        for line in self.process.stdout or ():
            notice: dict[str, Any] = json.loads(line)
            if notice["event"] == "step":
                self.ended[notice["sentence"]] = time.monotonic()
            elif notice["event"] == event:
                return notice
            else:
                print(f"{notice['event']}: {notice['sentence']}", file=sys.stderr)
        raise RuntimeError(f"the watch ended before anything was {event}")

    def end_of(self, step: str) -> float:
        """When the last step ended whose title begins with *step*."""
        return max(moment for title, moment in self.ended.items() if title.startswith(step))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="without the largest")
    quick = parser.parse_args().quick
    for name, (matrices, width) in list(SIZES.items())[: 2 if quick else None]:
        with tempfile.TemporaryDirectory(prefix="alias-to-answer-") as folder:
            measure(name, World(Path(folder)), matrices, width)


def measure(name: str, world: World, matrices: int, width: int) -> None:
    for seed in (1, 2):  # in a process of its own, so that its memory is given back
        apart = multiprocessing.get_context("spawn").Process(target=log, args=(world.root, matrices, width, seed))
        apart.start()
        apart.join()
    client = MlflowClient(world.registry.tracking_uri)
    client.set_registered_model_alias(NAME, "champion", "1")
    with (
        EmbeddedTriton(world.store.prepare().root) as triton,
        mlflow_server(world, **PRIVATE) as url,
        watching(world, write_page(world)) as watch,
    ):
        watch.until("promoted")
        client = MlflowClient(url, registry_uri=url)
        client.create_webhook("sextant", watch.hook, ["model_version_alias.created"], secret=SECRET)
        watch.ended.clear()
        with asking(triton) as answered:
            moved = time.monotonic()
            client.set_registered_model_alias(NAME, "champion", "2")
            watch.until("promoted")
    size = sum(file.stat().st_size for file in files_of(world.store.models / NAME / "2"))
    told(name, size, watch, moved, answered[0])


def write_page(world: World) -> Path:
    page = {
        "name": PIPELINE,
        "answer": "tensors",
        "members": {"model": {"model_uri": f"models:/{NAME}@champion", "fallback": False}},
        "steps": ["members"],
    }
    world.spec.write_text(yaml.safe_dump(page, sort_keys=False), encoding="utf-8")
    return world.spec


@contextmanager
def watching(world: World, page: Path) -> Iterator[Watch]:
    """The command, from its start until it is told to end."""
    where = ["--store", str(world.store.root), "--registry", world.registry.tracking_uri]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    when = ["--every", "3600", "--hook", f"127.0.0.1:{port}", "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "sextant_cli", "watch", str(page), *where, *when],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "SEXTANT_HOOK_SECRET": SECRET, "TMPDIR": str(world.root)},
    )
    try:
        yield Watch(process, f"http://127.0.0.1:{port}{PATH}")
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


@contextmanager
def asking(triton: EmbeddedTriton) -> Iterator[list[float]]:
    """A caller; gives when the answer changed. A request that fails ends the measurement."""
    changed: list[float] = []
    stopped = threading.Event()
    row = np.random.default_rng(0).normal(size=(1, ROW)).astype(np.float32)

    def ask() -> None:
        with Control(triton.address.grpc) as control:
            before = control.answer(PIPELINE, 1, {"x": row})["y"]
            while not (changed or stopped.wait(PAUSE_S)):
                if not np.allclose(control.answer(PIPELINE, 1, {"x": row})["y"], before, atol=1e-3):
                    changed.append(time.monotonic())

    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask)
        try:
            yield changed
            asked.result(ANSWERED_S)
        finally:
            stopped.set()


def told(name: str, size: int, watch: Watch, moved: float, answered: float) -> None:
    report(f"alias_to_answer.{name}.member", round(size / 1e6, 1), "MB")
    report(f"alias_to_answer.{name}.whole", round(answered - moved, 3), "s")
    begun = moved
    for part, step in PARTS.items():
        ended = watch.end_of(step)
        report(f"alias_to_answer.{name}.{part}", round(ended - begun, 3), "s")
        begun = ended


if __name__ == "__main__":
    main()
