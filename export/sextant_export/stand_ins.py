"""What a release will find for a block, made up so that the parameters on a page can be tried before there is one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from sextant.frames import EAST_NORTH_M, LATITUDE_LONGITUDE, of_member
from sextant_export.fuse_problems import codes

# A grid that is none: it lets a block be tried before a real one is fitted.
_ANY_GRID: Mapping[str, Any] = MappingProxyType({"easting": [0, 1], "northing": [0, 1], "normals": [[[1, 0, 0]]]})


def stand_ins(block: str, value: Mapping[str, Any], members: Sequence[str]) -> dict[str, Any]:
    """
    What *block* is tried with beside the parameters *value*, on a page that names *members*.

    >>> stand_ins("ellipse", {"confidence_levels": [0.95]}, ["forest", "mlp"])
    {'release': 1}
    """
    return _MADE_UP[block](value, members) if block in _MADE_UP else {}


def _of_fuse(value: Mapping[str, Any], members: Sequence[str]) -> dict[str, Any]:
    return {
        "members": list(members),
        "member_covariances": [[[1.0, 0.0], [0.0, 1.0]]] * len(members),
        "projections": {code: dict(_ANY_GRID) for code in codes(value)},
        **_named(value, members),
    }


def _named(value: Mapping[str, Any], members: Sequence[str]) -> dict[str, Any]:
    """*frame* and *origin* by members' names, nobody too many and nobody missing: of names, ``fuse_problems`` tells."""
    planes = [name for name in members if of_member(value.get("frame"), name) == EAST_NORTH_M]
    needed: Mapping[str, Mapping[str, Any]] = {
        "frame": dict.fromkeys(members, LATITUDE_LONGITUDE),
        "origin": dict.fromkeys(planes, (0.0, 0.0)),
    }
    return {
        key: {**made_up, **{name: one for name, one in value[key].items() if name in members}}
        for key, made_up in needed.items()
        if isinstance(value.get(key), Mapping)
    }


def _of_vote(value: Mapping[str, Any], members: Sequence[str]) -> dict[str, Any]:
    classes = value.get("classes", ["no", "yes"])
    count = len(classes) if isinstance(classes, list) else 2
    found = {
        "members": list(members),
        "slots": {f"probabilities_{i}": "FP32" for i in range(len(members))},
        "classes": classes,
        "release": 1,
    }
    if value.get("method") == "weighted":
        found["weights"] = value.get("weights", [1.0] * len(members))
    if value.get("method") == "dawid_skene":
        found |= {"accuracies": [0.5] * len(members), "prior": [0.5] * count}
    return found


_MADE_UP: Mapping[str, Callable[[Mapping[str, Any], Sequence[str]], dict[str, Any]]] = MappingProxyType(
    {
        "ellipse": lambda _value, _members: {"release": 1},
        "fuse": _of_fuse,
        "scale": lambda _value, _members: {"width": 1},
        "vote": _of_vote,
    }
)
