"""What is wrong with the members' names in the parameters of ``fuse``, and with the codes of its grids."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sextant.frames import EAST_NORTH_M, LATITUDE_LONGITUDE, is_projected, of_member
from sextant_export.problem import Problem, guess
from sextant_export.projection import complaint


def fuse_problems(raw: Mapping[str, Any]) -> Iterator[Problem]:
    """Frames of members that are none, members without one, codes that are no grid."""
    members = raw.get("members")
    if not isinstance(members, Mapping):
        return
    steps = raw.get("steps")
    for i, step in enumerate(steps if isinstance(steps, list) else ()):
        given = step.get("with") if isinstance(step, Mapping) and step.get("block") == "fuse" else None
        if isinstance(given, Mapping):
            yield from _of_members(given, [str(name) for name in members], f"steps[{i}].with")


def codes(value: Mapping[str, Any]) -> list[str]:
    """
    The projected systems that the parameters *value* of ``fuse`` name, each once.

    >>> codes({"frame": {"oak": "EPSG:25832", "elm": "EPSG:25832", "fir": "latitude_longitude"}})
    ['EPSG:25832']
    """
    frame = value.get("frame", LATITUDE_LONGITUDE)
    return sorted({code for code in (frame.values() if isinstance(frame, Mapping) else [frame]) if is_projected(code)})


def _of_members(given: Mapping[str, Any], members: list[str], address: str) -> Iterator[Problem]:
    for key in ("frame", "origin"):
        for name in given[key] if isinstance(given.get(key), Mapping) else ():
            if name not in members:
                yield Problem(f"{address}.{key}.{name}", f"no such member{guess(name, members)}")
    if isinstance(given.get("frame"), Mapping) and (left := [name for name in members if name not in given["frame"]]):
        yield Problem(f"{address}.frame", f"says nothing of {', '.join(left)}; each member has one, or one is for all")
    if isinstance(given.get("origin"), Mapping) and (bare := list(_without_origin(given, members))):
        yield Problem(f"{address}.origin", f"says nothing of {', '.join(bare)}, whose frame is {EAST_NORTH_M}")
    yield from (Problem(f"{address}.frame", said) for code in codes(given) if (said := complaint(code)))


def _without_origin(given: Mapping[str, Any], members: list[str]) -> Iterator[str]:
    for name in members:
        if of_member(given.get("frame"), name) == EAST_NORTH_M and name not in given["origin"]:
            yield name
