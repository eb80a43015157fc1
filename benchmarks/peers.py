"""
Sextant beside its peers: throughput, waits and errors of six servers of the same models on the same cores.

Three workloads: ``tabular``, a hundred boosted trees over 30 features; ``network``, a convolutional network of 1.7
million parameters; ``locate``, a whole pipeline of scaling, three members, their fusion and ellipses. Each is served by
``mlflow models serve``, FastAPI, LitServe, BentoML and PyTriton, from environments of their own that are made once
under ``var/peers``, and by a Sextant pipeline in the embedded Triton. wrk is the load for all: one row a request, the
same request again and again, a slice of one server after a slice of the other, to and fro, so that a busy moment hits
each, and medians.
Each server's answers are compared with the model's before it is measured; one that answers otherwise is no peer.
``in_process`` is the same arithmetic in two processes without any server, and ``cpu`` the microseconds of processor
that an answer takes a server, which other work on the cores touches least. docs/peers.md says more.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from report import report
from side_by_side.environments import NotInstalled, environment
from side_by_side.load import Slice, asked
from side_by_side.peers import PEERS, SEXTANT, Peer
from side_by_side.running import Server, answering, in_process, request_of, running
from side_by_side.servers import Ended, NotServing
from side_by_side.world import WORKLOADS, Place

MUCH_FASTER, AS_FAST, AS_SOON = 1.2, 0.97, 1.05
"""What Sextant's rate is to be of the best peer's where serving dominates and where arithmetic does; and its p95."""

SERVED_IN_CROWDS = 8
"""From so many callers on there are targets."""

ATTEMPTS = 5
"""So often a peer is started that ends by itself: on a busy machine some give up early on what they start."""

SIGNALS = signal.SIGINT, signal.SIGTERM

Take = Callable[[int, int], Slice]


@dataclass(frozen=True)
class Effort:
    """How long a slice lasts, how often each is repeated, with how many callers, and of what."""

    seconds: int
    repeats: int
    callers: tuple[int, ...]
    workloads: tuple[str, ...]


FULL = Effort(2, 7, (1, 8, 32, 100), WORKLOADS)
QUICK = Effort(1, 2, (8, 32), ("tabular", "network"))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="two workloads, 8 and 32 callers, two short slices")
    parser.add_argument("--only", choices=WORKLOADS, help="one workload")
    names = [peer.name for peer in PEERS]
    parser.add_argument("--peers", nargs="*", choices=names, default=names, help="which of them [default: all]")
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("peers: the load is wrk, which .ci/packages installs")
    for told in SIGNALS:
        signal.signal(told, interrupted)
    effort = QUICK if options.quick else FULL
    homes = installed([peer for peer in PEERS if peer.name in options.peers])
    with tempfile.TemporaryDirectory(prefix="peers-") as folder:
        narrate("registering and promoting the models")
        place = Place(Path(folder))
        with place.sextant() as address:
            for workload in (options.only,) if options.only else effort.workloads:
                compare(place, workload, Server(address.http, address.pid), homes, effort)


def interrupted(*_: object) -> None:
    """End through every ``with`` that ends a server, which whoever is impatient does not cut short."""
    for told in SIGNALS:
        signal.signal(told, signal.SIG_IGN)
    sys.exit("peers: interrupted")


def installed(peers: Sequence[Peer]) -> dict[Peer, Path]:
    """The environments of *peers*; one that cannot be made is said, and left out."""
    homes = {peer: _installed(peer) for peer in peers}
    return {peer: home for peer, home in homes.items() if home is not None}


def _installed(peer: Peer) -> Path | None:
    try:
        return environment(peer.name, peer.requirements)
    except NotInstalled as reason:
        narrate(str(reason))
        report(f"peers.{peer.name}.installed", 0, "1", target="1", ok=False)
        return None


def compare(place: Place, workload: str, sextant: Server, homes: Mapping[Peer, Path], effort: Effort) -> None:
    """Every server's figures for *workload*, and Sextant's ratios to the best peer and to no server at all."""
    with ExitStack() as stack:
        takes: dict[str, Take] = {}
        for peer, home in homes.items():
            if served := _served(stack, peer, home, place, workload):
                takes[peer.name] = partial(asked, request_of(peer, served, place, workload))
        answering(SEXTANT, sextant.url, place, workload)
        takes["sextant"] = partial(asked, request_of(SEXTANT, sextant, place, workload))
        takes["in_process"] = stack.enter_context(in_process(place, workload))
        for take in takes.values():
            take(SERVED_IN_CROWDS, 1)
        for callers in effort.callers:
            narrate(f"{workload}: {callers} callers ask {len(takes) - 1} servers in turn")
            tell(workload, callers, in_turn(takes, callers, effort))


def _served(
    stack: ExitStack, peer: Peer, home: Path, place: Place, workload: str, attempts: int = ATTEMPTS
) -> Server | None:
    """Where *peer* is, which runs until *stack* is left; None where it does not in so many *attempts*."""
    narrate(f"{workload}: starting {peer.name}")
    try:
        return stack.enter_context(running(peer, home, place, workload))
    except NotServing as reason:
        narrate(f"{workload}: {peer.name}: {reason}")
        if isinstance(reason, Ended) and attempts > 1:
            return _served(stack, peer, home, place, workload, attempts - 1)
    report(f"peers.{workload}.{peer.name}.served", 0, "1", target="1", ok=False)
    return None


def in_turn(takes: Mapping[str, Take], callers: int, effort: Effort) -> dict[str, Slice]:
    """The medians of the slices of all, and all of their errors; who was last is first the next time."""
    found: dict[str, list[Slice]] = {name: [] for name in takes}
    for repeat in range(effort.repeats):
        for name in reversed(takes) if repeat % 2 else takes:
            found[name].append(takes[name](callers, effort.seconds))
    return {name: median(slices) for name, slices in found.items()}


def median(slices: Sequence[Slice]) -> Slice:
    middle = Slice(*map(statistics.median, zip(*slices, strict=True)))
    return middle._replace(errors=sum(one.errors for one in slices), answered=sum(one.answered for one in slices))


def tell(workload: str, callers: int, found: Mapping[str, Slice]) -> None:
    """The figures of all, and the ratios."""
    name = f"peers.{workload}.callers_{callers}"
    limit = found["in_process"].rate
    servers = {word: one for word, one in found.items() if word != "in_process"}
    report(f"{name}.in_process", round(limit, 1), "answers/s")
    report(f"{name}.in_process_cpu", round(found["in_process"].cpu_us, 1), "us/answer")
    for word, one in servers.items():
        report(f"{name}.{word}", round(one.rate, 1), "answers/s")
        report(f"{name}.{word}_p50", round(one.p50_ms, 3), "ms")
        report(f"{name}.{word}_p95", round(one.p95_ms, 3), "ms")
        report(f"{name}.{word}_cpu", round(one.cpu_us, 1), "us/answer")
        aimed = {"target": "== 0", "ok": not one.errors} if word == "sextant" else {}
        report(f"{name}.{word}_errors", one.errors, "requests", **aimed)
    tell_ratios(name, workload, servers, limit, aimed=callers >= SERVED_IN_CROWDS)


def tell_ratios(name: str, workload: str, servers: Mapping[str, Slice], limit: float, *, aimed: bool) -> None:
    """Sextant's rate and p95 to the best peer's, and its rate to that without a server."""
    others = {word: one for word, one in servers.items() if word != "sextant"}
    for word, one in others.items():
        if not one.sound:
            narrate(f"{name}: {word} failed {one.errors:,} requests and answered {one.answered:,}: it is not compared")
    ours, peers = servers["sextant"], [one for one in others.values() if one.sound]
    if aimed:
        report(f"{name}.peers", len(peers), "servers", target="> 0", ok=bool(peers))
    least = AS_FAST if workload == "network" else MUCH_FASTER
    if peers:
        tell_least(f"{name}.rate_to_best_peer", ours.rate / max(one.rate for one in peers), least if aimed else None)
        share = round(ours.p95_ms / min(one.p95_ms for one in peers), 3)
        target = {"target": f"<= {AS_SOON}", "ok": ours.sound and share <= AS_SOON} if aimed else {}
        report(f"{name}.p95_to_best_peer", share, "1", **target)
        report(f"{name}.cpu_to_best_peer", round(ours.cpu_us / min(one.cpu_us for one in peers), 3), "1")
    of_limit = AS_FAST if aimed and workload == "network" else None
    tell_least(f"{name}.rate_to_in_process", ours.rate / limit, of_limit)


def tell_least(name: str, ratio: float, least: float | None) -> None:
    target = {} if least is None else {"target": f">= {least}", "ok": round(ratio, 3) >= least}
    report(name, round(ratio, 3), "1", **target)


def narrate(sentence: str) -> None:
    print(f"peers: {sentence}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
