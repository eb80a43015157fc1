"""How good the answers to labelled rows are: the figures of positions and of labels, by the names of their gates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sextant.answers import Fix
from sextant.label import Label
from sextant.reliability import estimated_calibration_error
from sextant.scores import evaluate

_REGION = {"position": "ellipse", "label": "set"}


def coverage_name(answer: str, level: float) -> str:
    """
    What the coverage gate of *level* is called in a pipeline that gives *answer*.

    >>> coverage_name("position", 0.95), coverage_name("label", 0.9)
    ('coverage of the 95% ellipse', 'coverage of the 90% set')
    """
    return f"coverage of the {100 * level:.10g}% {_REGION[answer]}"


def of_positions(fixes: Sequence[Fix], truth: NDArray[np.float64]) -> dict[str, float]:
    """Errors in metres, and the share of true places in the ellipse of each level."""
    scores = evaluate(fixes, truth)
    covered = {coverage_name("position", level): share for level, share in scores.coverage.items()}
    return {"median_error_m": scores.median_error_m, "p95_error_m": scores.p95_error_m, **covered}


def of_labels(labels: Sequence[Label], truth: NDArray[Any]) -> dict[str, float]:
    """
    Accuracy, calibration error, mean agreement, and the share of true classes in the set of each level.

    ``ece_floor`` is the calibration error that so many rows show of confidences that are all true.
    """
    right = np.array([label.label == true for label, true in zip(labels, truth.tolist(), strict=True)])
    error = estimated_calibration_error([label.confidence / 100 for label in labels], right)
    levels = labels[0].confidence_levels if labels[0].classes else ()
    return {
        "accuracy": float(right.mean()),
        "ece": error.value,
        "ece_floor": error.floor,
        "agreement": float(np.mean([label.agreement for label in labels])),
        **{coverage_name("label", level): _covered(labels, truth, level) for level in levels},
    }


def _covered(labels: Sequence[Label], truth: NDArray[Any], level: float) -> float:
    sets = (label.prediction_set(level) for label in labels)
    return float(np.mean([true in held for held, true in zip(sets, truth.tolist(), strict=True)]))
