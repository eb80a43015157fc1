"""
How often a trial accuses a candidate that is as good as what serves, and how soon it finds one that is not.

Trials are simulated, but for the arms: evidence, decisions and steps are those that ``sextant promote`` runs.  50
requests a second, of which .2 % fail, answer within a log-normal time (median 20 ms, sigma .5); each arm gets 90 % of
2,000 labelled cases right, 4 % of them otherwise than the other arm, or holds 95 % of positions in its ellipses.  Sound
candidates come in five sorts, a fifth of the trials each.  Then candidates with one fault: 1 % more errors, twice the
latency, 5 points less accuracy, axes of the ellipses a tenth too short, or 1 % more errors from the second step on.
At last, how soon the one and the other end at other rates and by other settings.
Run: ``python benchmarks/canary.py``, two minutes; ``--quick`` runs a tenth of the trials.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import erf, log, sqrt

import numpy as np

from report import report
from sextant_export.canary import Canary
from sextant_export.narration import Silence
from sextant_promote.canary.observations import ArmCounts, Observed
from sextant_promote.canary.trial import Verdict, tried

RATE, BATCH, CASES = 50.0, 16, 2_000
BOUNDS_MS = (1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0)
MEDIAN_MS, SIGMA = 20.0, 0.5
MINUTE = 60
CANARY = Canary()
TRIALS, FAULTS, OTHERS = 1_000, 100, 40
OVERCONFIDENT = 0.05**0.81 - 0.05
"""What an ellipse of 95 % misses more with axes times .9: outside radius k is exp(-k^2/2) of the truth."""


@dataclass(frozen=True)
class World:
    """What is true: of the serving arm, and how the candidate differs; *worse* and *better* of known cases alone."""

    criterion: str = "wrong"
    errors: float = 0.002
    more_errors: float = 0.0
    slower: float = 1.0
    worse: float = 0.02
    better: float = 0.02
    from_weight: float = 0.0
    unsteady: float = 1.0


FAULTY = {
    "errors": World(more_errors=0.01),
    "latency": World(slower=2.0),
    "accuracy": World(worse=0.07),
    "ellipses": World("missed", worse=OVERCONFIDENT, better=0.0),
    "late_errors": World(more_errors=0.01, from_weight=0.25),
}
"""By the name of the fault."""
SOUND = {
    "labels": World(),
    "positions": World("missed", worse=0.01, better=0.01),
    "same": World(worse=0.0, better=0.0),
    "retrained": World(worse=0.09, better=0.09),
    "unsteady": World(unsteady=2.0),
}
"""Candidates as good as what serves.

``same`` answers as the serving arm does, ``retrained`` errs on cases of its own, and in an ``unsteady`` world both arms
are half as fast in every other minute.
"""


OTHER = {
    "200_a_second": (CANARY, 200.0),
    "10_a_second": (CANARY, 10.0),
    "errors_.01": (replace(CANARY, errors=0.01), RATE),
    "weights_.1_.5": (replace(CANARY, weights=(0.1, 0.5)), RATE),
}
"""Other settings, and other rates."""


class Simulated:
    """Two arms that answer *rate* requests a second as *world* says."""

    def __init__(self, world: World, rate: float, seed: int) -> None:
        self.rate = rate
        self.world, self.rng, self.weight = world, np.random.default_rng(seed), 0.0
        self.known: Mapping[str, int] = {world.criterion: CASES}
        self.left, self.seconds = CASES, 0
        self.shares = [[bucket_shares(w * slower) for slower in (1.0, world.slower)] for w in (1.0, world.unsteady)]
        self.counts = np.zeros((2, 2 + len(BOUNDS_MS)), dtype=np.int64)

    def route(self, weight: float) -> None:
        """Give the candidate its share."""
        self.weight = weight

    def unroute(self) -> None:
        """Take it away."""
        self.weight = 0.0

    def observe(self) -> Observed:
        """A second passes."""
        self.seconds += 1
        shares = self.shares[self.seconds // MINUTE % 2]
        late = self.weight >= self.world.from_weight
        errors = self.world.errors, self.world.errors + self.world.more_errors * late
        for arm, rate in enumerate((self.rate * (1 - self.weight), self.rate * self.weight)):
            arrived = self.rng.poisson(rate)
            within = np.cumsum(self.rng.multinomial(arrived, shares[arm]))[:-1]
            self.counts[arm] += [arrived, self.rng.binomial(arrived, errors[arm]), *within]
        serving, candidate = (
            ArmCounts(requests=row[0], errors=row[1], within=dict(zip(BOUNDS_MS, row[2:], strict=True)))
            for row in self.counts.tolist()
        )
        return Observed(serving=serving, candidate=candidate, compared=0, differing=0)

    def ask(self) -> np.ndarray:
        """The next known cases."""
        asked = min(BATCH, self.left)
        self.left -= asked
        world, drawn = self.world, self.rng.random(asked)
        return (drawn < world.worse).astype(float) - (drawn > 1 - world.better)


class QuickPace:
    """Time that passes when it is waited for."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        """Seconds that were waited."""
        return self.seconds

    def wait(self, seconds: float) -> None:
        """Let them pass at once."""
        self.seconds += seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the trials")
    tenth = 10 if parser.parse_args().quick else 1
    trials = TRIALS // tenth
    each = trials // len(SOUND)
    alarms = sum(
        alarms_of(name, world, range(place * each, (place + 1) * each))
        for place, (name, world) in enumerate(SOUND.items())
    )
    target = {"target": f"<= {CANARY.alpha}", "ok": alarms <= CANARY.alpha * trials}
    report("canary.sound.false_alarms", alarms / trials, f"share of {trials} trials", **target)
    for name, world in FAULTY.items():
        is_found(name, world, FAULTS // tenth)
    for name, (canary, rate) in OTHER.items():
        goes_otherwise(name, canary, rate, OTHERS // tenth)


def alarms_of(name: str, world: World, seeds: range) -> int:
    """How many sound candidates are rolled back; reports what it takes until the others have advanced to the end."""
    trials, verdicts = len(seeds), [verdict(world, seed) for seed in seeds]
    alarms = sum(each.outcome == "roll back" for each, _ in verdicts)
    advanced = [(each.requests, seconds) for each, seconds in verdicts if each.outcome == "advance"]
    report(f"canary.sound.{name}.false_alarms", alarms / trials, f"share of {trials} trials")
    report(f"canary.sound.{name}.advanced", len(advanced) / trials, f"share within {CANARY.at_most_s:g} s")
    told(f"canary.sound.{name}.requests", [requests for requests, _ in advanced], "of the candidate")
    told(f"canary.sound.{name}.seconds", [seconds for _, seconds in advanced], f"s at {RATE:g} requests/s")
    return alarms


def is_found(name: str, world: World, runs: int) -> None:
    """Report how many of the faulty candidates are rolled back, and after how many requests and cases."""
    verdicts = [verdict(world, 10_000 + seed)[0] for seed in range(runs)]
    found = [each for each in verdicts if each.outcome == "roll back"]
    report(f"canary.fault.{name}.found", len(found), f"of {runs}", target=f"{runs}", ok=len(found) == runs)
    told(f"canary.fault.{name}.requests", [each.requests for each in found], "of the candidate")
    if name in {"accuracy", "ellipses"}:
        asked = [each.evidence[world.criterion]["asked"] for each in found]
        told(f"canary.fault.{name}.cases", asked, "known cases")


def goes_otherwise(name: str, canary: Canary, rate: float, trials: int) -> None:
    """Report by which share sound candidates advance and those of more errors are found, and how soon."""
    for kind, world, outcome in (("sound", SOUND["labels"], "advance"), ("errors", FAULTY["errors"], "roll back")):
        verdicts = [verdict(world, 20_000 + seed, canary, rate) for seed in range(trials)]
        ended = [(each.requests, seconds) for each, seconds in verdicts if each.outcome == outcome]
        report(f"canary.{name}.{kind}.{outcome.replace(' ', '_')}", len(ended), f"of {trials}")
        told(f"canary.{name}.{kind}.requests", [requests for requests, _ in ended], "of the candidate")
        told(f"canary.{name}.{kind}.seconds", [seconds for _, seconds in ended], "s")


def verdict(world: World, seed: int, canary: Canary = CANARY, rate: float = RATE) -> tuple[Verdict, float]:
    """The verdict of one trial, and the seconds it took in its own time."""
    pace = QuickPace()
    return tried(canary, Simulated(world, rate, seed), "candidate", Silence(), pace), pace.seconds


def told(name: str, values: list[float], unit: str) -> None:
    if values:
        report(f"{name}.median", float(np.median(values)), unit)
        report(f"{name}.p95", float(np.quantile(values, 0.95)), unit)


def bucket_shares(slower: float) -> list[float]:
    """The probability of each bucket of the histogram."""
    below = [0.5 * (1 + erf(log(bound / (MEDIAN_MS * slower)) / (SIGMA * sqrt(2)))) for bound in BOUNDS_MS]
    return np.diff([0.0, *below, 1.0]).tolist()


if __name__ == "__main__":
    main()
