"""Real data: the sets that scikit-learn brings, and those that lie beside a checkout."""

from __future__ import annotations

import csv
import gzip
import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn import datasets

BESIDE = Path(__file__).parents[3] / "shared" / "data"
SEED = 7


class Set(NamedTuple):
    """Rows to learn from: *x* a table of doubles, *y* what is to be found."""

    x: pd.DataFrame
    y: np.ndarray

    @property
    def array(self) -> np.ndarray:
        """The rows without names, as float32."""
        return self.x.to_numpy(np.float32)


class Texts(NamedTuple):
    """Sentences and what each is about."""

    sentences: list[str]
    labels: np.ndarray


class Fingerprints(NamedTuple):
    """Signal strengths (N, 520) in dBm, 100 where nothing was heard, where they were taken and on which floor."""

    features: np.ndarray
    position: np.ndarray
    floor: np.ndarray


@cache
def bundled(name: str) -> Set:
    """``iris``, ``wine``, ``breast_cancer``, ``diabetes`` or ``digits``, its rows shuffled."""
    loaded = getattr(datasets, f"load_{name}")(as_frame=True)
    order = np.random.default_rng(SEED).permutation(len(loaded.data))
    return Set(loaded.data.iloc[order].reset_index(drop=True), loaded.target.to_numpy()[order])


@cache
def with_gaps(name: str, share: float = 0.1) -> Set:
    """*bundled* with a *share* of its values missing."""
    x, y = bundled(name)
    return Set(x.mask(np.random.default_rng(SEED).random(x.shape) < share), y)


@cache
def with_words(name: str, columns: int = 3, words: tuple[str, ...] = ("low", "middle", "high")) -> Set:
    """*bundled* with *columns* of it, which come first, in words: which third a value lies in."""
    x, y = bundled(name)
    chosen = [key for key in x.columns if x[key].nunique() > 10][:columns]
    worded = {key: pd.qcut(x[key], len(words), labels=list(words)).astype(object) for key in chosen}
    return Set(pd.DataFrame(worded).join(x.drop(columns=chosen)), y)


@cache
def fingerprints(rows: int = 3000) -> Fingerprints:
    """UJIIndoorLoc, *rows* of it drawn without looking."""
    with gzip.open(BESIDE / "ujiindoorloc" / "trainingData.csv.gz", "rt") as file:
        lines = list(csv.reader(file))[1:]
    drawn = np.random.default_rng(SEED).choice(len(lines), rows, replace=False)
    table = np.array([[float(word) for word in lines[i][:524]] for i in drawn])
    return Fingerprints(table[:, :520].astype(np.float32), table[:, 520:522], table[:, 522].astype(np.int64))


@cache
def distinct_fingerprints() -> Fingerprints:
    """*fingerprints*, each learned once: which of several equal ones is nearest is an accident of their order."""
    drawn = fingerprints()
    first = np.sort(np.unique(drawn.features, axis=0, return_index=True)[1])
    return Fingerprints(*(column[first] for column in drawn))


@cache
def utterances(intents: int = 20) -> Texts:
    """CLINC150's sentences of its first *intents* intents."""
    with gzip.open(BESIDE / "clinc150" / "data_full_train_val.json.gz", "rt") as file:
        pairs = json.load(file)["train"]
    wanted = sorted({intent for _, intent in pairs})[:intents]
    chosen = [pair for pair in pairs if pair[1] in wanted]
    order = np.random.default_rng(SEED).permutation(len(chosen))
    return Texts([chosen[i][0] for i in order], np.array([chosen[i][1] for i in order], dtype=object))
