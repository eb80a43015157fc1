"""
A smallest pipeline on trial: ``sums`` adds up what it is asked, and each version adds a number of its own to that.

So whoever asks knows who answered. One version fails on rows that begin with POISON; another waits for company before
it answers.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import yaml
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from sextant.errors import ClientError
from sextant_client import Client
from sextant_export.pipeline import Pipeline, load_pipeline
from small_world import World

if TYPE_CHECKING:
    from typing_extensions import Self

POISON = 777.0
SERVING, CANDIDATE = 1000, 2000
"""What the two versions add."""
WAITS_US = 150_000
CANARY: Mapping[str, Any] = {
    "weights": [0.3, 0.5],
    "alpha": 0.01,
    "requests": 30,
    "at_most_s": 60,
    "poll_s": 0.02,
    "errors": 0.2,
    "slow": 0.9,
}
"""Quick trials that take nobody for slow who is not by far: the machine may be busy, and a pause hits who it hits."""


def adding(number: int, *, poisoned: bool = False) -> onnx.ModelProto:
    """A graph that adds up rows of eight, and *number* to that."""
    nodes = [
        helper.make_node("ReduceSum", ["features", "axis"], ["sum"], keepdims=1),
        helper.make_node("Slice", ["features", "from", "to", "axis"], ["first"]),
        helper.make_node("Equal", ["first", "poison"], ["bad"]),
        helper.make_node("Where", ["bad", "beyond", "from"], ["place"]),
        helper.make_node("Gather", ["numbers", "place"], ["number"]),
        helper.make_node("Add", ["sum", "number"], ["total"]),
    ]
    constants = {
        "axis": np.array([1]),
        "from": np.array([0]),
        "to": np.array([1]),
        "poison": np.float32([POISON]),
        "beyond": np.array([9 if poisoned else 0]),
        "numbers": np.float32([number]),
    }
    graph = helper.make_graph(
        nodes,
        "adding",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, 8])],
        [helper.make_tensor_value_info("total", TensorProto.FLOAT, [None, 1])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    made.ir_version = 10
    return made


def register(world: World, name: str, number: int, **graph: Any) -> int:
    """Register the version that adds *number* as *name*, and move ``champion`` to it."""
    shown = SimpleNamespace(predict=lambda rows: np.zeros((len(rows), 1), np.float32))
    made = adding(number, **graph)
    return world.log(name, lambda mlflow, **facts: mlflow.onnx.log_model(made, **facts), shown, "champion")


def page(world: World, name: str, canary: Any = False, *, waits_us: int = 0) -> Pipeline:
    """The page ``sums.yaml`` whose one member is *name*."""
    spec = {
        "name": "sums",
        "answer": "tensors",
        "members": {"adding": f"models:/{name}@champion"},
        "steps": ["members"],
        "serving": {"max_batch_size": 64, "max_queue_delay_us": waits_us, "instances": 1},
        "canary": canary,
    }
    path = world.root / "sums.yaml"
    path.write_text(yaml.safe_dump(spec, sort_keys=False), encoding="utf-8")
    return load_pipeline(path)


@dataclass
class Callers:
    """
    Threads that ask ``sums`` at each of *urls*, one row after the other, until the ``with`` block ends.

    Every third of their rows begins with POISON.  *answers* counts who answered, by what was added, *failures* are
    what came instead; *heard* is called with each number.
    """

    urls: Sequence[str]
    heard: Callable[[int], object] = lambda _: None
    timeout_s: float = 60
    answers: Counter[int] = field(default_factory=Counter)
    failures: list[ClientError] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._over, self._answered = threading.Event(), threading.Semaphore(0)
        self._threads = [threading.Thread(target=self._call, args=(url,)) for url in self.urls]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, answers: int) -> None:
        """Return after so many answers."""
        for _ in range(answers):
            assert self._answered.acquire(timeout=30)

    def _call(self, url: str) -> None:
        rows = np.ones((3, 8), np.float32)
        rows[2, 0] = POISON
        with Client(url, timeout_s=self.timeout_s) as client:
            while not self._over.is_set():
                for row in rows:
                    self._ask(client, row)

    def _ask(self, client: Client, row: NDArray[np.float32]) -> None:
        try:
            added = int(client.pipeline("sums")(row)["total"][0] - row.sum())
        except ClientError as error:
            self.failures.append(error)
            return
        self.answers[added] += 1
        self._answered.release()
        self.heard(added)


def heard_at(urls: Sequence[str], answers: int = 12) -> set[int]:
    """Who answers now."""
    with Callers(urls) as callers:
        callers.wait_for(answers)
    return {*callers.answers}
