"""
Votes: how right a crowd is, here and through Triton, and what a vote costs a row.

Crowds are Snow et al. 2008 (TEMP, WSD) and Barzan Mozafari's objects; the targets are the figures published with them.
A tied item counts by the share of its best classes, as if lots were drawn; `rule` counts it by this project's rule, the
first worker's vote.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from report import report
from sextant.blocks import Vote
from sextant.dawid_skene import dawid_skene_vote, evidence, fit_dawid_skene
from sextant.vote import Poll, plurality
from sextant_client import Client
from sextant_export.config import block_config, write_config
from sextant_export.pipeline import Serving
from sextant_export.shells import write_block
from sextant_export.store import Store
from sextant_server import EmbeddedTriton

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from crowds import Crowd, barzan, share_of_ties, snow  # noqa: E402 - the tests read the crowds in the same way

DATA = ROOT.parent / "shared" / "data"
WITHIN = 0.002
FIGURES: dict[str, tuple[Callable[[Path], Crowd], float, float]] = {
    "snow_temp": (lambda data: snow(data, "temp"), 0.9361, 0.9416),
    "snow_wsd": (lambda data: snow(data, "wsd"), 0.9944, 0.9944),
    "barzan": (barzan, 0.696, 0.712),
}
SIZES = (1, 64, 1024)
TARGET_US = 5.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    parser.add_argument("--data", type=Path, default=DATA, help="the folder of real data")
    given = parser.parse_args()
    crowds = {name: read(given.data) for name, (read, _, _) in FIGURES.items()}
    here = {name: vote_here(name, crowd) for name, crowd in crowds.items()}
    vote_served(crowds, here)
    for block, tensors, name in speeds():
        cost(name, Vote(block), tensors, repeat=5 if given.quick else 40)


def vote_here(name: str, crowd: Crowd) -> tuple[Poll, Poll]:
    """The crowd's plurality, and what Dawid and Skene make of it without being told one truth."""
    classes = len(crowd.classes)
    fitted = fit_dawid_skene(crowd.votes, classes)
    polls = (
        plurality(crowd.votes, classes),
        dawid_skene_vote(crowd.votes, evidence(fitted.confusion), np.log(fitted.prior)),
    )
    for word, poll, wanted in zip(("plurality", "dawid_skene"), polls, FIGURES[name][1:], strict=True):
        value = share_of_ties(poll.shares, crowd.truth)
        report(f"crowd.{name}.{word}", value, "share", target=f"{wanted} +- {WITHIN}", ok=abs(value - wanted) <= WITHIN)
        report(f"crowd.{name}.{word}.rule", float((poll.winner == crowd.truth).mean()), "share")
    report(f"crowd.{name}.tied", int(polls[0].tied.sum()), "items")
    report(f"crowd.{name}.rounds", fitted.rounds, "rounds")
    coin = fit_dawid_skene(crowd.votes, classes, one_coin=True).posterior.argmax(axis=1)
    report(f"crowd.{name}.one_coin", float((coin == crowd.truth).mean()), "share")
    return polls


def vote_served(crowds: dict[str, Crowd], here: dict[str, tuple[Poll, Poll]]) -> None:
    """The same crowds through the block in Triton: how many labels differ, and the largest difference."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        store.prepare()
        for name, crowd in crowds.items():
            for word, parameters in zip(("plurality", "dawid_skene"), learned(crowd), strict=True):
                put(store, f"{name}_{word}", parameters)
        with EmbeddedTriton(store.root) as triton, Client(triton.address.grpc, timeout_s=60) as client:
            for name, crowd in crowds.items():
                for word, poll in zip(("plurality", "dawid_skene"), here[name], strict=True):
                    triton.load(f"{name}_{word}")
                    labels = client.pipeline(f"{name}_{word}")(crowd.votes)
                    differ = sum(crowd.classes[i] != label.label for i, label in zip(poll.winner, labels, strict=True))
                    report(f"triton.{name}.{word}.differ", differ, "labels", target="0", ok=not differ)
                    delta = float(np.abs(np.array([label.probabilities for label in labels]) - poll.shares).max())
                    report(f"triton.{name}.{word}.delta", delta, "share", target="<= 1e-6", ok=delta <= 1e-6)


def learned(crowd: Crowd) -> tuple[dict[str, Any], dict[str, Any]]:
    fitted = fit_dawid_skene(crowd.votes, len(crowd.classes))
    recorded = {"workers": crowd.votes.shape[1], "classes": crowd.classes, "release": 1}
    knows = {"method": "dawid_skene", "confusion": fitted.confusion.tolist(), "prior": fitted.prior.tolist()}
    return recorded, {**recorded, **knows}


def put(store: Store, name: str, parameters: dict[str, Any]) -> None:
    """The block as a model of its own, as a release writes it."""
    write_block("vote", parameters, store.models / name / "1")
    config = block_config(name, Vote(parameters), Serving(max_batch_size=1024), [1])
    write_config(config, store.models / name / "config.pbtxt")


def speeds() -> list[tuple[dict[str, Any], Callable[[int], dict[str, np.ndarray]], str]]:
    """Three members: labels as text, probabilities of thirteen classes, and of a hundred and fifty."""
    random = np.random.default_rng(0)

    def words(rows: int) -> dict[str, np.ndarray]:
        return {f"label_{i}": random.choice(np.array([b"a", b"b", b"c"], object), (rows, 1)) for i in range(3)}

    def shares(classes: int) -> Callable[[int], dict[str, np.ndarray]]:
        return lambda rows: {
            f"probabilities_{i}": random.dirichlet(np.ones(classes), rows).astype(np.float32) for i in range(3)
        }

    members = {"members": ["a", "b", "c"], "release": 1}
    text = {**members, "slots": {f"label_{i}": "BYTES" for i in range(3)}, "classes": ["a", "b", "c"]}
    sure = {**members, "slots": {f"probabilities_{i}": "FP32" for i in range(3)}, "method": "soft"}
    warm = {"confidence": {"kind": "temperature", "temperature": 1.5}}
    sets = {"confidence_levels": [0.9, 0.95], "thresholds": [0.1, 0.02]}
    found = [(text, words, "plurality.text_3")]
    for classes in (13, 150):
        named = {**sure, "classes": list(range(classes))}
        found.append((named, shares(classes), f"soft.{classes}"))
        found.append(({**named, **warm, **sets}, shares(classes), f"soft_calibrated_sets.{classes}"))
    return found


def cost(name: str, block: Vote, tensors: Callable[[int], dict[str, np.ndarray]], repeat: int) -> None:
    for rows in SIZES:
        given, best = tensors(rows), np.inf
        for _ in range(repeat):
            began = time.perf_counter()
            block(**given)
            best = min(best, time.perf_counter() - began)
        per_row = 1e6 * best / rows
        small = rows == 1024 and not name.endswith("150")
        target = {"target": f"<= {TARGET_US:g}", "ok": per_row <= TARGET_US} if small else {}
        report(f"block.vote.{name}.batch_{rows}", per_row, "us/row", **target)


if __name__ == "__main__":
    main()
