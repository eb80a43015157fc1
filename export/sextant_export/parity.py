"""
Proof that a copy answers as its original: both are asked the same rows, and the worst difference is written
down.

NaN, another dtype or another shape is a failure, not a tolerance. One thing is counted rather than failed: a
row on an *edge* of the original, where its own answer jumps when its inputs move by a few units in the last
place. There trees split and nearest neighbours tie, no copy can tell which side is meant, and more than one
such row in a hundred fails.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from sextant.errors import ParityError
from sextant_export.onnx_graph import answers, open_session

Arrays = Mapping[str, NDArray[Any]]
Predict = Callable[[NDArray[Any]], Arrays]

# A ten-thousandth of the answers' own spread: far under any model's error, far over what 32-bit sums lose.
SPREAD_SHARE = 1e-4
# And eight units in the last place of a float32 as large as the largest answer, for degrees far from zero.
LAST_PLACES = 8 * float(np.finfo(np.float32).eps)
EDGE_SHARE = 0.01
NUDGES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """
    The worst of *rows* compared: its row, output, difference, and what was tolerated there.

    *edges* are the rows on an edge of the original, which do not count.
    """

    rows: int
    worst_row: int
    worst_output: str
    max_abs_delta: float
    tolerance: float
    edges: tuple[int, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As the receipt keeps it."""
        return asdict(self) | {"edges": list(self.edges)}


def prove(
    model: onnx.ModelProto, predict: Predict, rows: NDArray[Any], tolerance: float | None = None
) -> tuple[Proof, Arrays]:
    """
    The proof that *model* answers *rows* (B, ...) as *predict* does, and what *predict* answered.

    ``ParityError`` names the worst row.
    """
    expected, given = predict(rows), answers(open_session(model), rows)
    check(expected, given)
    return settle(expected, given, predict, rows, tolerance), expected


def compare(expected: Arrays, given: Arrays, tolerance: float | None = None) -> Proof:
    """
    The proof that *given* is *expected*, without an original to ask again; ParityError names the worst
    row.
    """
    check(expected, given)
    proof = _worst(expected, given, tolerance, ())
    if proof.max_abs_delta > proof.tolerance:
        raise _difference(proof, expected, given)
    return proof


def check(expected: Arrays, given: Arrays) -> None:
    """ParityError where *given* lacks an output, or one differs in kind or shape, or holds NaN."""
    for name, wanted in expected.items():
        if name not in given:
            raise _failure(f"there is no output {name!r}; the copy answers {', '.join(given) or 'nothing'}")
        came = given[name]
        if _kind(wanted) != _kind(came):
            raise _failure(f"output {name!r} is {came.dtype} where the original answers {wanted.dtype}")
        if _rows(wanted).shape != _rows(came).shape:
            raise _failure(f"output {name!r} is {came.shape} where the original answers {wanted.shape}")
        for whose, array in (("original", wanted), ("copy", came)):
            _refuse_nan(name, whose, array)


def settle(
    expected: Arrays, given: Arrays, predict: Predict, rows: NDArray[Any], tolerance: float | None = None
) -> Proof:
    """The proof, once each row that differs was asked again beside itself: on an edge or not."""
    excess = _excess(expected, given, tolerance)
    suspects = np.flatnonzero(excess > 1)
    if not suspects.size:
        return _worst(expected, given, tolerance, ())
    allowed = int(EDGE_SHARE * len(rows))
    edges = _edges(expected, predict, rows, suspects, tolerance) if len(suspects) <= allowed else ()
    proof = _worst(expected, given, tolerance, edges)
    if proof.max_abs_delta > proof.tolerance:
        raise _difference(proof, expected, given, len(suspects) - len(edges))
    return proof


def tolerance_of(expected: NDArray[Any]) -> float:
    """
    What is tolerated of answers like *expected*, in their own unit; labels must be equal.

    >>> tolerance_of(np.array([[0.0], [200.0]]))
    0.01019073486328125
    """
    if expected.dtype.kind != "f":
        return 0.0
    wide = expected.astype(np.float64)
    spread = float(wide.std(axis=0).max(initial=0))
    return SPREAD_SHARE * spread + LAST_PLACES * float(np.abs(wide).max(initial=0))


def seeded_rows(observed: NDArray[Any], count: int, seed: int) -> NDArray[Any]:
    """
    *count* rows like *observed* (N, ...): a quarter of it drawn again, a half crossed and nudged, a
    quarter anywhere.

    None leaves the range that its column shows in *observed*, and all are float32, as what is served will
    be.
    """
    random = np.random.default_rng(seed)
    flat = observed.reshape(len(observed), -1)
    low, high = flat.min(axis=0), flat.max(axis=0)
    again = flat[random.integers(len(flat), size=count // 4)]
    crossed = _crossed(flat, count // 2, random)
    anywhere = low + random.random((count - len(again) - len(crossed), flat.shape[1])) * (high - low)
    drawn = np.concatenate([again, np.clip(crossed, low, high), anywhere])
    drawn = np.rint(drawn) if observed.dtype.kind in "iu" else drawn.astype(np.float32)
    return np.asarray(drawn, dtype=observed.dtype).reshape(-1, *observed.shape[1:])


def _crossed(flat: NDArray[Any], count: int, random: np.random.Generator) -> NDArray[Any]:
    """Two rows mixed, and what is not at its column's floor moved by a fiftieth of the column's spread."""
    one, other = (flat[random.integers(len(flat), size=count)] for _ in range(2))
    mixed = np.where(random.random(one.shape) < 0.3, other, one).astype(np.float64)
    noise = random.normal(0, 0.02, mixed.shape) * flat.std(axis=0)
    return np.where(mixed == flat.min(axis=0), mixed, mixed + noise)


def _edges(
    expected: Arrays,
    predict: Predict,
    rows: NDArray[Any],
    suspects: NDArray[np.int64],
    tolerance: float | None,
) -> tuple[int, ...]:
    """Those of *suspects* where the original's answer jumps within a few units in the last place."""
    random = np.random.default_rng(0)
    beside = np.repeat(rows[suspects], NUDGES, axis=0).astype(np.float64)
    beside *= 1 + random.uniform(-1, 1, beside.shape) * 2.0**-22
    again = predict(beside.astype(rows.dtype))
    here = {name: np.repeat(array[suspects], NUDGES, axis=0) for name, array in expected.items()}
    tolerances = _tolerances(expected, tolerance)
    jumps = [_delta(here[name], again[name]) > tolerances[name] for name in expected]
    jumped = np.any(jumps, axis=0).reshape(len(suspects), NUDGES).any(axis=1)
    return tuple(int(row) for row in suspects[jumped])


def _worst(expected: Arrays, given: Arrays, tolerance: float | None, edges: tuple[int, ...]) -> Proof:
    excess = _excess(expected, given, tolerance)
    excess[list(edges)] = -1
    row = int(excess.argmax())
    tolerances = _tolerances(expected, tolerance)
    deltas = {name: float(_delta(expected[name], given[name])[row]) for name in expected}
    name = max(deltas, key=lambda name: _ratio(np.float64(deltas[name]), tolerances[name]))
    return Proof(
        rows=len(excess),
        worst_row=row,
        worst_output=name,
        max_abs_delta=deltas[name],
        tolerance=tolerances[name],
        edges=edges,
    )


def _excess(expected: Arrays, given: Arrays, tolerance: float | None) -> NDArray[np.float64]:
    """For each row, its worst difference in units of what is tolerated."""
    tolerances = _tolerances(expected, tolerance)
    ratios = [_ratio(_delta(expected[name], given[name]), tolerances[name]) for name in expected]
    return np.asarray(np.max(ratios, axis=0), dtype=np.float64)


def _tolerances(expected: Arrays, tolerance: float | None) -> dict[str, float]:
    return {name: tolerance_of(a) if tolerance is None else tolerance for name, a in expected.items()}


def _ratio(delta: Any, tolerance: float) -> Any:
    return delta / tolerance if tolerance > 0 else np.where(delta > 0, np.inf, 0.0)


def _delta(wanted: NDArray[Any], came: NDArray[Any]) -> NDArray[np.float64]:
    """The largest difference in each row; of labels, 1 where one differs."""
    wanted, came = _rows(wanted), _rows(came)
    if wanted.dtype.kind != "f":
        return np.asarray((wanted != came).max(axis=1), dtype=np.float64)
    return np.asarray(np.abs(wanted.astype(np.float64) - came).max(axis=1), dtype=np.float64)


def _rows(array: NDArray[Any]) -> NDArray[Any]:
    """(N,) and (N, 1) say the same; more axes are one long row."""
    return array.reshape(len(array), -1)


def _kind(array: NDArray[Any]) -> str:
    kinds = {"f": "real", "i": "whole", "u": "whole", "b": "truth", "U": "text", "S": "text", "O": "text"}
    return kinds.get(array.dtype.kind, array.dtype.name)


def _refuse_nan(name: str, whose: str, array: NDArray[Any]) -> None:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        row = int(np.argwhere(~np.isfinite(_rows(array)))[0][0])
        raise _failure(f"output {name!r} of the {whose} is not finite in row {row}: {_rows(array)[row].tolist()}")


def _failure(said: str) -> ParityError:
    return ParityError(f"no proof: {said}", worst=float("inf"), tolerance=0.0)


def _difference(proof: Proof, expected: Arrays, given: Arrays, rows: int | None = None) -> ParityError:
    wanted, came = (_rows(side[proof.worst_output])[proof.worst_row] for side in (expected, given))
    count = "" if rows is None else f"; {rows} of {proof.rows} rows differ"
    return ParityError(
        f"no proof: row {proof.worst_row}, output {proof.worst_output!r}: "
        f"the original answers {wanted.tolist()}, the copy {came.tolist()}: "
        f"|delta| {proof.max_abs_delta:.3g} is over {proof.tolerance:.3g}{count}",
        worst=proof.max_abs_delta,
        tolerance=proof.tolerance,
    )
