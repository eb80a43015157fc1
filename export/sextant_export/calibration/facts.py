"""What the receipt says of a calibration, whatever was calibrated."""

from __future__ import annotations

import datetime as dt
import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sextant.binomial import coverage_interval
from sextant.tensors import Mask

Facts = dict[str, Any]


def belonging(rows: int, group: NDArray[Any] | None) -> NDArray[np.intp]:
    """
    The place of each row's *group* (N,), such as a walk, among all groups; where none is named, each is one by itself.

    >>> belonging(3, np.array(["b", "a", "b"])).tolist(), belonging(3, None).tolist()
    ([1, 0, 1], [0, 1, 2])
    """
    return np.arange(rows) if group is None else np.unique(group, return_inverse=True)[1].ravel()


def effective_rows(own: NDArray[np.intp]) -> int:
    """
    How many independent rows those of the groups *own* (N,) are worth, if a group's are all alike (Kish 1965).

    >>> effective_rows(np.arange(200)), effective_rows(np.repeat(np.arange(10), 20))
    (200, 10)
    """
    sizes = np.bincount(own)
    return int(own.size**2 // np.sum(sizes**2))


def counted(true: Mask, name: str, own: NDArray[np.intp] | None = None) -> Facts:
    """
    How many of *true* (N,) are, as the share *name*, with its 95 % interval; *own* (N,) is each one's group.

    The interval is that of as many rows as the groups are worth: of one walk all may be, or none.

    >>> counted(np.arange(100) < 90, "coverage")["coverage"]
    0.9
    """
    inside, size = int(true.sum()), true.size
    rows = size if own is None else effective_rows(own)
    low, _ = coverage_interval(inside * rows // size, rows)
    _, high = coverage_interval(-(-inside * rows // size), rows)
    return {name: float(true.mean()), f"{name}_interval": [low, high]}


def stamp(scores: NDArray[Any]) -> Facts:
    """The digest of the *scores* that a calibration rests on, the same on every machine, and the date."""
    portable = np.asarray(scores, dtype=scores.dtype.newbyteorder("<"))
    return {
        "scores_sha256": hashlib.sha256(portable.tobytes()).hexdigest(),
        "date": dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"),
    }
