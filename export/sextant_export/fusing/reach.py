"""How far members answer from the origin of their plane: beyond it, their graph has nothing to say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sextant.fuse import PLANE_RADIUS_M
from sextant.tensors import Floats
from sextant_export.fusing.parts import Part
from sextant_export.fusing.steps import obstacle
from sextant_export.signature import Arrays

FUSE = "fuse"
FEW = 0.01
"""What share of drawn rows may lie beyond the plane: a member's wild guesses, and not where the pipeline works."""
NOWHERE: Floats = np.zeros(0)


def reaches(parts: Sequence[Part], tensors: Arrays) -> Floats:
    """
    How far, in metres, the farthest member of each row answers, ``(B,)``.

    Zeros where no ``fuse`` among *parts* could be nodes.
    """
    rows = len(next(iter(tensors.values())))
    for part in parts:
        if part.name == FUSE and part.member is None and obstacle(FUSE, part.parameters) is None:
            answers = [tensors[name] for own, name in part.step.input_map.items() if own.startswith("member_")]
            return np.asarray(np.abs(np.concatenate(answers, axis=1)).max(axis=1), dtype=np.float64)
    return np.zeros(rows)


def beyond(reached: Floats) -> NDArray[np.bool_]:
    """Which rows the block fuses on the ellipsoid."""
    return reached > PLANE_RADIUS_M


def too_far(imagined: Floats, known: Floats = NOWHERE) -> str | None:
    """
    Why ``fuse`` is left as a block; None where it need not be.

    Of rows that were drawn for the proof a few may be beyond the plane, of *known* cases none.
    """
    if beyond(imagined).mean() <= FEW and not beyond(known).any():
        return None
    reached = np.concatenate([imagined, known])
    return (
        f"its members answer up to {reached.max() / 1000:,.0f} km from the origin, on {beyond(reached).mean():.0%} of "
        f"the rows beyond {PLANE_RADIUS_M / 1000:g} km, where they are fused on the ellipsoid, by iteration"
    )
