"""How far a counted share may be from the true one, and how far a conformal promise from what it turns out to hold."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sextant.conform import conformal_rank
from sextant.errors import CalibrationError
from sextant.values import level_text

_HALVINGS = 60


def coverage_interval(inside: int, rows: int, confidence_level: float = 0.95) -> tuple[float, float]:
    """
    Where the true share lies, at *confidence_level*, if *inside* of *rows* were counted (Clopper and Pearson, exact).

    ``CalibrationError`` where there are no rows, or more inside than there are.

    >>> low, high = coverage_interval(190, 200)
    >>> round(low, 4), round(high, 4)
    (0.91, 0.9758)
    """
    if not 0 <= inside <= rows or rows < 1:
        raise CalibrationError(f"expected a count within 0 to {rows} rows, got {inside}")
    tail = (1 - confidence_level) / 2
    low = beta_quantile(inside, rows - inside + 1, tail) if inside else 0.0
    high = beta_quantile(inside + 1, rows - inside, 1 - tail) if inside < rows else 1.0
    return low, high


def realised_coverage(rows: int, confidence_level: float, share: float = 0.9) -> tuple[float, float]:
    """
    The coverage that radii set on *rows* rows turn out to have on endless new ones, in *share* of all calibrations.

    On average it is what was promised; one calibration has that of a Beta(r, n + 1 - r), r being the rank.
    ``CalibrationError`` where the rows are too few for any radius.

    >>> low, high = realised_coverage(200, 0.95)
    >>> round(low, 3), round(high, 3)
    (0.923, 0.973)
    """
    rank = conformal_rank(rows, confidence_level)
    if rank > rows:
        raise CalibrationError(f"no radius holds {level_text(confidence_level)} on the word of {rows} rows")
    tail = (1 - share) / 2
    return beta_quantile(rank, rows + 1 - rank, tail), beta_quantile(rank, rows + 1 - rank, 1 - tail)


def beta_quantile(a: int, b: int, probability: float) -> float:
    """
    Below what a Beta(*a*, *b*), both whole and above 0, lies with *probability*.

    >>> round(beta_quantile(191, 10, 0.05), 6), round(beta_quantile(1, 1, 0.3), 6)
    (0.922789, 0.3)
    """
    below = _beta_below(a, b)
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if below(middle) < probability else (low, middle)
    return (low + high) / 2


def _beta_below(a: int, b: int) -> Callable[[float], float]:
    """
    The distribution function of a Beta(a, b).

    The a-th smallest of a + b - 1 uniform draws is below x when at least a of them are: a sum of binomial terms, in
    logarithms lest they underflow.
    """
    draws = a + b - 1
    factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1.0, draws + 1)))])
    count = np.arange(a, draws + 1)
    ways = factorial[draws] - factorial[count] - factorial[draws - count]

    def below(x: float) -> float:
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = ways + count * np.log(x) + np.where(count == draws, 0.0, (draws - count) * np.log1p(-x))
        return float(min(1.0, np.exp(terms).sum()))

    return below
