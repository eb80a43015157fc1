"""How much of its tolerance the second proof, through Triton, used."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Any

from sextant.errors import PromoteError
from sextant_export.receipt import Receipt


def parity_share(receipt: Receipt) -> float:
    """
    The largest difference of any member's second proof as a share of the tolerance it was proven at.

    ``PromoteError`` where the receipt holds no second proof.
    """
    if not receipt.proof:
        raise PromoteError(
            f"{receipt.name} was not proven through Triton, so there is no parity to judge: promote again"
        )
    return max(map(_share, receipt.proof.values()))


def _share(fact: Mapping[str, Any]) -> float:
    """
    The share of one proof.

    >>> _share({"max_abs_delta": 2.0, "tolerance": 8.0}), _share({"max_abs_delta": 0.0, "tolerance": 0.0})
    (0.25, 0.0)
    """
    delta, tolerance = float(fact["max_abs_delta"]), float(fact["tolerance"])
    if not tolerance:
        return inf if delta else 0.0
    return delta / tolerance
