"""
Boosted trees as a graph that takes every branch as the library does that grew them.

A library reads its model into :class:`Ensemble`, and one function writes it.  Three things are decided here.
Thresholds: rows are compared in the type that the library compares in (float32 or float64), so a row exactly at a
threshold falls on the library's side of it.  Missing values: each split says where NaN goes.  Categories: ONNX trees
have no sets, so what a set decides is looked up in a table before the trees are asked, and stands beside the features
as one more column, 0 for left and 1 for right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from sextant.errors import ConversionError
from sextant_export.converters.graph_writer import GraphWriter

LEAF = -1
_FIRST_SET = -2
LARGEST_TABLE = 2**24


@dataclass(frozen=True, kw_only=True)
class Tree:
    """
    One tree, a value for each node in each array; node 0 is the root.

    *feature* is ``LEAF`` where a node is one; *left* is taken where the comparison holds, and of NaN where
    *missing_left*.  A leaf adds its *value*, a number or a row of them, to *target* and those
    behind it.
    """

    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    missing_left: NDArray[np.bool_]
    value: NDArray[np.float64]
    target: int = 0


@dataclass(frozen=True, kw_only=True)
class Sets:
    """
    What sets of categories decide on one *feature*: *right* (categories + 2, sets), 1 where a row goes right.

    The last row but one is for what is no category, the last for NaN.  Codes are whole parts; those under *low*
    are no category.
    """

    feature: int
    right: NDArray[np.float32]
    low: float


@dataclass(frozen=True, kw_only=True)
class Ensemble:
    """
    Trees whose values are summed on *base*.

    *width* is how many features a row has; what *sets* decide stands behind them, in order.  *strict* is ``x < t``
    instead of ``x <= t``.  *wide* is float64 instead of float32.
    """

    trees: Sequence[Tree]
    base: NDArray[np.float64]
    width: int
    strict: bool = False
    wide: bool = False
    sets: Sequence[Sets] = field(default=())

    @property
    def dtype(self) -> Any:
        """In which rows are compared and values are summed."""
        return np.float64 if self.wide else np.float32


class SetBook:
    """
    The sets of categories that the splits of an ensemble ask for, each once.

    Codes under *low* are no category; *width* is how many features a row has.
    """

    def __init__(self, width: int, low: float) -> None:
        self._width, self._low = width, low
        self._kept: dict[tuple[int, frozenset[int], bool, bool], int] = {}

    def place(self, feature: int, members: frozenset[int], *, right: bool, missing_right: bool) -> int:
        """What stands for the set as a tree's feature until :meth:`settled`: *members* go *right*, or all others do."""
        key = feature, members, right, missing_right
        return _FIRST_SET - self._kept.setdefault(key, len(self._kept))

    def settled(self, trees: Sequence[Tree]) -> tuple[list[Tree], list[Sets]]:
        """The *trees* with the column of each set as its feature, and the tables of the sets in that order."""
        ordered = sorted(self._kept, key=lambda key: (key[0], self._kept[key]))
        column = np.zeros(len(ordered), dtype=np.int64)
        for place, key in enumerate(ordered):
            column[self._kept[key]] = self._width + place
        tables = [self._table(feature, list(keys)) for feature, keys in groupby(ordered, key=lambda key: key[0])]
        return [replace(tree, feature=_columns(tree.feature, column)) for tree in trees], tables

    def _table(self, feature: int, keys: list[tuple[int, frozenset[int], bool, bool]]) -> Sets:
        count = max(max(members, default=0) for _, members, _, _ in keys) + 1
        if count * len(keys) > LARGEST_TABLE:
            raise ConversionError(
                f"feature {feature} has {count} categories in {len(keys)} splits, too many for a table: "
                "encode it as numbers before training"
            )
        table = np.empty((count + 2, len(keys)), dtype=np.float32)
        for i, (_, members, right, missing_right) in enumerate(keys):
            table[:, i] = not right
            table[list(members), i] = right
            table[count + 1, i] = missing_right
        return Sets(feature=feature, right=table, low=self._low)


def _columns(features: NDArray[np.int64], column: NDArray[np.int64]) -> NDArray[np.int64]:
    """The *features* of a tree with what stands for a set replaced by its *column*."""
    sets = features <= _FIRST_SET
    settled = features.copy()
    settled[sets] = column[_FIRST_SET - features[sets]]
    return settled


def write_scores(graph: GraphWriter, rows: str, ensemble: Ensemble) -> str:
    """The raw scores float32 (B, targets) of *rows*, numbers of any type."""
    typed = graph.cast(rows, TensorProto.DOUBLE if ensemble.wide else TensorProto.FLOAT)
    for sets in ensemble.sets:
        typed = graph.node("Concat", typed, _decided(graph, typed, sets, ensemble.dtype), axis=1)
    attributes = _attributes(ensemble)
    return graph.node("TreeEnsembleRegressor", typed, domain="ai.onnx.ml", **attributes)


def _decided(graph: GraphWriter, rows: str, sets: Sets, dtype: Any) -> str:
    """The columns (B, sets) that a table holds for the category of each row."""
    count = len(sets.right) - 2
    column = graph.node("Gather", rows, graph.weight("feature", np.array(sets.feature)), axis=1)
    over = graph.node("GreaterOrEqual", column, graph.number(count, dtype))
    under = graph.node("Less", column, graph.number(sets.low, dtype))
    known = graph.node("Where", graph.node("Or", over, under), graph.number(count, dtype), column)
    place = graph.node("Where", graph.node("IsNaN", column), graph.number(count + 1, dtype), known)
    table = graph.weight("sets", sets.right.astype(dtype))
    return graph.node("Gather", table, graph.cast(place, TensorProto.INT64), axis=0)


def _attributes(ensemble: Ensemble) -> dict[str, Any]:
    """The trees one after the other, in the words of ``TreeEnsembleRegressor``."""
    trees = ensemble.trees
    leaf = np.concatenate([tree.feature == LEAF for tree in trees])
    values = np.concatenate([tree.value.reshape(len(tree.value), -1) for tree in trees])[leaf]
    each = values.shape[1]
    sizes = [len(tree.feature) for tree in trees]
    numbers = np.repeat(np.arange(len(trees)), sizes)
    places = np.concatenate([np.arange(size) for size in sizes])
    first = np.repeat([tree.target for tree in trees], sizes)[leaf]
    split = "BRANCH_LT" if ensemble.strict else "BRANCH_LEQ"
    return {
        "n_targets": len(ensemble.base),
        "aggregate_function": "SUM",
        "nodes_treeids": numbers.tolist(),
        "nodes_nodeids": places.tolist(),
        "nodes_modes": np.where(leaf, "LEAF", split).tolist(),
        "nodes_featureids": np.where(leaf, 0, _joined(trees, "feature")).tolist(),
        "nodes_truenodeids": np.where(leaf, 0, _joined(trees, "left")).tolist(),
        "nodes_falsenodeids": np.where(leaf, 0, _joined(trees, "right")).tolist(),
        "nodes_missing_value_tracks_true": np.where(leaf, 0, _joined(trees, "missing_left")).astype(int).tolist(),
        "target_treeids": np.repeat(numbers[leaf], each).tolist(),
        "target_nodeids": np.repeat(places[leaf], each).tolist(),
        "target_ids": (first[:, None] + np.arange(each)).reshape(-1).tolist(),
        **_numbers("nodes_values", np.where(leaf, 0, _thresholds(ensemble)), wide=ensemble.wide),
        **_numbers("target_weights", values.reshape(-1), wide=ensemble.wide),
        **_numbers("base_values", ensemble.base, wide=ensemble.wide),
    }


def _joined(trees: Sequence[Tree], name: str) -> NDArray[Any]:
    return np.concatenate([getattr(tree, name) for tree in trees])


def _thresholds(ensemble: Ensemble) -> NDArray[np.float64]:
    """
    The thresholds in the type that rows are compared in.

    Of a float32 ``x``, ``x <= t`` holds where ``x`` is not over the largest float32 that ``t`` is not under; where
    ``x < t`` is asked, thresholds are float32 already.
    """
    exact = _joined(ensemble.trees, "threshold")
    if ensemble.wide or ensemble.strict:
        return exact
    with np.errstate(over="ignore"):
        near = exact.astype(np.float32)
    return np.where(near > exact, np.nextafter(near, np.float32(-np.inf)), near).astype(np.float64)


def _numbers(name: str, values: NDArray[np.float64], *, wide: bool) -> dict[str, Any]:
    """float32 as a list, float64 as a tensor."""
    if not wide:
        return {name: values.astype(np.float32).tolist()}
    return {f"{name}_as_tensor": helper.make_tensor(name, TensorProto.DOUBLE, [len(values)], values.tolist())}
