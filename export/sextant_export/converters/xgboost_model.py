"""
An XGBoost model read from its own JSON, in every booster and objective of which the arithmetic is known here.

The JSON is read rather than the text dump because it holds what decides an answer: the intercept of each target
before the link (a number between 0 and 1 under a logistic objective, a list since 3.1), the class of each tree, the
weight of a dropped tree, and float32 thresholds to the last digit.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from sextant.errors import ConversionError
from sextant_export.converters.boosted import Boosted, Step, exponential, same, sigmoid, softmax, step, winner
from sextant_export.converters.ensembles import LEAF, Ensemble, SetBook, Tree, write_scores
from sextant_export.converters.graph_writer import GraphWriter

_LOGISTIC = ("binary:logistic", "reg:logistic")
_LOGARITHMIC = ("count:poisson", "reg:gamma", "reg:tweedie", "survival:cox", "survival:aft")
_SAME = (
    *("reg:squarederror", "reg:squaredlogerror", "reg:pseudohubererror", "reg:absoluteerror", "reg:quantileerror"),
    *("reg:linear", "reg:expectileerror", "rank:pairwise", "rank:ndcg", "rank:map", "binary:logitraw"),
)
LINKS: Mapping[str, Step] = MappingProxyType(
    {
        **dict.fromkeys(_SAME, same),
        **dict.fromkeys(_LOGARITHMIC, exponential),
        "binary:logistic": sigmoid(),
        "reg:logistic": sigmoid(),
        "binary:hinge": step,
        "multi:softprob": softmax,
        "multi:softmax": winner,
    }
)
"""What makes an answer of the raw scores, by the objective."""

_BEFORE: Mapping[str, Callable[[NDArray[np.float32]], NDArray[np.float32]]] = MappingProxyType(
    {**dict.fromkeys(_LOGISTIC, lambda chance: -np.log(1 / chance - 1)), **dict.fromkeys(_LOGARITHMIC, np.log)}
)
"""What makes a raw score of the base score, which is in the unit of the answer."""


def read(model: Any) -> Boosted:
    """A model of MLflow's ``xgboost`` flavour: a native booster, or an estimator of the scikit-learn API."""
    return read_estimator(model) if hasattr(model, "get_booster") else read_booster(model)


def read_booster(booster: Any, rounds: int | None = None, missing: float = np.nan) -> Boosted:
    """
    A native ``xgboost.Booster``, of its first *rounds* or all; *missing* is what stands for no value beside NaN.

    ``ConversionError`` names the objective, booster or kind of tree that is not known here.
    """
    learner = json.loads(bytes(booster.save_raw("json")))["learner"]
    objective = learner["objective"]["name"]
    if objective not in LINKS:
        raise ConversionError(
            f"an XGBoost model of the objective {objective!r} is not known: known are {', '.join(sorted(LINKS))}; "
            "serve it by its own Python with `flavor: python_function`"
        )
    base = _base(learner, objective)
    return Boosted(
        scores=_scores(learner, base, rounds, missing),
        link=LINKS[objective],
        width=int(learner["learner_model_param"]["num_feature"]),
        targets=len(base),
        answers=1 if objective == "multi:softmax" else None,
    )


def _base(learner: Mapping[str, Any], objective: str) -> NDArray[np.float64]:
    """The raw score of no tree, for each target: XGBoost works it out in float32."""
    described = learner["learner_model_param"]
    said = np.array(described["base_score"].strip("[]").split(","), dtype=np.float32)
    targets = max(int(described["num_class"]), int(described["num_target"]), 1)
    raw = _BEFORE[objective](said) if objective in _BEFORE else said
    return np.broadcast_to(raw, targets).astype(np.float64)


def _scores(learner: Mapping[str, Any], base: NDArray[np.float64], rounds: int | None, missing: float) -> Step:
    booster = learner["gradient_booster"]
    if booster["name"] == "gblinear":
        weights = np.array(booster["model"]["weights"], dtype=np.float32).reshape(-1, len(base))
        return partial(_linear, weights=weights, base=base[0], missing=missing)
    ensemble = _ensemble(learner, base, rounds)

    def scores(graph: GraphWriter, rows: str) -> str:
        return write_scores(graph, _marked(graph, rows, missing), ensemble)

    return scores


def _marked(graph: GraphWriter, rows: str, missing: float) -> str:
    """The *rows* as float32 with NaN where *missing* stands."""
    single = graph.cast(rows, TensorProto.FLOAT)
    if np.isnan(missing):
        return single
    absent = graph.node("Equal", single, graph.number(missing))
    return graph.node("Where", absent, graph.number(np.nan), single)


def _linear(graph: GraphWriter, rows: str, weights: Any, base: np.float64, missing: float) -> str:
    """A sum of features; what is missing adds nothing, and every target has the first one's *base*."""
    marked = _marked(graph, rows, missing)
    filled = graph.node("Where", graph.node("IsNaN", marked), graph.number(0.0), marked)
    product = graph.node("MatMul", filled, graph.weight("weights", weights[:-1]))
    return graph.node("Add", product, graph.weight("base", (weights[-1] + base).astype(np.float32)))


def _ensemble(learner: Mapping[str, Any], base: NDArray[np.float64], rounds: int | None) -> Ensemble:
    booster = learner["gradient_booster"]
    dropped = booster["name"] == "dart"
    model = booster["gbtree"]["model"] if dropped else booster["model"]
    if model.get("cats", {}).get("enc"):
        raise ConversionError(
            "this XGBoost model holds the names of its categories, which it takes from a pandas categorical column: "
            "train it on codes with feature_types=['c', ...], or serve it with `flavor: python_function`"
        )
    count = len(model["trees"]) if rounds is None else model["iteration_indptr"][rounds]
    shrunk = booster["weight_drop"] if dropped else [1.0] * count
    if not count:
        raise ConversionError("this XGBoost model has no tree: train it for at least one round")
    width = int(learner["learner_model_param"]["num_feature"])
    book = SetBook(width, low=0)
    told = zip(model["trees"][:count], model["tree_info"], shrunk, strict=False)
    trees, sets = book.settled([_tree(tree, target, np.float32(weight), book) for tree, target, weight in told])
    return Ensemble(trees=trees, base=base, width=width, strict=True, sets=sets)


def _tree(tree: Mapping[str, Any], target: int, weight: np.float32, book: SetBook) -> Tree:
    if int(tree["tree_param"]["size_leaf_vector"]) > 1:
        raise ConversionError(
            "an XGBoost model whose leaves are vectors is not known: train it with "
            "multi_strategy='one_output_per_tree', or serve it with `flavor: python_function`"
        )
    left, numbers = np.array(tree["left_children"]), np.array(tree["split_conditions"], dtype=np.float32)
    leaf, missing_left = left == LEAF, np.array(tree["default_left"], dtype=bool)
    feature = np.where(leaf, LEAF, np.array(tree["split_indices"]))
    threshold = numbers.copy()
    for node, members in _sets(tree):
        feature[node] = book.place(int(feature[node]), members, right=True, missing_right=not missing_left[node])
        threshold[node] = 0.5
    return Tree(
        feature=feature,
        threshold=threshold.astype(np.float64),
        left=left,
        right=np.array(tree["right_children"]),
        missing_left=missing_left,
        value=(numbers * weight).astype(np.float64),
        target=target,
    )


def _sets(tree: Mapping[str, Any]) -> Iterator[tuple[int, frozenset[int]]]:
    """The nodes that ask for a category, and the categories of each that go right."""
    categories = tree["categories"]
    facts = zip(tree["categories_nodes"], tree["categories_segments"], tree["categories_sizes"], strict=True)
    for node, begin, size in facts:
        yield node, frozenset(categories[begin : begin + size])


def read_estimator(model: Any) -> Boosted:
    """
    An estimator of XGBoost's scikit-learn API.

    One that stopped early answers with its best iteration, as its own predict does and a native booster's does not.
    """
    booster = model.get_booster()
    best = getattr(model, "best_iteration", None) if model.booster != "gblinear" else None
    missing = np.nan if model.missing is None else float(model.missing)
    boosted = read_booster(booster, None if best is None else int(best) + 1, missing)
    if not hasattr(model, "predict_proba"):
        return boosted
    classes = np.asarray(model.classes_)
    if boosted.targets not in {1, len(classes)} or (boosted.targets > 1 and len(classes) == 2):
        raise ConversionError(
            "an XGBClassifier of several labels a row is not known: train one classifier for each label, "
            "or serve it with `flavor: python_function`"
        )
    return replace(boosted, classes=classes, link=softmax if boosted.targets > 1 else boosted.link)
