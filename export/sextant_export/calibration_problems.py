"""What is wrong with the known cases that a spec names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sextant.errors import ParametersError
from sextant.groups import Groups
from sextant_export.problem import Problem, guess
from sextant_export.values import unknown_keys, words

# How rows may be calibrated apart, each with the page's key for every key of the block's parameter ``groups``.
PER: Mapping[str, Mapping[str, str]] = {
    "column": {"column": "column"},
    "distance_m": {"edges": "distance_m", "from": "from"},
    "sd_major_m": {"edges": "sd_major_m"},
}
# What known cases may stand in, by the end of the file's name.
FILES = (".parquet", ".csv", ".npz")
_PER_SAID = "{column: floor}, {distance_m: [1000, 5000], from: [48.1, 11.6]} or {sd_major_m: [20, 50]}"


def calibration_problems(value: Any, address: str) -> Iterator[Problem]:
    """Every problem of ``calibration`` that can be seen without the rest of the page."""
    if not isinstance(value, Mapping):
        yield Problem(address, "expected data: <file> and truth: [latitude, longitude], or truth: <label>")
        return
    yield from unknown_keys(value, address, ("data", "truth", "group", "per"))
    data = value.get("data")
    if not isinstance(data, str) or not data.endswith(FILES):
        said = "" if data is None else f", got {data!r}"
        yield Problem(f"{address}.data", f"expected a file of {', '.join(FILES)}, as seen from the spec's folder{said}")
    if "group" in value and not isinstance(value["group"], str):
        yield Problem(f"{address}.group", f"expected the name of a column, got {value['group']!r}")
    if "per" in value:
        yield from _per_problems(value["per"], f"{address}.per")


def truth_problems(raw: Mapping[str, Any]) -> Iterator[Problem]:
    """What the rest of the page *raw* asks of its known cases: positions or labels, and any at all for sets."""
    calibration, label = raw.get("calibration"), raw.get("answer") == "label"
    if label and "calibration" not in raw:
        yield from _unfounded(raw.get("steps"))
    if not isinstance(calibration, Mapping):
        return
    yield from asked_problems(calibration.get("truth"), "calibration.truth", label=label)
    if label and "per" in calibration:
        yield Problem("calibration.per", "only of a pipeline that answers position")
    yield from _told_column(calibration)


def asked_problems(truth: Any, address: str, *, label: bool) -> Iterator[Problem]:
    """What is wrong with *truth*, the column of a *label* or those of a position."""
    if not label:
        yield from words(truth, address, 2, "the columns of latitude and longitude")
        if isinstance(truth, list) and len(truth) == 2 and truth[0] == truth[1]:
            yield Problem(address, f"names {truth[0]!r} twice; latitude and longitude are two columns")
    elif not isinstance(truth, str) or not truth:
        yield Problem(address, f"expected the column of the label, got {truth!r}")


def groups_of(per: Mapping[str, Any]) -> dict[str, Any]:
    """
    What *per* of a sound page means, as the parameter ``groups`` of ``ellipse`` says it before known cases are read.

    >>> groups_of({"distance_m": [1000, 5000], "from": [48.1, 11.6]})
    {'by': 'distance_m', 'edges': [1000, 5000], 'from': [48.1, 11.6]}
    """
    kind = next(kind for kind in PER if kind in per)
    return {"by": kind, **{key: per[said] for key, said in PER[kind].items()}}


def learns(vote: Mapping[str, Any]) -> bool:
    """
    Whether ``vote`` with these parameters has to learn of its members what they are worth, or how they err.

    >>> learns({"method": "weighted"}), learns({"method": "weighted", "weights": [1, 2]})
    (True, False)
    """
    method = vote.get("method")
    return method == "dawid_skene" or (method == "weighted" and vote.get("weights") is None)


def _per_problems(value: Any, address: str) -> Iterator[Problem]:
    kinds = [kind for kind in PER if isinstance(value, Mapping) and kind in value]
    if len(kinds) != 1:
        near = "".join(guess(key, PER) for key in value) if isinstance(value, Mapping) and not kinds else ""
        yield Problem(address, f"expected one of {_PER_SAID}, got {value!r}{near}")
        return
    kind = kinds[0]
    yield from unknown_keys(value, address, tuple(PER[kind].values()))
    if kind == "column":
        if not isinstance(value["column"], str) or not value["column"]:
            yield Problem(f"{address}.column", f"expected the name of a column, got {value['column']!r}")
        return
    for key, said in PER[kind].items():
        yield from _band_problems(kind, key, value.get(said), f"{address}.{said}")


def _band_problems(kind: str, key: str, value: Any, address: str) -> Iterator[Problem]:
    """What the serving block would say of the edges or the place alone, the other being a good one."""
    sound: dict[str, Any] = {"edges": [1.0], "from": [0.0, 0.0]}
    asked = {"by": kind, **{each: sound[each] for each in PER[kind]}, key: value}
    try:
        Groups(asked)
    except ParametersError as error:
        yield Problem(address, str(error).partition(": ")[2])


def _told_column(calibration: Mapping[str, Any]) -> Iterator[Problem]:
    """A caller who knew the truth, to say its column as the group, would need no answer; nor is it one of walks."""
    per, truth = calibration.get("per"), calibration.get("truth")
    asked = truth if isinstance(truth, list) else [truth]
    column, group = per.get("column") if isinstance(per, Mapping) else None, calibration.get("group")
    if isinstance(group, str) and group in asked:
        yield Problem("calibration.group", f"{group!r} is what is asked; name the column of what belongs together")
    if isinstance(column, str) and column in asked:
        yield Problem("calibration.per.column", f"{column!r} is what is asked; name a column that callers know")


def _unfounded(steps: Any) -> Iterator[Problem]:
    for i, step in enumerate(steps if isinstance(steps, list) else ()):
        given = step.get("with") if isinstance(step, Mapping) and step.get("block") == "vote" else None
        if not isinstance(given, Mapping):
            continue
        if learns(given):
            method = given["method"]
            what = "the weights of its members" if method == "weighted" else "how its members err"
            yield Problem(f"steps[{i}].with.method", f"{method} learns {what}: name known cases under calibration")
        if given.get("confidence_levels") is not None:
            said = "prediction sets promise nothing without known cases: name them under calibration"
            yield Problem(f"steps[{i}].with.confidence_levels", said)
