"""
Whether a load test measures what NVIDIA's ``perf_analyzer`` does: the same model, callers and rows, in turns.

Both are closed loops over gRPC: so many callers, each asking again as soon as it is answered. ``arithmetic`` is a graph
of matrix products with one instance, no batching and one thread, so that it keeps one core busy and leaves the other to
whoever asks: there the two should agree. ``locate`` is three members and four blocks in many processes, which take
both cores; a generator in Python takes some of that from the server, and how much is reported without a target.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from perf_analyzer import Measured, PerfAnalyzer
from report import report

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from sextant_export.pipeline import load_pipeline
from sextant_loadtest.figures import Figures
from sextant_loadtest.load import LoadPlan, Outcome, load
from sextant_promote.control import Control
from sextant_promote.promotion import promote
from sextant_server import EmbeddedTriton
from small_world import World, draw, make_world

WIDTH, PRODUCTS = 1024, 48
CALLERS = {"moderate": 4, "high": 48}
WITHIN, WARM_UP_S = 0.10, 1.0
CACHE = Path("var", "perf_analyzer")


@dataclass(frozen=True)
class Effort:
    """How long each of them asks at a time, and how often."""

    seconds: float
    rounds: int


FULL, QUICK = Effort(seconds=9.0, rounds=5), Effort(seconds=4.5, rounds=3)


class Products:
    """A row multiplied again and again; what it comes to is of no interest, that it takes milliseconds is."""

    def __init__(self) -> None:
        self.matrix = np.linalg.qr(np.random.default_rng(5).normal(size=(WIDTH, WIDTH)))[0].astype(np.float32)

    def predict(self, rows: np.ndarray) -> np.ndarray:
        """The last product of each of *rows*."""
        for _ in range(PRODUCTS):
            rows = rows @ self.matrix
        return rows

    def graph(self) -> Any:
        """The same as an ONNX model."""
        from onnx import TensorProto, helper, numpy_helper

        names = ["features", *(f"product_{i}" for i in range(1, PRODUCTS)), "prediction"]
        nodes = [helper.make_node("MatMul", [a, "matrix"], [b]) for a, b in pairwise(names)]
        sides = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, WIDTH]) for name in (names[0], names[-1])
        ]
        graph = helper.make_graph(
            nodes, "products", sides[:1], sides[1:], [numpy_helper.from_array(self.matrix, "matrix")]
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three short rounds, and less certain")
    parser.add_argument("--cache", type=Path, default=CACHE, help=f"where the program is kept  [default: {CACHE}]")
    options = parser.parse_args()
    effort, program = QUICK if options.quick else FULL, PerfAnalyzer(options.cache)
    with tempfile.TemporaryDirectory(prefix="agreement-") as folder:
        world = make_world(Path(folder))
        rows = np.random.default_rng(6).normal(size=(64, WIDTH)).astype(np.float32)
        with served(world, arithmetic(world)) as url:
            compare("arithmetic", url, {"features": rows}, program, effort, aimed=True)
        with served(world, world.write_spec({"gate": {}})) as url:
            compare("locate", url, {"features": draw(64, seed=9).features}, program, effort, aimed=False)


def arithmetic(world: World) -> Any:
    """The page of a pipeline that is the products alone."""
    products = Products()
    example = np.zeros((4, WIDTH), np.float32)

    def log(mlflow: Any, **facts: Any) -> Any:
        from mlflow.models import infer_signature

        own = {"signature": infer_signature(example, products.predict(example)), "input_example": example}
        return mlflow.onnx.log_model(products.graph(), **{**facts, **own})

    world.log("products", log, products, "champion", signature=False)
    serving = {"max_batch_size": 1, "max_queue_delay_us": 0, "instances": 1, "intra_op_thread_count": 1}
    page = {"name": "arithmetic", "answer": "tensors", "members": {"products": "models:/products@champion"}}
    path = world.root / "arithmetic.yaml"
    path.write_text(yaml.safe_dump({**page, "steps": ["members"], "serving": serving}, sort_keys=False))
    return load_pipeline(path)


@contextmanager
def served(world: World, pipeline: Any) -> Iterator[str]:
    """The gRPC URL of a Triton that serves *pipeline*."""
    with EmbeddedTriton(world.store.root) as triton, Control(triton.address.grpc, triton.address.token) as control:
        promote(pipeline, world.store, world.registry, control)
        yield triton.address.grpc


def compare(
    name: str, url: str, rows: dict[str, np.ndarray], program: PerfAnalyzer, effort: Effort, *, aimed: bool
) -> None:
    """Ours against theirs, for each number of callers, round by round in turns; who was last is first the next time."""
    for degree, callers in CALLERS.items():
        plan = LoadPlan(pipeline=name, urls=(url,), users=callers, duration_s=effort.seconds)
        ours: list[Figures] = []
        theirs: list[Measured] = []
        sides: list[tuple[list[Any], Callable[[], Any]]] = [
            (ours, partial(loaded, plan, rows)),
            (theirs, partial(program.measure, url, name, rows, callers, effort.seconds)),
        ]
        for turn in range(effort.rounds):
            for given, ask in reversed(sides) if turn % 2 else sides:
                given.append(ask())
        failed = sum(each.failed for each in ours)
        report(f"load_agreement.{name}.{degree}_{callers}.errors", failed, "requests", target="== 0", ok=not failed)
        for figure, unit in (("throughput_rps", "requests/s"), ("p50_ms", "ms")):
            pairs = [(getattr(own, figure), getattr(other, figure)) for own, other in zip(ours, theirs, strict=True)]
            tell(f"load_agreement.{name}.{degree}_{callers}.{figure}", unit, pairs, aimed=aimed)


def loaded(plan: LoadPlan, rows: dict[str, np.ndarray]) -> Figures:
    """What our users see."""
    return settled(load(plan, rows))


def settled(outcome: Outcome) -> Figures:
    """The figures without the first second, in which the queue fills, and the last: perf_analyzer's are so, too."""
    (samples,) = outcome.samples.values()
    begins, ends = float(samples.begun_s.min()) + WARM_UP_S, float(samples.begun_s.max())
    kept = (samples.ended_s >= begins) & (samples.ended_s < ends)
    return Figures.of(samples.where(kept), ends - begins)


def tell(name: str, unit: str, pairs: list[tuple[float, float]], *, aimed: bool) -> None:
    """The medians of both, and the median of the rounds' ratios."""
    own, other = (statistics.median(each) for each in zip(*pairs, strict=True))
    ratio = round(statistics.median(one / two for one, two in pairs), 3)
    report(f"{name}.sextant", round(own, 2), unit)
    report(f"{name}.perf_analyzer", round(other, 2), unit)
    given = {"target": f"1 +- {WITHIN:g}", "ok": abs(ratio - 1) <= WITHIN} if aimed else {}
    report(f"{name}.ratio", ratio, "x", **given)


if __name__ == "__main__":
    main()
