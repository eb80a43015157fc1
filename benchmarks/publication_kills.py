"""
``kill -9`` in the middle of publications: Triton loads the store at every instant.

A child process, forked ready-made from a server so that a run takes little, exports a release and stages it: two
members, three blocks, receipt and ensemble, then a model that has a twin for embedded servers. It is killed at a
seeded instant: every other time anywhere in the run, else after it has announced that it stages. After each kill

- every version directory of the store is file by file what a run that was left alone puts there, or is not there;
- a running Triton loads every model of the store, and every version of its policies is READY;
- the same run, made again, gives the whole release; Triton loads that, and it answers as it should.

Every fourth run begins with an empty store, the others add a version to the one before. A run that ends before its
instant comes is no kill, and another takes its place.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import lightgbm
import mlflow.pyfunc
import mlflow.sklearn
import mlflow.store.model_registry.sqlalchemy_store
import mlflow.store.tracking.sqlalchemy_store
import numpy as np
import pyarrow.parquet
import sklearn.neighbors
import sqlalchemy.orm
import xgboost

from forked import child, forked_from
from report import report

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import embedded_models
from sextant.errors import SextantError
from sextant.tensors import Tensor
from sextant_export.config import Configs, onnx_config, tensorrt_config
from sextant_export.converters import sklearn_flavor
from sextant_export.pipeline import Serving, load_pipeline
from sextant_export.receipt import Receipt
from sextant_export.release import export
from sextant_export.store import CONFIG, Candidate, Store
from sextant_promote.control import Control
from sextant_server import EmbeddedTriton
from small_world import World, draw, make_world

# Imported for the server that children are forked from: none of them imports it again.
READY_MADE = (lightgbm, mlflow, pyarrow.parquet, sklearn.neighbors, sklearn_flavor, xgboost)
sqlalchemy.orm.configure_mappers()
SEED = 20_261
KILLS, QUICK = 200, 20
REHEARSALS = 5
EMPTY_EVERY = 4
STAGE = "stage"
TWIN = "twin"
CARD = Tensor("x", "FP32", (8,)), Tensor("y", "FP32", (8,))
Contents = Mapping[str, bytes]


class Announcer:
    """A narrator whose words go through a pipe, so that another process knows where this one is."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    @contextmanager
    def step(self, title: str) -> Iterator[Announcer]:
        """Announce it."""
        self._pipe.send(title)
        yield self

    def result(self, text: str) -> None:
        """Nobody asks."""


def publish(root: Path, narrator: Any) -> Receipt:
    """The release that the world in *root* now is, then the model with a twin, as one who promotes would do it."""
    world = World(root)
    with world.store.prepare().alone():
        receipt = export(load_pipeline(world.spec), world.store, world.registry, narrator)
        world.store.publish(twin(receipt.members["ridge"]["version"]))
    return receipt


def publish_and_tell(root: Path, pipe: Connection) -> None:
    """What the child does."""
    pipe.send("begin")
    publish(root, Announcer(pipe))
    pipe.send("end")


def twin(version: int) -> Candidate:
    """A model that is a TensorRT plan for the official server and a graph for the embedded one."""
    inputs, outputs = ((tensor,) for tensor in CARD)
    main = tensorrt_config(TWIN, inputs, outputs, Serving(), [version], {"8.9": "model.SM89.plan"})
    embedded = onnx_config(TWIN, inputs, outputs, Serving(), [version])
    return Candidate(model=TWIN, version=version, configs=Configs(main, embedded), write=write_twin)


def write_twin(directory: Path) -> None:
    (directory / "model.onnx").write_bytes(embedded_models.doubling(("rows", 8)).SerializeToString())
    (directory / "model.SM89.plan").write_bytes(b"plan" * 50_000)


@dataclass
class Scene:
    """A registry, a store, the Triton on it; *known* is what each model's versions hold where nothing was killed."""

    world: World
    control: Control
    random: Random
    known: dict[str, Contents] = field(default_factory=dict)
    answer: Any = None
    whole_s: float = 0.0
    staging_s: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    loads_s: list[float] = field(default_factory=list)

    def rehearse(self) -> None:
        """Learn how long a run and its staging take, and what comes of them."""
        whole, staging = [], []
        for turn in range(REHEARSALS):
            self.prepare(empty=turn == 0)
            begun, staged, ended = self.watch()
            whole.append(ended - begun)
            staging.append(ended - staged)
            self.known |= {kind(path): contents(path) for path in versions(self.world.store)}
            self.finish()
        self.whole_s, self.staging_s = median(whole), median(staging)

    def watch(self) -> tuple[float, float, float]:
        """One child left alone: when it began, when it announced that it stages, when it ended."""
        with child(publish_and_tell, self.world.root) as (process, pipe):
            moments = {}
            while "end" not in moments:
                moments[pipe.recv().split()[0]] = time.perf_counter()
            process.join()
        return moments["begin"], moments[STAGE], moments["end"]

    def prepare(self, *, empty: bool) -> None:
        """A version that is not in the store yet; with *empty* nothing is."""
        client = mlflow.MlflowClient(self.world.registry.tracking_uri)
        first = client.get_model_version("ridge", "1")
        new = client.create_model_version("ridge", first.source, run_id=first.run_id)
        client.set_registered_model_alias("ridge", "champion", new.version)
        if empty:
            for model, served in self.control.ready().items():
                if served:
                    self.control.unload(model)
            shutil.rmtree(self.world.store.root / "models", ignore_errors=True)
            shutil.rmtree(self.world.store.root / "releases", ignore_errors=True)
            self.world.store.prepare()

    def kill(self, *, in_staging: bool) -> bool:
        """Whether a child was killed before it was done; counts where it was."""
        span = self.staging_s if in_staging else self.whole_s
        after = self.random.uniform(0, span)
        with child(publish_and_tell, self.world.root) as (process, pipe):
            reached = wait(pipe, STAGE if in_staging else "begin")
            reached += listen(pipe, after)
            process.kill()
            process.join()
            reached += listen(pipe, 0)
        if "end" in reached:
            return False
        self.counts["kills"] += 1
        self.counts["in_staging"] += STAGE in reached
        return True

    def judge(self) -> None:
        """What the kill left."""
        store = self.world.store
        broken = [path for path in versions(store) if contents(path) != self.known.get(kind(path))]
        self.counts["partial"] += len(broken)
        self.counts["stray"] += len(strays(store))
        self.counts["left_unfinished"] += any(left.is_dir() for left in store.root.glob("*/.*.partial"))
        self.counts["left_unfinished"] += any(store.models.glob("*/.*.partial"))
        self.counts["failed_loads"] += self.fails_to_load()

    def finish(self) -> None:
        """The next run; then the releases before go, as they would at a promotion."""
        try:
            receipt = publish(self.world.root, None)
            self.counts["failed_loads"] += self.fails_to_load()
            self.counts["completed"] += self.whole(receipt)
        except SextantError as error:
            print(f"not completed: {error}", file=sys.stderr)
            return
        store = self.world.store
        with store.alone():
            for name in store.ensembles().keys() - {receipt.name}:
                self.control.unload(name)
                store.remove(name)
            store.narrow()

    def whole(self, receipt: Receipt) -> bool:
        """Whether *receipt*'s release is all there, byte by byte, and answers as it should."""
        store = self.world.store
        self.control.require_ready([*receipt.models, (receipt.name, 1), (TWIN, receipt.members["ridge"]["version"])])
        given = self.control.answer(receipt.name, 1, {"features": draw(8, 5).features})["position"]
        self.answer = given if self.answer is None else self.answer
        whole = all(contents(path) == self.known.get(kind(path)) for path in versions(store)) and not strays(store)
        return whole and bool(np.array_equal(given, self.answer))

    def fails_to_load(self) -> bool:
        """Whether Triton refuses any model of the store, or serves less than a policy says."""
        configs, begun = self.world.store.configs(), time.perf_counter()
        try:
            ensembles = {name for name, config in configs.items() if config.platform == "ensemble"}
            for names in (configs.keys() - ensembles, ensembles):
                with ThreadPoolExecutor(2) as pool:
                    list(pool.map(self.control.load, sorted(names)))
            policies = {name: config.version_policy.specific.versions for name, config in configs.items()}
            self.control.require_ready([(name, version) for name, all_of in policies.items() for version in all_of])
        except SextantError as error:
            print(f"does not load: {error}", file=sys.stderr)
            return True
        self.loads_s.append(time.perf_counter() - begun)
        return False


def wait(pipe: Connection, word: str) -> list[str]:
    """What is announced until a step begins with *word*, or all is over."""
    heard: list[str] = []
    while not {word, "end"} & set(heard):
        heard.append(pipe.recv().split()[0])
    return heard


def listen(pipe: Connection, seconds: float) -> list[str]:
    """What is announced in the next *seconds*."""
    heard, until = [], time.perf_counter() + seconds
    with suppress(EOFError):  # it ended before it was killed
        while pipe.poll(max(0.0, until - time.perf_counter())):
            heard.append(pipe.recv().split()[0])
    return heard


def versions(store: Store) -> list[Path]:
    """Every version directory in *store*."""
    return sorted(path for path in store.models.glob("*/*") if path.name.isdigit())


def kind(path: Path) -> str:
    """What a version directory is one of: releases differ in nothing but their number."""
    return path.parent.name.rstrip("0123456789")


def contents(path: Path) -> Contents:
    """A version directory's files; a block's own number reads the same in all releases."""
    files = {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}
    files = {name: text for name, text in files.items() if "__pycache__" not in name}
    number = f'"release": {path.name}'.encode()
    return {name: text.replace(number, b'"release": N') for name, text in files.items()}


def strays(store: Store) -> list[Path]:
    """What Triton might take for a model or a version and is none."""
    models = [path for path in store.models.iterdir() if not (path / CONFIG).is_file()]
    inside = [path for path in store.models.glob("*/*") if not path.name.startswith(".")]
    return models + [path for path in inside if not path.name.isdigit() and path.name not in {CONFIG, "configs"}]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} kills instead of {KILLS}")
    parser.add_argument("--seed", type=int, default=SEED, help="of the instants")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        forked_from(__file__, folder)
        world = make_world(Path(folder))
        world.write_spec({"members": {name: f"models:/{name}@champion" for name in ("ridge", "knn")}})
        with (
            EmbeddedTriton(world.store.prepare().root) as triton,
            Control(triton.address.grpc, triton.address.token) as control,
        ):
            scene = Scene(world, control, Random(asked.seed))  # noqa: S311  instants, not secrets
            scene.rehearse()
            scene.counts.clear()
            begun = time.perf_counter()
            run(scene, QUICK if asked.quick else KILLS)
            show(scene, time.perf_counter() - begun)


def run(scene: Scene, kills: int) -> None:
    while scene.counts["kills"] < kills:
        number = scene.counts["kills"]
        scene.prepare(empty=number % EMPTY_EVERY == 0)
        if scene.kill(in_staging=number % 2 == 1):
            scene.judge()
            scene.finish()
        else:
            scene.counts["too_late"] += 1


def show(scene: Scene, seconds: float) -> None:
    counts, kills = scene.counts, scene.counts["kills"]
    report("kills.run", round(scene.whole_s, 3), "s")
    report("kills.staging", round(scene.staging_s, 3), "s")
    report("kills.kills", kills, "kills")
    report("kills.in_staging", counts["in_staging"], "kills")
    report("kills.left_unfinished_work_beside_the_store", counts["left_unfinished"], "kills")
    report("kills.partial_version_directories", counts["partial"], "directories", target="0", ok=not counts["partial"])
    report("kills.stray_names", counts["stray"], "names", target="0", ok=not counts["stray"])
    report("kills.failed_loads", counts["failed_loads"], "loads", target="0", ok=not counts["failed_loads"])
    report("kills.completed", counts["completed"], "runs", target=str(kills), ok=counts["completed"] == kills)
    report("kills.load_all.median", round(median(scene.loads_s), 2), "s")
    report("kills.whole", round(seconds, 1), "s", target="< 600", ok=seconds < 600)


if __name__ == "__main__":
    main()
