"""From the raw scores of a booster to its answers: the link of its objective, labels and probabilities."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from sextant_export.converters.graph_writer import GraphWriter, WholeGraph, choice, label_type
from sextant_export.signature import ANSWER, MATRIX

PROBABILITIES = "probabilities"

Step: TypeAlias = Callable[[GraphWriter, str], str]
"""Adds nodes behind a value of the graph, and gives the name of what comes of it."""


@dataclass(frozen=True, kw_only=True)
class Boosted:
    """
    A booster that was read: *scores* makes (B, *targets*) raw scores of rows (B, *width*), *link* an answer of them.

    With *classes* it answers labels and probabilities, else what *link* gives, *answers* numbers a row.  *by_score*
    is a label chosen by the raw score, of a library whose probability is finer than float32.
    """

    scores: Step
    link: Step
    width: int
    targets: int
    classes: NDArray[Any] | None = None
    answers: int | None = None
    by_score: bool = False


def graph_of_boosted(model: Boosted) -> onnx.ModelProto:
    """The graph ``features`` FP32 (B, width) -> ``prediction``, and ``probabilities`` of a classifier."""
    graph = WholeGraph()
    inputs = {MATRIX: (TensorProto.FLOAT, model.width)}
    if model.classes is None:
        graph.node("Identity", write_answer(graph, MATRIX, model), output=ANSWER)
        return graph.model(inputs, {ANSWER: (TensorProto.FLOAT, model.answers or model.targets)})
    write_labels(graph, MATRIX, model, (ANSWER, PROBABILITIES))
    outputs = {ANSWER: (label_type(model.classes), 1), PROBABILITIES: (TensorProto.FLOAT, len(model.classes))}
    return graph.model(inputs, outputs)


def write_answer(graph: GraphWriter, rows: str, model: Boosted) -> str:
    """The answer (B, answers) of a booster that is no classifier."""
    return model.link(graph, model.scores(graph, rows))


def write_labels(
    graph: GraphWriter, rows: str, model: Boosted, outputs: tuple[str | None, str | None], *, column: bool = True
) -> tuple[str, str]:
    """The labels, (B, 1) or (B,), and the probabilities (B, classes) of a classifier, under the names *outputs*."""
    assert model.classes is not None  # noqa: S101 - for the type checker; the caller has asked
    raw = model.scores(graph, rows)
    chances = model.link(graph, raw)
    if model.targets == 1:
        decided, edge = (raw, 0.0) if model.by_score else (chances, 0.5)
        places = graph.cast(graph.node("Greater", decided, graph.number(edge)), TensorProto.INT64)
        if not column:
            places = graph.node("Squeeze", places, graph.weight("axis", np.array([1])))
        other = graph.node("Sub", graph.number(1.0), chances)
        chances = graph.node("Concat", other, chances, axis=1, output=outputs[1])
    else:
        places = graph.node("ArgMax", chances, axis=1, keepdims=int(column))
        chances = graph.node("Identity", chances, output=outputs[1])
    return choice(graph, places, model.classes, output=outputs[0]), chances


def same(_: GraphWriter, scores: str) -> str:
    """The scores themselves."""
    return scores


def softmax(graph: GraphWriter, scores: str) -> str:
    """Chances that sum to one."""
    return graph.node("Softmax", scores, axis=1)


def exponential(graph: GraphWriter, scores: str) -> str:
    """The exponential, of counts and durations."""
    return graph.node("Exp", scores)


def softplus(graph: GraphWriter, scores: str) -> str:
    """``log(1 + exp(x))``."""
    return graph.node("Softplus", scores)


def signed_square(graph: GraphWriter, scores: str) -> str:
    """What undoes a signed square root."""
    return graph.node("Mul", scores, graph.node("Abs", scores))


def step(graph: GraphWriter, scores: str) -> str:
    """1 of what is over 0, else 0."""
    return graph.cast(graph.node("Greater", scores, graph.number(0.0)), TensorProto.FLOAT)


def winner(graph: GraphWriter, scores: str) -> str:
    """The place of the highest score, as a float32 (B, 1)."""
    return graph.cast(graph.node("ArgMax", scores, axis=1, keepdims=1), TensorProto.FLOAT)


def sigmoid(slope: float = 1.0) -> Step:
    """The logistic function of *slope* times the score."""

    def link(graph: GraphWriter, scores: str) -> str:
        steep = scores if slope == 1.0 else graph.node("Mul", scores, graph.number(slope))
        return graph.node("Sigmoid", steep)

    return link
