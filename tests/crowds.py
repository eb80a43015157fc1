"""The crowds of the real data: who labelled what, and what was true."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np


class Crowd(NamedTuple):
    """*votes* (N, K), -1 where a worker was not asked; *truth* (N,); *classes* are the names of both."""

    votes: np.ndarray
    truth: np.ndarray
    classes: list[str]


def snow(data: Path, task: str) -> Crowd:
    """``temp`` or ``wsd`` of Snow et al. 2008: ten labels an item."""
    with (data / "crowd_snow2008" / f"{task}.standardized.tsv").open(encoding="utf-8", newline="") as file:
        rows = [(row["!amt_worker_ids"], row["orig_id"], row["response"], row["gold"]) for row in _tsv(file)]
    return _crowd([row[:3] for row in rows], {item: gold for _, item, _, gold in rows})


def barzan(data: Path) -> Crowd:
    """Objects of Barzan Mozafari's set in Get-Another-Label: five labels an object."""
    folder = data / "crowd_gal_barzan"
    labels = [line.split() for line in (folder / "labels.txt").read_text(encoding="utf-8").splitlines() if line.strip()]
    truth = (folder / "evaluation.txt").read_text(encoding="utf-8").splitlines()
    return _crowd(labels, dict(line.split() for line in truth if line.strip()))


def share_of_ties(shares: np.ndarray, truth: np.ndarray) -> float:
    """Accuracy where a tie is decided by lot, on average: a tied item counts by the share of its best classes."""
    best = shares >= shares.max(axis=1, keepdims=True) - 1e-6
    return float((best[np.arange(len(truth)), truth] / best.sum(axis=1)).mean())


def _tsv(file) -> csv.DictReader:
    return csv.DictReader(file, delimiter="\t")


def _crowd(labels: list, gold: dict) -> Crowd:
    """Workers, items and classes in the order of their names, whatever the order of the file."""
    workers, items = sorted({row[0] for row in labels}), sorted(gold)
    classes = sorted({*gold.values(), *(row[2] for row in labels)})
    votes = np.full((len(items), len(workers)), -1)
    for worker, item, label in labels:
        votes[items.index(item), workers.index(worker)] = classes.index(label)
    return Crowd(votes, np.array([classes.index(gold[item]) for item in items]), classes)
