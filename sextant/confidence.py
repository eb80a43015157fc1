"""
What a vote's confidence means: a map from pooled probabilities or agreement to the probability of being right, and sets
of classes that hold the truth as often as they promise.

The vote is pooled first and calibrated then: a mean of members that are each calibrated is under-confident.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from sextant.conform import conformal_bound
from sextant.errors import CalibrationError, ParametersError
from sextant.parameters import number, numbers, one_of, refuse_unknown
from sextant.tensors import Floats, Mask
from sextant.vote import softmax

KINDS = ("temperature", "isotonic")
MEASURES = ("top_probability", "agreement", "margin")
FEWEST_CASES = 50
_KEYS: Mapping[str, tuple[str, ...]] = {"temperature": ("temperature",), "isotonic": ("of", "x", "y")}
# A forest whose trees all say no gives a probability of nothing, and no temperature makes that likelier.
LEAST = 1e-6
_COLDEST, _HOTTEST = 0.05, 20.0
_HALVINGS = 30


class Temperature(NamedTuple):
    """From pooled probabilities to the probability of being right: a temperature, the *value*, softens or sharpens."""

    value: float

    def probabilities(self, pooled: ArrayLike) -> Floats:
        """The *pooled* probabilities ``(B, C)`` as they are answered: calibrated."""
        return tempered(np.asarray(pooled, dtype=np.float64), self.value)

    def confidence(self, pooled: ArrayLike, winner: ArrayLike, agreement: ArrayLike) -> Floats:  # noqa: ARG002 - of Line
        """
        The probability, 0-100, that the *winner* ``(B,)``, its place among the classes, is right.

        *pooled* ``(B, C)`` are the vote's probabilities; whatever the *agreement* ``(B,)``.

        >>> Temperature(2.0).confidence([[0.8, 0.2]], [0], [1.0]).round(2).tolist()
        [66.67]
        """
        return 100 * of_place(self.probabilities(pooled), winner)


class Line(NamedTuple):
    """From a measure of the vote, which it is a line *of*, to the probability of being right, by the knots *x*, *y*."""

    of: str
    x: Floats
    y: Floats

    def probabilities(self, pooled: ArrayLike) -> Floats:
        """The *pooled* probabilities ``(B, C)`` as they are."""
        return np.asarray(pooled, dtype=np.float64)

    def confidence(self, pooled: ArrayLike, winner: ArrayLike, agreement: ArrayLike) -> Floats:
        """
        The probability, 0-100, that the *winner* ``(B,)``, its place among the classes, is right.

        *pooled* ``(B, C)`` are the vote's probabilities, *agreement* ``(B,)`` the winner's share of the votes.

        >>> Line("agreement", np.array([0.0, 1.0]), np.array([0.2, 0.8])).confidence([[0.6, 0.4]], [0], [0.5]).tolist()
        [50.0]
        """
        measured: Floats = np.interp(measure(self.of, pooled, winner, agreement), self.x, self.y)
        return 100 * measured


def read_confidence(parameters: Mapping[str, Any]) -> Temperature | Line | None:
    """
    The map that stands under ``confidence``, or None where there is none; ``ParametersError`` where it is wrong.

    ``{"kind": "temperature", "temperature": 1.7}`` or ``{"kind": "isotonic", "of": "agreement", "x": [...],
    "y": [...]}``, *of* one of ``top_probability``, ``agreement`` and ``margin``.
    """
    given = parameters.get("confidence")
    if given is None:
        return None
    if not isinstance(given, Mapping) or given.get("kind") not in KINDS:
        raise ParametersError(f"confidence: expected a mapping of the kind {' or '.join(KINDS)}, got {given!r}")
    raw = {f"confidence.{key}": value for key, value in given.items()}
    kind = given["kind"]
    refuse_unknown(raw, [f"confidence.{key}" for key in ("kind", *_KEYS[kind])])
    if kind == "temperature":
        return Temperature(_temperature(raw))
    return Line(one_of(raw, "confidence.of", MEASURES), *_knots(raw))


def read_thresholds(parameters: Mapping[str, Any], levels: int) -> Floats | None:
    """The probability, under ``thresholds``, from which a class is in the set of each of *levels*; None without."""
    return None if parameters.get("thresholds") is None else numbers(parameters, "thresholds", (levels,))


def counted_confidence(votes: ArrayLike, asked: ArrayLike) -> Floats:
    """
    What the count of votes says, 0-100, where nothing is known of how often such votes are right.

    The mean of what the share of the winner's *votes* among all that could be *asked* may be (Laplace's rule).

    >>> counted_confidence([5, 1], [5, 1]).round(1).tolist()
    [85.7, 66.7]
    """
    counted: Floats = 100 * (np.asarray(votes, dtype=np.float64) + 1) / (np.asarray(asked, dtype=np.float64) + 2)
    return counted


def prediction_sets(pooled: ArrayLike, winner: ArrayLike, thresholds: Floats | None) -> Mask:
    """
    Which classes are in the set of each level, ``(B, L, C)``: those whose pooled probability reaches its threshold.

    The *winner* is in every set, whatever its probability, so that none is empty.  Without *thresholds* nothing is
    known, and a single set holds every class.

    >>> prediction_sets([[0.6, 0.3, 0.1]], [0], np.array([0.7, 0.2])).tolist()
    [[[True, False, False], [True, True, False]]]
    """
    given, place = np.asarray(pooled), np.asarray(winner)
    if thresholds is None:
        return np.ones((len(given), 1, given.shape[1]), dtype=np.bool_)
    within: Mask = given[:, None, :] >= thresholds[:, None]
    within[np.arange(len(given)), :, place] = True
    return within


def set_threshold(probability_of_truth: ArrayLike, confidence_level: float) -> float:
    """
    The least probability that a class of a set with *confidence_level* may have.

    *probability_of_truth* ``(N,)`` is what held-back rows gave their true class.  Of n of them, all but
    n - ceil((n + 1) p) reach it: sets of least ambiguity (Sadinle, Lei and Wasserman 2019), the smallest on average of
    those that promise as much.  ``CalibrationError`` where the rows are too few.

    >>> set_threshold(np.linspace(0.05, 0.95, 19), 0.9)
    0.1
    """
    held_back = np.asarray(probability_of_truth, dtype=np.float64)
    if not np.isfinite(held_back).all():
        raise CalibrationError("the probability of a true class is not a number")
    return -conformal_bound(-held_back, confidence_level, "set", "known cases")


def fitted_temperature(pooled: ArrayLike, truth: ArrayLike) -> float:
    """
    The temperature under which the *truth* ``(N,)``, places among the classes, is likeliest by *pooled* ``(N, C)``.

    Its likelihood is concave in one over it, so it is found by halving; within 0.05 and 20.  A place of -1 is a truth
    that no member knows.

    >>> sure, right = np.tile([[0.99, 0.01]], (100, 1)), np.repeat([0, 1], [80, 20])
    >>> round(float(tempered(sure, fitted_temperature(sure, right))[0, 0]), 6)
    0.8
    """
    logarithm = np.log(np.maximum(np.asarray(pooled, dtype=np.float64), LEAST))
    of_truth = np.log(np.maximum(of_place(pooled, truth), LEAST)).mean()
    low, high = np.log(1 / _HOTTEST), np.log(1 / _COLDEST)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        foretold = float(np.mean(np.sum(softmax(np.exp(middle) * logarithm) * logarithm, axis=1)))
        low, high = (middle, high) if foretold < of_truth else (low, middle)
    return float(np.exp(-(low + high) / 2))


def tempered(pooled: Floats, temperature: float) -> Floats:
    """
    The probabilities ``(B, C)``, each to the power of one over *temperature*, summing to one again.

    >>> tempered(np.array([[0.8, 0.2]]), 2.0).round(4).tolist()
    [[0.6667, 0.3333]]
    """
    return softmax(np.log(np.maximum(pooled, LEAST)) / temperature)


def measure(name: str, pooled: ArrayLike, winner: ArrayLike, agreement: ArrayLike) -> Floats:
    """
    One number a row ``(B,)`` that grows with how sure a vote looks.

    ``agreement``, ``top_probability`` of the *winner*, or its ``margin`` over the next.

    >>> measure("margin", [[0.6, 0.3, 0.1]], [0], [1.0]).round(6).tolist()
    [0.3]
    """
    if name == "agreement":
        return np.asarray(agreement, dtype=np.float64)
    given, place = np.asarray(pooled, dtype=np.float64), np.asarray(winner)
    top = of_place(given, place)
    if name == "top_probability":
        return top
    others = np.where(np.arange(given.shape[1]) == place[:, None], 0.0, given)
    return np.asarray(top - others.max(axis=1, initial=0.0))


def require_cases(rows: int) -> None:
    """``CalibrationError`` where *rows* are too few to fit a confidence on."""
    if rows < FEWEST_CASES:
        raise CalibrationError(f"a confidence needs {FEWEST_CASES} known cases, got {rows}")


def of_place(probabilities: ArrayLike, place: ArrayLike) -> Floats:
    """
    What *probabilities* ``(B, C)`` give the class at each *place* ``(B,)``; nothing at place -1, which is none of them.

    >>> of_place([[0.6, 0.4], [0.7, 0.3]], [1, -1]).tolist()
    [0.4, 0.0]
    """
    given, at = np.asarray(probabilities, dtype=np.float64), np.asarray(place)
    return np.where(at < 0, 0.0, given[np.arange(len(given)), at])


def _temperature(raw: Mapping[str, Any]) -> float:
    temperature = number(raw, "confidence.temperature", None)
    if temperature is None or temperature <= 0:
        raise ParametersError(f"confidence.temperature: expected a number above 0, got {temperature!r}")
    return temperature


def _knots(raw: Mapping[str, Any]) -> tuple[Floats, Floats]:
    x = numbers(raw, "confidence.x", (-1,))
    y = numbers(raw, "confidence.y", x.shape)
    if np.any(np.diff(x) < 0) or np.any(np.diff(y) < 0) or y[0] < 0 or y[-1] > 1:
        raise ParametersError("confidence.y: expected shares of 0 to 1 that never fall as confidence.x grows")
    return x, y
