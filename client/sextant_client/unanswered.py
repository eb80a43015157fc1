"""
Rows that a fused release refuses.

A graph cannot refuse: where a block would, it answers NaN in every real number of the row. No other release answers a
typed NaN, so that alone says it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

import numpy as np

from sextant.answers import Kind
from sextant.errors import RequestRefused

from .dtypes import Array

TELLING: Mapping[Kind, str] = MappingProxyType({"position": "position", "label": "probabilities"})
"""The tensor of each typed answer that is NaN in a row that is refused, and never else."""

_MOST = 8


def refuse_unanswered(model: str, answers: Kind, sent: Mapping[str, Array], came: Mapping[str, Array]) -> None:
    """RequestRefused names the rows of what was *sent* that *came* back without an answer, and what is odd in them."""
    telling = TELLING.get(answers)
    if telling is None:
        return
    missing = np.isnan(came[telling]).any(axis=1)
    if missing.any():
        rows = np.flatnonzero(missing).tolist()
        said = "; ".join(_said(row, sent) for row in rows[:_MOST])
        more = f"; and {len(rows) - _MOST} more" if len(rows) > _MOST else ""
        raise RequestRefused(
            f"{model}: expected values that its blocks let pass and its members can place, got others in {said}{more}"
        )


def _said(row: int, sent: Mapping[str, Array]) -> str:
    """The row, with what in it is no number; what is only out of range does not show here."""
    strange = next(_strange(row, sent), "")
    return f"row {row}" + (f" ({strange})" if strange else "")


def _strange(row: int, sent: Mapping[str, Array]) -> Iterator[str]:
    for name, array in sent.items():
        if array.dtype.kind == "f" and not np.isfinite(array[row]).all():
            place = np.argwhere(~np.isfinite(array[row]))[0].tolist()
            yield f"{name}: {array[row][tuple(place)]:g} at {place}"
