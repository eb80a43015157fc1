"""Which map from a vote to the probability of being right, chosen on rows that it was not fitted on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sextant.confidence import MEASURES, fitted_temperature, measure, of_place, read_confidence, require_cases
from sextant.reliability import brier_score, estimated_calibration_error
from sextant.tensors import Floats, Mask
from sextant_export.calibration.folds import FOLDS


class Polled(NamedTuple):
    """
    Known cases as they were voted on, by parameters that had not seen them.

    *shares* FP32 (N, C), *winner* (N,) and *truth* (N,) are places among the classes, -1 of a truth that is none of
    them, *agreement* (N,) is the winner's share of the votes, *fold* (N,) which random fold each case is in, *stretch*
    (N,) which of the ordered ones, *own* (N,) which group.
    """

    shares: NDArray[np.float32]
    winner: NDArray[np.int64]
    agreement: Floats
    truth: NDArray[np.int64]
    fold: NDArray[np.intp]
    stretch: NDArray[np.intp]
    own: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.truth)

    @property
    def right(self) -> Mask:
        """Whether each winner is the truth."""
        return np.asarray(self.winner == self.truth)

    def take(self, rows: Mask) -> Polled:
        """Those of *rows*."""
        kept: list[Any] = [array[rows] for array in self]
        return Polled(*kept)


Parameter = dict[str, Any]


def fitted_confidence(polled: Polled) -> tuple[Parameter, dict[str, Any]]:
    """
    The parameter ``confidence`` of ``vote`` for what *polled* shows, and the facts.

    Of a temperature and the isotonic lines of each measure, that with the least Brier score on folds it was not fitted
    on; the facts' *after* is what it did there, their *before* the winner's share taken at its word.
    """
    require_cases(len(polled))
    said = {name: _crossed(fit, polled) for name, fit in _FITS.items()}
    best = min(said, key=lambda name: brier_score(said[name], polled.right))
    before = np.clip(of_place(polled.shares, polled.winner), 0.0, 1.0)
    facts = {
        "chosen": best,
        "folds": FOLDS,
        "brier": {name: brier_score(each, polled.right) for name, each in said.items()},
        "before": _reliability(before, polled.right),
        "after": _reliability(said[best], polled.right),
    }
    return _FITS[best](polled), facts


def fitted_line(polled: Polled, of: str) -> Parameter:
    """
    The isotonic line of the measure *of*: never falling, flat where the cases say no more.

    It never says nought or a hundred: of the n cases on which an end of the line rests, with k right, it says no less
    and no more than (k + 1) / (n + 2), so that one case that was wrong is no certainty.
    """
    from sklearn.isotonic import IsotonicRegression

    line = IsotonicRegression(out_of_bounds="clip")
    said = line.fit_transform(_measured(of, polled), polled.right.astype(np.float64))
    lowest, highest = (_counted(polled.right[said == end]) for end in (said.min(), said.max()))
    levels = np.unique(said)
    bounds = min([lowest, *levels[1:2]]), max([highest, *levels[-2:-1]])
    y = np.maximum.accumulate(np.clip(line.y_thresholds_, *bounds))
    return {"kind": "isotonic", "of": of, "x": line.X_thresholds_.tolist(), "y": y.tolist()}


def _counted(right: Mask) -> float:
    """Laplace's rule of succession."""
    return float((right.sum() + 1) / (len(right) + 2))


def _temperature(polled: Polled) -> Parameter:
    return {"kind": "temperature", "temperature": fitted_temperature(polled.shares, polled.truth)}


def _measured(of: str, polled: Polled) -> Floats:
    return measure(of, polled.shares, polled.winner, polled.agreement)


def _crossed(fit: Callable[[Polled], Parameter], polled: Polled) -> Floats:
    """What the map that *fit* makes of the other folds says of each case, 0 to 1."""
    said = np.empty(len(polled))
    for fold in range(FOLDS):
        out = polled.fold == fold
        made = read_confidence({"confidence": fit(polled.take(~out))})
        if made is not None and out.any():
            shares, winner, agreement, *_ = polled.take(out)
            said[out] = made.confidence(shares, winner, agreement) / 100
    return said.clip(0.0, 1.0)


def _reliability(said: Floats, right: Mask) -> dict[str, Any]:
    error = estimated_calibration_error(said, right)
    return {
        "ece": error.value,
        "ece_interval": [error.low, error.high],
        "ece_floor": error.floor,
        "brier": brier_score(said, right),
        "surplus": float(said.mean() - right.mean()),
    }


_FITS: Mapping[str, Callable[[Polled], Parameter]] = MappingProxyType(
    {"temperature": _temperature, **{f"isotonic {of}": partial(fitted_line, of=of) for of in MEASURES}}
)
