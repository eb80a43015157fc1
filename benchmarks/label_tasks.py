"""Two real questions with many classes, and the members that answer them: which floor, and which intent."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import Normalizer, StandardScaler

from sextant_cli.demo.members import UJIINDOORLOC
from sextant_cli.demo.survey import split
from sextant_cli.demo.ujiindoorloc import FILES, read


@dataclass(frozen=True)
class Part:
    """Rows as a caller sends them, FP32 (N, W), their true labels (N,), text, and the walk each is of, if any."""

    features: np.ndarray
    labels: np.ndarray
    walks: np.ndarray | None = None


@dataclass(frozen=True)
class Task:
    """What is learned from, calibrated with and judged on; how rows are scaled; the members, untrained."""

    name: str
    train: Part
    calibration: Part
    held_back: Part
    scale: Mapping[str, float]
    members: Mapping[str, Callable[[], Any]]


def building_and_floor(data: Path, *, quick: bool) -> Task:
    """
    In which building and on which floor a Wi-Fi fingerprint was taken: thirteen of them.

    The survey is split as the demo's: the last fifth by time is held back, and walks that calibrate train nothing.
    """
    survey = read(data / "ujiindoorloc")
    table = pd.read_csv(data / "ujiindoorloc" / FILES[0], usecols=["TIMESTAMP", "BUILDINGID", "FLOOR"])
    table = table.sort_values("TIMESTAMP", kind="stable")
    labels = (table["BUILDINGID"].astype(str) + "-" + table["FLOOR"].astype(str)).to_numpy(dtype=str)
    # The split knows nothing of floors: each row carries its number through it in place of its latitude.
    numbered = replace(survey, latitude=np.arange(len(survey), dtype=float))
    rows = [part.latitude.astype(int) for part in vars(split(numbered)).values()]
    train, calibration, held_back = (Part(survey.features[i], labels[i], survey.group[i]) for i in rows)
    trees = 20 if quick else 100
    members = {
        "forest": lambda: ExtraTreesClassifier(trees, max_features=0.1, n_jobs=-1, random_state=0),
        "mlp": lambda: make_pipeline(
            Normalizer(), MLPClassifier((128,), alpha=0.01, batch_size=64, max_iter=15, random_state=0)
        ),
        "knn": lambda: make_pipeline(
            Normalizer(), PCA(100, random_state=0), KNeighborsClassifier(9, algorithm="brute")
        ),
    }
    return Task("building_and_floor", train, calibration, held_back, UJIINDOORLOC.scale, members)


def intents(data: Path, *, quick: bool) -> Task:
    """
    What somebody wants who says this: 150 intents of clinc150, a hundred sentences each to learn from.

    Of its validation set one half calibrates and the other is held back. The caller makes the features: words and
    parts of words, weighed and brought down to dense numbers of unit length, which the block only shifts above zero.
    """
    with gzip.open(data / "clinc150" / "data_full_train_val.json.gz") as file:
        sets = json.load(file)
    texts, labels = ({name: [pair[i] for pair in sets[name]] for name in ("train", "val")} for i in (0, 1))
    maker = _features(width=100 if quick else 400, grams=not quick)
    train = Part(maker.fit_transform(texts["train"]).astype(np.float32), np.array(labels["train"]))
    known = Part(maker.transform(texts["val"]).astype(np.float32), np.array(labels["val"]))
    halves = np.array_split(np.random.default_rng(0).permutation(len(known.labels)), 2)
    calibration, held_back = (Part(known.features[np.sort(i)], known.labels[np.sort(i)]) for i in halves)
    members = {
        "logistic": lambda: make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300)),
        "mlp": lambda: make_pipeline(
            StandardScaler(), MLPClassifier((256,), alpha=1.0, batch_size=128, max_iter=15, random_state=0)
        ),
        "knn": lambda: KNeighborsClassifier(15, weights="distance", algorithm="brute"),
    }
    return Task("intents", train, calibration, held_back, {"offset": 1.0}, members)


def _features(width: int, *, grams: bool) -> Any:
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2)
    pieces = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, min_df=3)
    union = make_union(words, pieces) if grams else words
    return make_pipeline(union, TruncatedSVD(width, n_iter=4, random_state=0), Normalizer())
