"""
Three Tritons on one store, one of them killed in the middle of a promotion: no mixed answers once the command returned.

The alias of a member goes round three versions that were exported before. The victim is drawn, and so is the instant,
over the whole of a promotion. When the promotion has returned, however it ended, every living server answers with the
same release, the one that the store says serves, and as that release does. The killed one is then started again, and
one pass of a watch, or every other time the repair that is its first half, makes all three serve the same; after a
whole pass it is what the alias says.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import mlflow
import numpy as np

from kill_options import kills_asked
from report import report

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from sklearn.linear_model import Ridge

from hosts import Host
from sextant.errors import SextantError
from sextant_client import Client
from sextant_export.pipeline import load_pipeline
from sextant_export.receipt import read_receipt
from sextant_promote.drift import repair
from sextant_promote.fleet import Fleet
from sextant_promote.promotion import promote
from sextant_promote.watch import Post, watch
from small_world import World, draw, make_world

KILLS, QUICK = 100, 5
SERVERS, ASKED = 3, 5
ALPHAS = (50.0, 500.0)
REHEARSALS = 4


@dataclass
class Scene:
    """A store and the *hosts* whose Tritons serve it; *truth* is where each version puts the asked row."""

    world: World
    hosts: list[Host]
    random: Random
    truth: dict[int, tuple[float, float]] = field(default_factory=dict)
    whole_s: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    mended_s: list[float] = field(default_factory=list)

    @property
    def fleet(self) -> Fleet:
        """The servers as they now run."""
        return Fleet(self.world.store, [host.server for host in self.hosts])

    @property
    def serving(self) -> int:
        """What the store says serves."""
        return self.world.store.served_release("locate") or 0

    def version_of(self, release: int) -> int:
        """The version of the alternating member that *release* is made of."""
        return int(read_receipt(self.world.store, "locate", release).members["ridge"]["version"])

    def alias(self, version: int) -> None:
        """Move it."""
        client: Any = mlflow.MlflowClient(self.world.registry.tracking_uri)
        client.set_registered_model_alias("ridge", "champion", str(version))

    def move(self) -> int:
        """The alias to the next version in turn: neither what serves nor what that replaced, so that it is loaded."""
        version = self.version_of(self.serving) % len(self.truth) + 1
        self.alias(version)
        return version

    def promoted(self) -> float:
        """Seconds that a promotion of what the alias says took, however it ended; ``SextantError`` is counted."""
        begun = time.monotonic()
        try:
            promote(load_pipeline(self.world.spec), self.world.store, self.world.registry, self.fleet)
        except SextantError as error:
            self.counts["refused"] += 1
            self.counts[type(error).__name__] += 1
        return time.monotonic() - begun

    def learn(self) -> None:
        """Promote three versions; where each puts the row, and how long promotions of what was exported take."""
        for version in (1, *(self.world.register("ridge", Ridge(alpha=alpha)) for alpha in ALPHAS)):
            self.alias(version)
            self.promoted()
            self.truth[version] = answer(self.hosts[0])[1]
        spent = []
        for _ in range(REHEARSALS):
            self.hosts[-1].stop()  # as in every round, one has just been started and has to load what is promoted
            self.hosts[-1].start()
            self.move()
            spent.append(self.promoted())
        self.whole_s = median(spent)

    def round(self, number: int) -> None:
        """One kill, and what has to hold after it."""
        victim = self.random.choice(self.hosts)
        version = self.move()
        killing = threading.Timer(self.random.uniform(0, self.whole_s), victim.kill)
        killing.start()
        self.promoted()
        if killing.is_alive():
            self.counts["too_late"] += 1
        else:
            self.counts["kills"] += 1
            self.judge([host for host in self.hosts if host is not victim])
        killing.join()
        victim.stop()
        victim.start()
        self.mend(version, whole=bool(number % 2))

    def judge(self, living: list[Host]) -> None:
        """What callers of the *living* now get."""
        answers = [answer(host) for host in living for _ in range(ASKED)]
        self.counts["answers"] += len(answers)
        releases = {release for release, _ in answers}
        self.counts["mixed"] += releases != {self.serving}
        self.counts["wrong"] += sum(self.is_wrong(*each) for each in answers)
        if releases != {self.serving}:
            print(f"mixed: {releases} where the store says r{self.serving}", file=sys.stderr)

    def mend(self, version: int, *, whole: bool) -> None:
        """Bring the killed one back; all serve the same, after a *whole* pass what the alias says."""
        begun, fleet = time.monotonic(), self.fleet
        self.counts["back_with_another"] += len({host.release() for host in self.hosts}) > 1
        try:
            if whole:
                post = Post(
                    store=self.world.store, registry=self.world.registry, fleet=lambda: fleet, told=lambda _: None
                )
                watch([self.world.spec], post, once=True)
            else:
                list(repair(self.world.store, fleet, "locate"))
        except SextantError as error:
            print(f"does not come back: {error}", file=sys.stderr)
        answers = [answer(host) for host in self.hosts]
        back = {release for release, _ in answers} == {self.serving} == {fleet.release("locate")}
        back &= not any(self.is_wrong(*each) for each in answers)
        self.counts["not_back"] += not back or (whole and self.version_of(self.serving) != version)
        self.mended_s.append(time.monotonic() - begun)

    def is_wrong(self, release: int, position: tuple[float, float]) -> bool:
        """Whether the *release* did not compute this."""
        return not np.allclose(self.truth[self.version_of(release)], position, rtol=0, atol=1e-7)


def answer(host: Host) -> tuple[int, tuple[float, float]]:
    """The release that answers, and where it puts the row."""
    with Client(host.triton.address.grpc) as client:
        fix = client.pipeline("locate")(draw(1, seed=9).features[0])
    return fix.release, (fix.latitude, fix.longitude)


def main() -> None:
    asked = kills_asked(__doc__, f"{QUICK} kills instead of {KILLS}")
    with tempfile.TemporaryDirectory(prefix="fleet-kills-") as folder, ExitStack() as stack:
        world = make_world(Path(folder))
        world.write_spec({"members": {name: f"models:/{name}@champion" for name in ("ridge", "knn")}})
        world.store.prepare()
        hosts = [Host(world.store, Path(folder) / f"host{i}") for i in range(SERVERS)]
        for host in hosts:
            host.start()
            stack.callback(host.stop)
        scene = Scene(world, hosts, Random(asked.seed))  # noqa: S311  instants, not secrets
        scene.learn()
        scene.counts.clear()
        begun, number = time.monotonic(), 0
        while scene.counts["kills"] < (QUICK if asked.quick else KILLS) and time.monotonic() < begun + asked.within:
            scene.round(number)
            number += 1
        show(scene, time.monotonic() - begun)


def show(scene: Scene, seconds: float) -> None:
    counts = scene.counts
    report("fleet.promotion", round(scene.whole_s, 3), "s")
    report("fleet.kills", counts["kills"], "kills")
    report("fleet.promotions_that_failed", counts["refused"], "promotions")
    report("fleet.promotions_that_ended_before", counts["too_late"], "promotions")
    report("fleet.answers", counts["answers"], "requests")
    report("fleet.mixed_after_the_command", counts["mixed"], "kills", target="== 0", ok=not counts["mixed"])
    report("fleet.wrong_answers", counts["wrong"], "requests", target="== 0", ok=not counts["wrong"])
    report("fleet.came_back_with_another_release", counts["back_with_another"], "kills")
    report("fleet.not_the_same_after_one_pass", counts["not_back"], "kills", target="== 0", ok=not counts["not_back"])
    report("fleet.pass.median", round(median(scene.mended_s), 3), "s")
    report("fleet.seconds", round(seconds), "s")


if __name__ == "__main__":
    main()
