"""What a pipeline answers, typed: a fix, a label or a record for each row that was asked."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

from numpy.typing import NDArray

from sextant.errors import ParametersError
from sextant.fix import ErrorEllipse, Fix, fixes
from sextant.label import Label, labels
from sextant.values import scalars, text

__all__ = ["ErrorEllipse", "Fix", "Kind", "Label", "Record", "from_tensors", "kind"]

Kind: TypeAlias = Literal["position", "label", "record", "tensors"]


@dataclass(frozen=True, slots=True)
class Record:
    """
    A structured answer and how sure it is.

    *agreement* is one a field; *confidence* the calibrated probability of the record being right, 0-100;
    *record_supported* says that at least one sample said exactly this record.
    """

    record: Any
    agreement: Any
    confidence: float
    record_supported: bool
    samples_used: int
    tier: str
    cost: float
    seeds: tuple[int, ...]
    release: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """The same in plain JSON values."""
        return {**asdict(self), "seeds": list(self.seeds)}


def kind(names: Collection[str]) -> Kind:
    """
    What a pipeline with outputs of these *names* answers.

    >>> kind(["position", "covariance", "confidence_level", "ellipse"]), kind(["scores"])
    ('position', 'tensors')
    """
    if {"position", "covariance", "confidence_level", "ellipse"} <= set(names):
        return "position"
    if {"label", "probabilities", "agreement"} <= set(names):
        return "label"
    return "record" if {"record", "agreement"} <= set(names) else "tensors"


def from_tensors(
    tensors: Mapping[str, NDArray[Any]], classes: Sequence[str | int] = ()
) -> list[Fix] | list[Label] | list[Record]:
    """
    One typed answer for each row of a pipeline's output *tensors*; *classes* are what a label's probabilities are of.

    ``ValueError`` where their names belong to no typed answer.
    """
    answers = kind(tensors.keys())
    if answers == "position":
        return fixes(tensors)
    if answers == "label":
        return labels(tensors, classes)
    if answers == "record":
        return _records(tensors)
    came = ", ".join(sorted(tensors)) or "none"
    raise ParametersError(f"expected the tensors of a position, a label or a record, got {came}")


def _records(tensors: Mapping[str, NDArray[Any]]) -> list[Record]:
    columns = zip(
        map(json.loads, scalars(tensors, "record")),
        map(json.loads, scalars(tensors, "agreement")),
        scalars(tensors, "confidence"),
        scalars(tensors, "record_supported"),
        scalars(tensors, "samples_used"),
        map(text, scalars(tensors, "tier", "")),
        scalars(tensors, "cost", 0.0),
        map(tuple, tensors["seeds"].tolist()),
        scalars(tensors, "release"),
        strict=True,
    )
    return [Record(*row) for row in columns]
