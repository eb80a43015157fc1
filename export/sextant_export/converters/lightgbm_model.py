"""
A LightGBM model read from the text it saves itself as, in every objective of which the arithmetic is known here.

The text holds each tree as flat arrays to the last digit; the JSON dump nests a deep tree deeper than Python reads.
LightGBM compares and sums in float64, and so does what is written here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from sextant.errors import ConversionError
from sextant_export.converters.boosted import (
    Boosted,
    Step,
    exponential,
    same,
    sigmoid,
    signed_square,
    softmax,
    softplus,
)
from sextant_export.converters.ensembles import LEAF, Ensemble, SetBook, Tree, write_scores
from sextant_export.converters.graph_writer import GraphWriter

# A code truncates towards zero, so what is over -1 is category 0.
_LOWEST = float(np.nextafter(-1.0, 0.0))
_CATEGORICAL, _DEFAULT_LEFT, _ZERO, _NAN = 1, 2, 4, 8
# LightGBM's own kZeroThreshold: what is nearer to nothing is nothing.
_ZERO_WIDTH = float(np.float32(1e-35))

_SAME = ("regression_l1", "huber", "fair", "quantile", "mape", "lambdarank", "rank_xendcg", "custom", "none")
_EXPONENTIAL = ("poisson", "gamma", "tweedie")
_LINKS: Mapping[str, Callable[[Mapping[str, str]], Step]] = MappingProxyType(
    {
        **dict.fromkeys(_SAME, lambda _: same),
        **dict.fromkeys(_EXPONENTIAL, lambda _: exponential),
        "regression": lambda said: signed_square if "sqrt" in said else same,
        "binary": lambda said: sigmoid(float(said["sigmoid"])),
        "multiclassova": lambda said: sigmoid(float(said["sigmoid"])),
        "multiclass": lambda _: softmax,
        "cross_entropy": lambda _: sigmoid(),
        "cross_entropy_lambda": lambda _: softplus,
    }
)


def read(model: Any) -> Boosted:
    """A model of MLflow's ``lightgbm`` flavour: a native booster, or an estimator of the scikit-learn API."""
    return read_estimator(model) if hasattr(model, "booster_") else read_booster(model)


def read_booster(booster: Any) -> Boosted:
    """
    A native ``lightgbm.Booster``, to its best iteration where it has one, as its own predict.

    ``ConversionError`` names the objective or kind of tree that is not known here.
    """
    if getattr(booster, "pandas_categorical", None):
        raise ConversionError(
            "this LightGBM model holds the values of its categories, which it takes from a pandas categorical column: "
            "train it on codes with categorical_feature=[...], or serve it with `flavor: python_function`"
        )
    header, *trees = _sections(booster.model_to_string())
    ensemble = _ensemble(header, trees)
    zeros = _zeros(trees)

    def scores(graph: GraphWriter, rows: str) -> str:
        return write_scores(graph, _marked(graph, rows, zeros, ensemble.width), ensemble)

    targets = len(ensemble.base)
    return Boosted(scores=scores, link=_link(header), width=ensemble.width, targets=targets, by_score=True)


def read_estimator(model: Any) -> Boosted:
    """An estimator of LightGBM's scikit-learn API."""
    boosted = read_booster(model.booster_)
    if not hasattr(model, "predict_proba"):
        return boosted
    if callable(model.objective_):
        raise ConversionError(
            "an LGBMClassifier with an objective of its own answers raw scores: serve it with `flavor: python_function`"
        )
    return replace(boosted, classes=np.asarray(model.classes_))


def _sections(text: str) -> Iterator[Mapping[str, str]]:
    """The header and then each tree, as its lines ``name=value``; a bare name is an empty value."""
    whole = text.partition("\nend of trees")[0]
    for section in whole.split("\nTree="):
        yield {name: value for name, _, value in (line.partition("=") for line in section.splitlines())}


def _link(header: Mapping[str, str]) -> Step:
    name, *options = header.get("objective", "none").split()
    if name not in _LINKS:
        raise ConversionError(
            f"a LightGBM model of the objective {name!r} is not known: known are {', '.join(sorted(_LINKS))}; "
            "serve it by its own Python with `flavor: python_function`"
        )
    return _LINKS[name]({key: value for key, _, value in (option.partition(":") for option in options)})


def _ensemble(header: Mapping[str, str], trees: list[Mapping[str, str]]) -> Ensemble:
    targets, width = int(header["num_tree_per_iteration"]), int(header["max_feature_idx"]) + 1
    book = SetBook(width, low=_LOWEST)
    average = max(len(trees) // targets, 1) if "average_output" in header else 1
    grown, sets = book.settled([_tree(tree, i % targets, average, book) for i, tree in enumerate(trees)])
    return Ensemble(trees=grown, base=np.zeros(targets), width=width, wide=True, sets=sets)


def _tree(tree: Mapping[str, str], target: int, average: int, book: SetBook) -> Tree:
    """Inner nodes first, in LightGBM's order, and then the leaves; a child under zero is a leaf."""
    if int(tree.get("is_linear", 0)):
        raise ConversionError("a LightGBM model of linear trees is not known: train it with linear_tree=False")
    inner, leaves = int(tree["num_leaves"]) - 1, _floats(tree, "leaf_value") / average
    kinds, feature, threshold = _ints(tree, "decision_type"), _ints(tree, "split_feature"), _floats(tree, "threshold")
    missing_left = _missing_left(kinds, threshold)
    for node in np.flatnonzero(kinds & _CATEGORICAL):
        members = _members(tree, int(threshold[node]))
        feature[node] = book.place(int(feature[node]), members, right=False, missing_right=True)
        threshold[node], missing_left[node] = 0.5, False
    ends, none = np.zeros(len(leaves)), np.zeros(len(leaves), dtype=np.int64)
    return Tree(
        feature=np.concatenate([feature, np.full(len(leaves), LEAF)]),
        threshold=np.concatenate([threshold, ends]),
        left=np.concatenate([_children(tree, "left_child", inner), none]),
        right=np.concatenate([_children(tree, "right_child", inner), none]),
        missing_left=np.concatenate([missing_left, none.astype(bool)]),
        value=np.concatenate([np.zeros(inner), leaves]),
        target=target,
    )


def _missing_left(kinds: NDArray[np.int64], threshold: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Where NaN goes: a split that knows no missing values takes it for 0."""
    knows = (kinds & (_ZERO | _NAN)) > 0
    return np.where(knows, (kinds & _DEFAULT_LEFT) > 0, threshold >= 0)


def _members(tree: Mapping[str, str], place: int) -> frozenset[int]:
    """The categories that go left: bits of the words from one boundary to the next."""
    boundaries, words = _ints(tree, "cat_boundaries"), _ints(tree, "cat_threshold")
    mine = words[boundaries[place] : boundaries[place + 1]]
    return frozenset(32 * i + bit for i, word in enumerate(mine) for bit in range(32) if int(word) >> bit & 1)


def _zeros(trees: list[Mapping[str, str]]) -> list[int]:
    """The features whose zeros are missing values, by ``zero_as_missing``."""
    found: set[int] = set()
    for tree in trees:
        kinds = _ints(tree, "decision_type")
        found.update(_ints(tree, "split_feature")[(kinds & (_ZERO | _CATEGORICAL)) == _ZERO].tolist())
    return sorted(found)


def _marked(graph: GraphWriter, rows: str, zeros: list[int], width: int) -> str:
    """The *rows* with NaN for the zeros of the features *zeros*."""
    if not zeros:
        return rows
    wide = graph.cast(rows, TensorProto.DOUBLE)
    small = graph.node("LessOrEqual", graph.node("Abs", wide), graph.number(_ZERO_WIDTH, np.float64))
    counts = graph.weight("zeros", np.isin(np.arange(width), zeros)[None])
    return graph.node("Where", graph.node("And", small, counts), graph.number(np.nan, np.float64), wide)


def _children(tree: Mapping[str, str], name: str, inner: int) -> NDArray[np.int64]:
    children = _ints(tree, name)
    return np.where(children < 0, inner + ~children, children)


def _ints(tree: Mapping[str, str], name: str) -> NDArray[np.int64]:
    return np.array(tree.get(name, "").split(), dtype=np.int64)


def _floats(tree: Mapping[str, str], name: str) -> NDArray[np.float64]:
    return np.array(tree.get(name, "").split(), dtype=np.float64)
