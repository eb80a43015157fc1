"""
What a proof on its own rows cannot see: rows that came wider than the copy takes them, and rows in other company.

The original is asked what the copy is asked, so what FP32 loses of a table of whole numbers or of doubles is lost to
both; and both are asked the same rows together, while Triton joins those of all callers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sextant.errors import ParityError
from sextant_export.difference import SPREAD_SHARE, excess, real, spread
from sextant_export.parity import Answer, asked, let_go, tolerances_of
from sextant_export.proof import EDGE_SHARE
from sextant_export.rows import LOGGED, length, taken
from sextant_export.signature import Arrays, Feed

AGAIN = 32


def rounded_rows(
    original: Answer, logged: Feed, narrow: Feed, expected: Arrays, tolerance: float | None = None
) -> tuple[int, int]:
    """
    How many of the rows *logged* the *original* answers otherwise once they are *narrow*, as the copy takes them.

    And of how many. A row on a tree's threshold is one that no copy of float32 can know: it is counted. ParityError
    where a column loses more of its spread than answers may lose of theirs, and more than one row in a hundred with
    it: of timestamps FP32 loses the last minutes. *expected* are answers to many rows, which say what is tolerated.
    """
    if all(logged[name].dtype == array.dtype for name, array in narrow.items()):
        return 0, 0
    wide, near = (asked(original, taken(feed, slice(0, LOGGED))) for feed in (logged, narrow))
    let_go(original)
    ratios = excess(tolerances_of(expected, tolerance), wide, near)
    differing = int((ratios > 1).sum())
    coarse = any(_coarse(logged[name], narrow[name]) for name in narrow)
    if coarse and differing > EDGE_SHARE * len(ratios):
        kinds = ", ".join(f"{name} {array.dtype}" for name, array in narrow.items())
        raise _doubt(
            f"the original itself answers {differing} of {len(ratios)} logged rows otherwise once they are rounded to "
            f"what the copy takes ({kinds}): train it on smaller numbers, such as the distance from the first"
        )
    return differing, len(ratios)


def refuse_mixing(copy: Answer, feed: Feed, expected: Arrays, tolerance: float | None = None) -> None:
    """
    ParityError where *copy*'s answer to a row depends on the rows beside it; *expected* is what it should answer.

    A few rows of *feed* are asked again, in other company. Single ones may differ, where they stand on an edge.
    """
    again = np.unique(np.linspace(0, length(feed) - 1, AGAIN).astype(int))
    ratios = excess(tolerances_of(expected, tolerance), taken(expected, again), copy(taken(feed, again)))
    differing = int((ratios > 1).sum())
    if differing > len(again) // 4:
        raise _doubt(
            f"{differing} of {len(again)} rows are answered otherwise beside other rows, and Triton joins those of "
            "several callers: export the model in inference mode, or without sums over the batch"
        )


def _coarse(wide: NDArray[Any], narrow: NDArray[Any]) -> bool:
    """Whether a column loses more of its spread than answers may lose of theirs."""
    if not real(narrow) or wide.dtype == narrow.dtype:
        return False
    rows = wide.reshape(len(wide), -1).astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        lost = np.nan_to_num(np.abs(rows - narrow.reshape(rows.shape)), nan=0.0).max(axis=0, initial=0.0)
    return bool((lost > SPREAD_SHARE * spread(rows)).any())


def _doubt(said: str) -> ParityError:
    return ParityError(f"no proof: {said}", worst=float("inf"), tolerance=0.0)
