"""
Promotion under load: 20 promotions and 20 rollbacks while 16 callers ask without a pause.

Each promotion is of a member version registered a moment before. Counted: requests, those that failed (target 0), and
the seconds from the call to the first answer of the new release; a promotion exports, proves, calibrates, loads and
gates meanwhile, on the two cores it shares with the callers.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from report import report

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from sklearn.linear_model import Ridge

from sextant.errors import SextantError
from sextant_cli.narrator import Narrator
from sextant_client import Client
from sextant_promote.control import Control
from sextant_promote.promotion import promote, rollback
from sextant_server import EmbeddedTriton
from small_world import World, draw, make_world

CALLERS = 16


@dataclass
class Callers:
    """*requests* and *failures* so far, and the moment each release was first seen."""

    url: str
    requests: int = 0
    failures: list[str] = field(default_factory=list)
    seen: dict[int, float] = field(default_factory=dict)
    stopped: threading.Event = field(default_factory=threading.Event)

    def start(self) -> list[threading.Thread]:
        """Every caller on a thread of its own."""
        threads = [threading.Thread(target=self._call, args=(i,)) for i in range(CALLERS)]
        for thread in threads:
            thread.start()
        return threads

    def _call(self, seed: int) -> None:
        row = draw(1, seed).features[0]
        with Client(self.url) as client:
            locate = client.pipeline("locate")
            while not self.stopped.is_set():
                try:
                    fix = locate(row)
                    self.seen.setdefault(fix.release, time.perf_counter())
                except SextantError as error:
                    self.failures.append(str(error))
                self.requests += 1

    def wait_for(self, release: int, since: float) -> float:
        """Milliseconds from *since* to the first answer of *release*; the callers saw none of it before."""
        while release not in self.seen:
            self.stopped.wait(0.0005)
        return (self.seen[release] - since) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="5 promotions and rollbacks instead of 20")
    rounds = 5 if parser.parse_args().quick else 20
    with tempfile.TemporaryDirectory() as folder:
        world = make_world(Path(folder))
        world.write_spec()
        with (
            EmbeddedTriton(world.store.root) as triton,
            Control(triton.address.grpc, triton.address.token) as control,
        ):
            measure(world, triton.address.grpc, control, rounds)


def measure(world: World, url: str, control: Control, rounds: int) -> None:
    pipeline = world.write_spec()
    promote(pipeline, world.store, world.registry, control)
    callers = Callers(url)
    threads = callers.start()
    whole, flips, back, first, first_back = [], [], [], [], []
    try:
        for i in range(rounds):
            world.register("ridge", Ridge(alpha=0.2 + i))
            before = control.release("locate")
            begun = time.perf_counter()
            narrator = Narrator(io.StringIO())
            done = promote(pipeline, world.store, world.registry, control, narrator)
            whole.append(time.perf_counter() - begun)
            flips += [seconds * 1000 for step, seconds in narrator.seconds.items() if step.startswith("flip")]
            first.append(callers.wait_for(done.release, begun))
            callers.seen.clear()
            begun = time.perf_counter()
            rollback(world.store, "locate", control)
            back.append((time.perf_counter() - begun) * 1000)
            first_back.append(callers.wait_for(before, begun))
            callers.seen.clear()
    finally:
        callers.stopped.set()
        for thread in threads:
            thread.join()
    report("promotion.requests", callers.requests, "requests")
    report("promotion.failed_requests", len(callers.failures), "requests", target="== 0", ok=not callers.failures)
    report("promotion.whole_s.median", float(np.median(whole)), "s")
    report("promotion.until_first_new_answer_s.median", float(np.median(first)) / 1000, "s")
    report("promotion.flip_ms.median", float(np.median(flips)), "ms")
    report("promotion.flip_ms.max", float(np.max(flips)), "ms")
    report("rollback.call_ms.median", float(np.median(back)), "ms")
    report("rollback.until_first_answer_ms.median", float(np.median(first_back)), "ms")
    report("rollback.until_first_answer_ms.max", float(np.max(first_back)), "ms")


if __name__ == "__main__":
    main()
