"""How far one answer is from another: row by row, and never nearer than it looks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sextant.errors import ParityError
from sextant_export.signature import Arrays

# A ten-thousandth of the answers' own spread: far under any model's error, far over what 32-bit sums lose.
SPREAD_SHARE = 1e-4
# And eight units in the last place of a float32 as large as the answers, for degrees far from zero.
LAST_PLACES = 8 * float(np.finfo(np.float32).eps)
# Answers larger than this share of them are few, and do not say what is tolerated of the others.
ORDINARY = 0.99
_KINDS = {"f": "real", "i": "whole", "u": "whole", "b": "truth", "U": "text", "O": "text"}


def comparable(array: NDArray[Any]) -> NDArray[Any]:
    """
    An answer as it is compared: one row of values a row; text is text, whether it came as bytes or not.

    ``(N,)`` and ``(N, 1)`` say the same; more axes are one long row.

    >>> comparable(np.array([b"a", "b"], dtype=object)).tolist()
    [['a'], ['b']]
    """
    flat = array.reshape(len(array), -1)
    if flat.dtype.kind not in "OS":
        return flat
    items = [item.decode(errors="surrogateescape") if isinstance(item, bytes) else item for item in flat.reshape(-1)]
    if not all(isinstance(item, str) for item in items):
        return np.asarray(items).reshape(flat.shape)
    words = np.empty(len(items), dtype=object)
    words[:] = items
    return words.reshape(flat.shape)


def real(array: NDArray[Any]) -> bool:
    """Whether a tolerance makes sense of it; all else must be equal."""
    return array.dtype.kind == "f"


def check(expected: Arrays, given: Arrays) -> None:
    """
    Refuse, with ``ParityError``, what is no matter of tolerance.

    An output that only one side answers, another kind of value, another shape, or nothing but NaN.
    """
    _refuse_other_outputs(expected, given)
    for name in expected:
        wanted, came = comparable(expected[name]), comparable(given[name])
        if _kind(wanted) != _kind(came):
            said = f"{given[name].dtype} where the original answers {expected[name].dtype}"
            raise failure(f"output {name!r} is {said}")
        if wanted.shape != came.shape:
            raise failure(f"output {name!r} is {given[name].shape} where the original answers {expected[name].shape}")
        if real(wanted) and np.isnan(wanted).all():
            raise failure(f"output {name!r} of the original is NaN in every row, which proves nothing")


def delta(wanted: NDArray[Any], came: NDArray[Any]) -> NDArray[np.float64]:
    """
    The largest difference in each row of two comparable answers; of what is not real, 1 where one differs.

    NaN is equal to NaN and to nothing else, an infinity to itself.

    >>> delta(np.array([[np.nan], [np.inf], [np.nan], [2.0]]), np.array([[np.nan], [np.inf], [1.0], [2.5]])).tolist()
    [0.0, 0.0, inf, 0.5]
    """
    if not real(wanted):
        return np.asarray((wanted != came).any(axis=1), dtype=np.float64)
    wide, other = wanted.astype(np.float64), came.astype(np.float64)
    same = (wide == other) | (np.isnan(wide) & np.isnan(other))
    with np.errstate(invalid="ignore", over="ignore"):
        distance = np.where(same, 0.0, np.abs(wide - other))
    return np.asarray(np.nan_to_num(distance, nan=np.inf, posinf=np.inf).max(axis=1, initial=0.0))


def spread(rows: NDArray[Any]) -> NDArray[Any]:
    """
    The standard deviation of each column's finite values.

    >>> spread(np.array([[1.0, np.nan], [3.0, np.inf]])).tolist()
    [1.0, 0.0]
    """
    seen = np.isfinite(rows)
    count = np.maximum(seen.sum(axis=0), 1)
    mean = np.where(seen, rows, 0).sum(axis=0) / count
    return np.asarray(np.sqrt((np.where(seen, rows - mean, 0) ** 2).sum(axis=0) / count))


def nan_pairs(wanted: NDArray[Any], came: NDArray[Any]) -> int:
    """How many values are NaN on both sides."""
    return int((np.isnan(wanted) & np.isnan(came)).sum()) if real(wanted) else 0


@dataclass(frozen=True, slots=True)
class Tolerance:
    """
    What is tolerated of one output: *value*, in its own unit; labels must be equal.

    Where an answer is larger than *ordinary*, it grows in proportion, as what float32 loses does.
    """

    value: float
    ordinary: float = np.inf

    @classmethod
    def of(cls, expected: NDArray[Any]) -> Tolerance:
        """
        What answers like *expected* allow; the few that are far larger than the others lend them nothing.

        >>> Tolerance.of(np.array([[0.0], [200.0]])).value
        0.01019073486328125
        """
        answers = comparable(expected)
        size = _ordinary_size(answers) if real(answers) else 0.0
        if not size:
            return cls(0.0)
        wide = answers.astype(np.float64) / size
        widest = float(spread(np.where(np.abs(wide) <= 1, wide, np.nan)).max(initial=0.0))
        return cls(size * (SPREAD_SHARE * widest + LAST_PLACES), size)

    def ratio(self, wanted: NDArray[Any], came: NDArray[Any]) -> NDArray[np.float64]:
        """For each row of two comparable answers, how many times what is tolerated they differ by."""
        away = delta(wanted, came)
        if not real(wanted) or not self.value:
            return np.where(away > 0, np.inf, 0.0)
        return np.asarray(away / (self.value * np.maximum(1.0, _sizes(wanted) / self.ordinary)))


def excess(tolerances: Mapping[str, Tolerance], expected: Arrays, given: Arrays) -> NDArray[np.float64]:
    """For each row, its worst difference in units of what is tolerated."""
    ratios = [t.ratio(comparable(expected[name]), comparable(given[name])) for name, t in tolerances.items()]
    return np.asarray(np.max(ratios, axis=0), dtype=np.float64)


def failure(said: str) -> ParityError:
    """What no tolerance can help."""
    return ParityError(f"no proof: {said}", worst=float("inf"), tolerance=0.0)


def _ordinary_size(answers: NDArray[Any]) -> float:
    """What 99 of 100 rows' answers are no larger than; of answers that are nearly all zero, the largest."""
    sizes = _sizes(answers)
    return float(np.quantile(sizes, ORDINARY, method="higher")) or float(sizes.max())


def _sizes(answers: NDArray[Any]) -> NDArray[np.float64]:
    """The largest finite size in each row."""
    wide = answers.astype(np.float64)
    return np.asarray(np.where(np.isfinite(wide), np.abs(wide), 0.0).max(axis=1, initial=0.0))


def _refuse_other_outputs(expected: Arrays, given: Arrays) -> None:
    for name in expected:
        if name not in given:
            raise failure(f"there is no output {name!r}; the copy answers {', '.join(given) or 'nothing'}")
    for name in given:
        if name not in expected:
            raise failure(
                f"nothing says what output {name!r} should be; the original answers {', '.join(expected) or 'nothing'}"
            )


def _kind(array: NDArray[Any]) -> str:
    return _KINDS.get(array.dtype.kind, array.dtype.name)
