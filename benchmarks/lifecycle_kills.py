"""
``kill -9`` of a promoter, of a watcher, and of Triton itself, at random instants, while callers ask all the time.

The alias of a member alternates between versions that were exported before; every sixth time it is a version that was
not. A child process runs ``sextant promote``, ``sextant rollback`` or ``sextant watch``, forked ready-made so that
a run takes little. It, or the Triton that it works on, is killed at a seeded instant drawn over the whole of its work;
a child that ends before its instant is no kill, and another takes its place. Triton is started again on the same store
and the same ports, half of the time while the promotion still runs. After each kill

- ``sextant verify`` finds nothing but what is left over, or not in any receipt yet;
- the Triton that is started again loads every front and release; after every fresh export that was killed, and after
  every fifth other, a second Triton, on a folder whose ``models`` is that of the store, loads every model, and every
  version of its policies is READY;
- one pass of a watch, or half of the time one promotion, makes Triton serve what the alias says and the store too.

At the end every answer is looked at: the release that it names must be the one that computed it, must have gone to the
front by a flip, and must be what served before, during or after the kill. Requests may fail while Triton is dead.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import mlflow
import mlflow.sklearn
import mlflow.store.model_registry.sqlalchemy_store
import mlflow.store.tracking.sqlalchemy_store
import numpy as np
import sqlalchemy.orm

from forked import child, forked_from
from kill_options import kills_asked
from report import report

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from sklearn.linear_model import Ridge

import sextant_cli.verbs.promote
import sextant_cli.verbs.rollback
import sextant_cli.verbs.watch  # noqa: F401  for the server that children are forked from
from asking import Seen, asking, rows
from hosts import Host
from sextant.errors import SextantError
from sextant_cli.command import run as sextant
from sextant_client import Client
from sextant_export.pipeline import load_pipeline
from sextant_export.receipt import read_receipt
from sextant_export.verification import verify
from sextant_promote.control import Control
from sextant_promote.fleet import Fleet, Server
from sextant_promote.promotion import promote
from sextant_promote.watch import Notice, Post, watch
from sextant_server import EmbeddedTriton
from small_world import World, make_world

sqlalchemy.orm.configure_mappers()
KILLS, QUICK = 100, 4
"""Of each victim."""
PROMOTER, WATCHER, TRITON = "promoter", "watcher", "triton"
CALLERS = 4
ALPHAS = (0.1, 50.0, 500.0)
WORKS = {
    PROMOTER: ("promote", "rollback", "promote"),
    WATCHER: ("watch",),
    TRITON: ("promote", "pass", "rollback", "pass"),
}
"""What is at work when a victim is killed, in turn; a pass is that of a watch that makes one and ends."""
FRESH_EVERY, WITNESS_EVERY = 6, 5
WORKS_S = 60.0
HALF = 0.5


def at_work(words: list[str], log: Path, pipe: Connection) -> None:
    """What a child does: the command that *words* are."""
    with log.open("w") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
        pipe.send("begun")
        pipe.send(sextant(words))


@dataclass
class Scene:
    """A registry, a store, the Triton on it, and *witness*, which loads the store too and serves nobody."""

    world: World
    triton: EmbeddedTriton
    witness: Host
    random: Random
    truth: dict[int, np.ndarray] = field(default_factory=dict)
    made_of: dict[int, int] = field(default_factory=dict)
    lasts_s: dict[tuple[str, bool], float] = field(default_factory=dict)
    rounds: list[tuple[float, set[int]]] = field(default_factory=list)
    outages: list[tuple[float, float]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    # The world's state.

    def fleet(self) -> Fleet:
        """The Triton as it now runs."""
        address = self.triton.address
        return Fleet(self.world.store, [Server(Control(address.grpc, address.token))])

    def alias(self, version: int) -> None:
        """Move it."""
        self.client.set_registered_model_alias("ridge", "champion", str(version))

    @property
    def client(self) -> Any:
        """MLflow's."""
        return mlflow.MlflowClient(self.world.registry.tracking_uri)

    @property
    def serving(self) -> int:
        """The release that the store says serves."""
        return self.world.store.served_release("locate") or 0

    def version_of(self, release: int) -> int:
        """The version of the alternating member that *release* is made of."""
        return int(read_receipt(self.world.store, "locate", release).members["ridge"]["version"])

    def learn(self) -> None:
        """Register and promote a version of each sort; where their releases put each caller's row."""
        for sort, alpha in enumerate(ALPHAS, 1):
            version = 1 if sort == 1 else self.world.register("ridge", Ridge(alpha=alpha))
            self.made_of[version] = sort
            with self.fleet() as fleet, Client(self.triton.address.grpc) as client:
                done = promote(load_pipeline(self.world.spec), self.world.store, self.world.registry, fleet)
                fixes = client.pipeline(done.receipt.name)(rows(CALLERS))
            self.truth[sort] = np.array([(fix.latitude, fix.longitude) for fix in fixes])

    def move(self, *, fresh: bool) -> None:
        """The alias to a version that is not served: one that was exported before, or *fresh*, of another sort."""
        served = self.made_of[self.version_of(self.serving)]
        sort = self.random.choice([each for each in self.truth if each != served])
        version = next(version for version, each in self.made_of.items() if each == sort)
        if fresh:
            first = self.client.get_model_version("ridge", str(version))
            version = int(self.client.create_model_version("ridge", first.source, run_id=first.run_id).version)
            self.made_of[version] = sort
        self.alias(version)
        self.wanted = version

    # The work, and its end.

    def words(self, work: str) -> list[str]:
        """The command of a child."""
        store = ["--store", str(self.world.store.root)]
        if work == "rollback":
            return [work, "locate", *store]
        how = {"promote": ["promote"], "watch": ["watch", "--every", "0.2"], "pass": ["watch", "--once"]}
        return [*how[work], str(self.world.spec), *store, "--registry", self.world.registry.tracking_uri]

    def rehearse(self) -> None:
        """How long each sort of work takes."""
        for work in ("promote", "rollback", "pass"):
            for fresh in (False, True)[: 1 if work == "rollback" else 2]:
                self.lasts_s[work, fresh] = median(self.left_alone(work, fresh=fresh) for _ in range(2))
        self.lasts_s |= {("watch", fresh): self.lasts_s["pass", fresh] for fresh in (False, True)}

    def left_alone(self, work: str, *, fresh: bool) -> float:
        """Seconds that a child takes that nobody kills."""
        self.move(fresh=fresh)
        with child(at_work, self.words(work), self.log) as (_, pipe):
            pipe.recv()
            begun = time.monotonic()
            if code := pipe.recv():
                raise RuntimeError(f"{work} ended with {code}: {self.log.read_text()}")
        return time.monotonic() - begun

    @property
    def log(self) -> Path:
        """What the last child said."""
        return self.world.root / "child.log"

    def round(self, victim: str, number: int) -> None:
        """One kill, and whatever has to hold after it."""
        fresh = number % FRESH_EVERY == FRESH_EVERY - 1
        work = WORKS[victim][number % len(WORKS[victim])]
        if fresh and work == "rollback":
            work = "promote"
        begun, may_serve = time.monotonic(), {self.serving}
        if work == "rollback":
            may_serve |= {read_receipt(self.world.store, "locate", self.serving).replaced or 0}
        self.move(fresh=fresh)
        killed = self.kill(victim, work, fresh=fresh, at_once=self.random.random() < HALF)
        if killed:
            self.counts[victim] += 1
            self.counts["fresh"] += fresh
            if fresh or number % WITNESS_EVERY == 0:
                self.counts["witnessed"] += 1
                self.counts["does_not_load"] += self.does_not_load()
            self.counts["unsound"] += self.is_unsound(frozenset({"left over", "unexpected"}))
            self.counts["left_something"] += bool(verify(self.world.store))
        else:
            self.counts["too_late"] += 1
        ok = self.converges(by_watch=self.random.random() < HALF)
        self.counts["not_converged"] += killed and not ok
        self.rounds.append((begun, may_serve | {self.serving}))

    def kill(self, victim: str, work: str, *, fresh: bool, at_once: bool) -> bool:
        """Whether *victim* was killed at its instant."""
        after = self.random.uniform(0, self.lasts_s[work, fresh])
        with child(at_work, self.words(work), self.log) as (process, pipe):
            pipe.recv()
            ended = pipe.poll(after)
            if ended and (code := pipe.recv()):
                self.counts["broke"] += 1
                print(f"ended with {code}: {self.log.read_text()}", file=sys.stderr)
            if victim == TRITON:
                self.kill_triton(process, at_once=at_once)
                return True
            process.kill()
            process.join()
        return not ended

    def kill_triton(self, process: Any, *, at_once: bool) -> None:
        """Kill it and start it again, after the promotion has ended or while it still runs."""
        begun = time.monotonic()
        os.kill(self.triton.address.pid, signal.SIGKILL)
        if not at_once:
            process.join(WORKS_S)
        self.triton.stop()
        self.triton.start()
        self.outages.append((begun, time.monotonic()))
        process.join(WORKS_S)
        self.counts["hangs"] += process.exitcode is None
        for model, reason in self.triton.failures.items():
            if self.world.store.config(model):  # else a promotion that failed took it back meanwhile
                self.counts["does_not_load"] += 1
                print(f"{model} does not load after a restart: {reason}", file=sys.stderr)

    # What has to hold.

    def does_not_load(self) -> bool:
        """Whether the witness refuses any model of the store, or serves less than a policy says."""
        configs, control = self.world.store.configs(), self.witness.server.control
        ensembles = {name for name, config in configs.items() if config.platform == "ensemble"}
        try:
            for name in control.ready().keys() - configs.keys():
                control.unload(name)
            for names in (configs.keys() - ensembles, ensembles):
                with ThreadPoolExecutor(2) as pool:
                    list(pool.map(control.load, sorted(names)))
            policies = {name: config.version_policy.specific.versions for name, config in configs.items()}
            control.require_ready([(name, version) for name, all_of in policies.items() for version in all_of])
        except SextantError as error:
            print(f"does not load: {error}", file=sys.stderr)
            return True
        return False

    def is_unsound(self, harmless: frozenset[str] = frozenset()) -> bool:
        """Whether anything is found that is not *harmless*, only in the way."""
        found = [finding for finding in verify(self.world.store) if finding.kind not in harmless]
        for finding in found:
            print(f"unsound: {finding.kind}: {finding}", file=sys.stderr)
        return bool(found)

    def converges(self, *, by_watch: bool) -> bool:
        """Whether one pass, or one promotion, makes store and Triton what the alias says, and all sound again."""
        store, said = self.world.store, list[Notice]()
        with self.fleet() as fleet:
            try:
                if by_watch:
                    post = Post(store=store, registry=self.world.registry, fleet=lambda: fleet, told=said.append)
                    watch([self.world.spec], post, once=True)
                else:
                    promote(load_pipeline(self.world.spec), store, self.world.registry, fleet)
            except SextantError as error:
                print(f"does not converge: {error}", file=sys.stderr)
            at = self.serving
            converged = fleet.release("locate") == at and self.version_of(at) == self.wanted
        sound = not self.is_unsound()
        if not (converged and sound):
            notices = [f"{each.event}: {each.sentence}" for each in said if each.event != "step"]
            print(f"serves r{at}, wanted ridge {self.wanted}: {notices}\n{self.log.read_text()}", file=sys.stderr)
        return converged and sound

    def wrong(self, seen: Seen) -> int:
        """Answers that the release which they name did not compute."""
        callers, releases = seen.answers[:, 2].astype(int), seen.answers[:, 3].astype(int)
        sorts = {release: self.made_of[self.version_of(release)] for release in {*releases.tolist()}}
        truth = np.array(
            [self.truth[sorts[release]][caller] for release, caller in zip(releases, callers, strict=True)]
        )
        close = np.isclose(seen.answers[:, 4:], truth, rtol=0, atol=1e-7)
        return int((~close.all(1)).sum())

    def half_promoted(self, seen: Seen) -> int:
        """Answers of a release that did not go to the front by a flip, or not in the round in which it answered."""
        store = self.world.store
        releases = {int(release) for release in seen.answers[:, 3]}
        served = {release for release in releases if read_receipt(store, "locate", release).outcome == "served"}
        starts = np.array([begun for begun, _ in self.rounds])
        places = np.maximum(np.searchsorted(starts, seen.answers[:, :2], side="right") - 1, 0)
        may = [self.rounds[first][1] | self.rounds[last][1] for first, last in places.tolist()]
        return sum(
            release not in served & allowed for release, allowed in zip(seen.answers[:, 3].tolist(), may, strict=True)
        )


def main() -> None:
    asked = kills_asked(__doc__, f"{QUICK} kills of each instead of {KILLS}")
    with tempfile.TemporaryDirectory(prefix="lifecycle-") as folder, ExitStack() as stack:
        forked_from(__file__, folder)
        world = make_world(Path(folder))
        world.write_spec({"members": {name: f"models:/{name}@champion" for name in ("ridge", "knn")}})
        store, (http, grpc, metrics) = world.store.prepare(), free_ports(3)
        triton = stack.enter_context(
            EmbeddedTriton(store.root, http_port=http, grpc_port=grpc, metrics_port=metrics),
        )
        witness = Host(store, Path(folder) / "witness")
        witness.start()
        stack.callback(witness.stop)
        scene = Scene(world, triton, witness, Random(asked.seed))  # noqa: S311  instants, not secrets
        scene.learn()
        scene.rehearse()
        begun = time.monotonic()
        scene.rounds.append((begun, {scene.serving}))
        with asking([triton.address.grpc, triton.address.http] * (CALLERS // 2)) as seen:
            run(scene, QUICK if asked.quick else KILLS, begun + asked.within)
        show(scene, seen, time.monotonic() - begun)


def free_ports(count: int) -> list[int]:
    """Ports below those that the system gives to callers, one of whom would meet itself where nobody listens."""
    ports: list[int] = []
    for port in range(20_000, 30_000):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            ports.append(port)
        if len(ports) == count:
            break
    return ports


def run(scene: Scene, kills: int, until: float) -> None:
    """So many kills of each victim, in turn, as time allows."""
    number = 0
    while min(scene.counts[victim] for victim in (PROMOTER, WATCHER, TRITON)) < kills and time.monotonic() < until:
        for victim in (PROMOTER, WATCHER, TRITON):
            if scene.counts[victim] < kills:
                scene.round(victim, number)
        number += 1


def show(scene: Scene, seen: Seen, seconds: float) -> None:
    counts = scene.counts
    for (work, fresh), lasts_s in scene.lasts_s.items():
        report(f"lifecycle.{work}{'_of_a_fresh_export' if fresh else ''}", round(lasts_s, 3), "s")
    for victim in (PROMOTER, WATCHER, TRITON):
        report(f"lifecycle.kills.{victim}", counts[victim], "kills")
    report("lifecycle.kills.during_fresh_exports", counts["fresh"], "kills")
    report("lifecycle.kills.with_every_model_loaded_after", counts["witnessed"] + counts[TRITON], "kills")
    report("lifecycle.kills.that_left_something", counts["left_something"], "kills")
    report("lifecycle.runs_that_ended_before", counts["too_late"], "runs")
    for name in ("does_not_load", "unsound", "not_converged", "hangs", "broke"):
        report(f"lifecycle.{name}", counts[name], "kills", target="== 0", ok=not counts[name])
    unexcused = seen.failed_outside(scene.outages)
    for sentence in unexcused[:5]:
        print(f"failed: {sentence}", file=sys.stderr)
    report("lifecycle.answers", len(seen.answers), "requests")
    report("lifecycle.failed_while_triton_was_dead", len(seen.failures) - len(unexcused), "requests")
    for name, count in (
        ("failed_while_it_lived", len(unexcused)),
        ("wrong_answers", scene.wrong(seen)),
        ("half_promoted_answers", scene.half_promoted(seen)),
    ):
        report(f"lifecycle.{name}", count, "requests", target="== 0", ok=not count)
    report("lifecycle.outage.median", round(median(up - dead for dead, up in scene.outages or [(0, 0)]), 3), "s")
    report("lifecycle.seconds", round(seconds), "s")


if __name__ == "__main__":
    main()
