"""
Mondrian groups: fixes whose ellipses have radii of their own, such as those of one floor or one distance.

Known cases and served fixes are put into groups by the same code, so a group's radii are those of its own
cases.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from types import MappingProxyType
from typing import Any
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from sextant.covariance import eigenvalues
from sextant.errors import InputRefused, ParametersError
from sextant.geodesy import to_east_north
from sextant.parameters import numbers, one_of, read_place, refuse_unknown
from sextant.tensors import Floats

_NEEDS = MappingProxyType(
    {"column": ("column", "values"), "distance_m": ("from", "edges"), "sd_major_m": ("edges",)},
)
_MOST_NAMED = 40


class Groups:
    """
    Which group a fix is in, by the parameter ``groups`` of the ellipse block.

    ``by: column`` takes the group from the caller, who names one of ``values``, the texts found in the
    ``column`` of the known cases.  ``by: distance_m`` and ``by: sd_major_m`` cut the distance of the fix ``from``
    a latitude and longitude, or the largest deviation of its covariance, into bands at ``edges``, each edge
    beginning one.  ``radii`` has a row a group; only the block needs it.  *names* are the groups in order.

    >>> bands = Groups({"by": "sd_major_m", "edges": [20, 50]})
    >>> bands.of(np.zeros((3, 2)), np.array([9.0, 400.0, 1e4])[:, None, None] * np.eye(2)).tolist()
    [0, 1, 2]
    """

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        if not isinstance(parameters, Mapping):
            raise ParametersError(f"groups: expected 'by' and what it needs, got {parameters!r}")
        given = {f"groups.{key}": value for key, value in parameters.items()}
        self.by = one_of(given, "groups.by", tuple(_NEEDS))
        refuse_unknown(given, [f"groups.{key}" for key in ("by", *_NEEDS[self.by], "radii")])
        self.column = str(given.get("groups.column", "group"))
        self._values = _values(given) if self.by == "column" else {}
        self._edges = np.empty(0) if self.by == "column" else _edges(given)
        self._from = read_place(given, "groups.from") if self.by == "distance_m" else None
        self.names = tuple(self._values) or _bands(self._edges)

    def __len__(self) -> int:
        return len(self.names)

    def of(self, position: Floats, covariance: Floats, group: NDArray[Any] | None = None) -> NDArray[np.intp]:
        """
        The group, counted from 0, of each fix: *position* ``(B, 2)``, *covariance* ``(B, 2, 2)``.

        *group* ``(B,)`` or ``(B, 1)``, the caller's own, is asked for by column alone; ``InputRefused`` for
        one that no known case was in.
        """
        if self.by == "column":
            return self._named(group)
        return np.asarray(np.searchsorted(self._edges, self._measured(position, covariance), side="right"))

    def _named(self, group: NDArray[Any] | None) -> NDArray[np.intp]:
        if group is None:
            raise InputRefused("group", f"the {self.column} of each row", "none")
        names = [_text(name) for name in np.asarray(group, dtype=object).ravel().tolist()]
        found = [self._values.get(name, -1) for name in names]
        if -1 in found:
            row = found.index(-1)
            came = f"{names[row]!r} in row {row}"
            raise InputRefused("group", f"a {self.column} of the known cases: {self._listed()}", came)
        return np.array(found, dtype=np.intp)

    def _measured(self, position: Floats, covariance: Floats) -> Floats:
        if self._from is None:
            return np.asarray(np.sqrt(eigenvalues(covariance)[0]))
        east_north = to_east_north(self._from, position)
        return np.hypot(east_north[..., 0], east_north[..., 1])

    def _listed(self) -> str:
        more = f" and {len(self) - _MOST_NAMED} more" if len(self) > _MOST_NAMED else ""
        return ", ".join(self.names[:_MOST_NAMED]) + more


def _values(given: Mapping[str, Any]) -> dict[str, int]:
    values = given.get("groups.values")
    if not isinstance(values, (list, tuple)) or not values or not all(isinstance(name, str) for name in values):
        raise ParametersError(f"groups.values: expected the groups' names as texts, got {values!r}")
    if len(set(values)) < len(values):
        raise ParametersError(f"groups.values: expected each name once, got {values!r}")
    return {name: i for i, name in enumerate(values)}


def _bands(edges: Floats) -> tuple[str, ...]:
    said = [f"{edge:.10g}" for edge in edges.tolist()]
    between = [f"{low} to {high} m" for low, high in pairwise(said)]
    return (f"below {said[0]} m", *between, f"from {said[-1]} m")


def _text(name: Any) -> str:
    return composed(name.decode(errors="replace") if isinstance(name, bytes) else str(name))


def composed(word: str) -> str:
    """
    The *word* in the one of Unicode's spellings that groups are known by: an accent may stand in its letter or after.

    >>> composed("cafe\u0301") == "caf\u00e9"
    True
    """
    return normalize("NFC", word)


def _edges(given: Mapping[str, Any]) -> Floats:
    edges = numbers(given, "groups.edges", (-1,))
    if not (np.all(np.diff(edges) > 0) and edges[0] > 0):
        raise ParametersError(
            f"groups.edges: expected metres above 0, each more than the one before, got {edges.tolist()}"
        )
    return edges
