"""
Everything wrong with a pipeline spec, in reading order, before anything is fetched or built.

A check is a generator over one part of the page; it never raises and never stops the others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from sextant_export.member_problems import members_problems
from sextant_export.problem import Problem, guess
from sextant_export.step_problems import block_of, order_problems, step_problems
from sextant_export.values import Bounds, Check, choice, flag, name, number, section, unknown_keys, words

ANSWERS = ("position", "tensors")
LATER_ANSWERS = ("label", "record")
REQUIRED = ("name", "answer", "members", "steps")


def problems(raw: Mapping[str, Any]) -> Iterator[Problem]:
    r"""
    Every problem of the spec *raw*, each with its address and, where there is one, a guess.

    >>> print(*problems({"name": "locate", "answer": "positon", "members": {}, "steps": []}), sep="\n")
    answer: 'positon' is no answer; did you mean 'position'?
    members: expected at least one, as <name>: <model URI>
    steps: expected one or more, `members` among them
    """
    for key, value in raw.items():
        if key in _CHECKS:
            yield from _CHECKS[key](value, str(key))
        else:
            yield Problem(str(key), f"unknown{guess(key, _CHECKS)}")
    yield from (Problem(key, "missing") for key in REQUIRED if key not in raw)
    yield from order_problems(raw)
    yield from _weighed_members(raw)
    yield from _promised_coverage(raw)
    yield from _measurable_gate(raw)


def _pipeline_name(value: Any, address: str) -> Iterator[Problem]:
    yield from name(value, address)
    if isinstance(value, str) and re.search(r"\.r\d+$", value):
        yield Problem(
            address, f"{value!r} reads like release {value.rpartition('.')[2]} of another pipeline; rename it"
        )


def _answer(value: Any, address: str) -> Iterator[Problem]:
    if value in LATER_ANSWERS:
        yield Problem(address, f"{value!r} is not built yet; this version builds {', '.join(ANSWERS)}")
    else:
        yield from choice(value, address, ANSWERS, "answer")


def _steps(value: Any, address: str) -> Iterator[Problem]:
    if not isinstance(value, list) or not value:
        yield Problem(address, "expected one or more, `members` among them")
        return
    yield from chain.from_iterable(step_problems(step, f"{address}[{i}]") for i, step in enumerate(value))


def _calibration(value: Any, address: str) -> Iterator[Problem]:
    if not isinstance(value, Mapping):
        yield Problem(address, "expected data: <file> and truth: [latitude, longitude]")
        return
    yield from unknown_keys(value, address, ("data", "truth", "group"))
    if not value.get("data") or not isinstance(value["data"], str):
        yield Problem(f"{address}.data", "expected the path of a table, from the spec's folder")
    yield from words(value.get("truth"), f"{address}.truth", 2, "the columns of latitude and longitude")
    if "group" in value and not isinstance(value["group"], str):
        yield Problem(f"{address}.group", f"expected the name of a column, got {value['group']!r}")


def _coverage(value: Any, address: str) -> Iterator[Problem]:
    yield from section({"level": number(_SHARE), "at_least": number(_SHARE)})(value, address)
    if isinstance(value, Mapping):
        yield from (Problem(f"{address}.{key}", "missing") for key in ("level", "at_least") if key not in value)


def _at_most(value: Any, address: str) -> Iterator[Problem]:
    yield from section({"at_most": number(_POSITIVE)})(value, address)
    if isinstance(value, Mapping) and "at_most" not in value:
        yield Problem(f"{address}.at_most", "missing")


def _promised_coverage(raw: Mapping[str, Any]) -> Iterator[Problem]:
    """A gate on a level at which no ellipse is drawn can never be measured."""
    levels = _parameter(raw, "ellipse", "confidence_levels")
    try:
        level = raw["gate"]["coverage"]["level"]
    except (KeyError, TypeError):
        return
    if isinstance(levels, list) and level not in levels:
        yield Problem("gate.coverage.level", f"{level} is none of the ellipse's confidence_levels {levels}")


def _measurable_gate(raw: Mapping[str, Any]) -> Iterator[Problem]:
    """A gate is measured on known cases, and what is known of them is a position."""
    for key in ("gate", "calibration"):
        if key in raw and raw.get("answer") == "tensors":
            yield Problem(key, "only of a pipeline that answers position")
    if raw.get("gate") and "calibration" not in raw:
        yield Problem("gate", "nothing to measure it on: name known cases under calibration")


def _weighed_members(raw: Mapping[str, Any]) -> Iterator[Problem]:
    weights, members = _parameter(raw, "fuse", "weights"), raw.get("members")
    if isinstance(weights, list) and isinstance(members, Mapping) and len(weights) != len(members):
        yield Problem("steps", f"fuse has {len(weights)} weights for {len(members)} members")


def _parameter(raw: Mapping[str, Any], block: str, key: str) -> Any:
    """What the step of *block* says under *key*; None where anything on the way is missing or odd."""
    steps = raw.get("steps")
    for step in steps if isinstance(steps, list) else ():
        if isinstance(step, Mapping) and block_of(step) == block and isinstance(step.get("with"), Mapping):
            return step["with"].get(key)
    return None


_SHARE = Bounds(above=0, below=1)
_POSITIVE = Bounds(above=0)
_CHECKS: Mapping[str, Check] = {
    "name": _pipeline_name,
    "answer": _answer,
    "members": members_problems,
    "steps": _steps,
    "calibration": _calibration,
    "serving": section(
        {
            "max_batch_size": number(Bounds(at_least=1, at_most=65536, whole=True)),
            "max_queue_delay_us": number(Bounds(at_least=0, at_most=10_000_000, whole=True)),
            "instances": number(Bounds(at_least=1, at_most=256, whole=True)),
            "intra_op_thread_count": number(Bounds(at_least=1, at_most=1024, whole=True)),
            "response_cache": flag,
        }
    ),
    "gate": section({"coverage": _coverage, "median_error_m": _at_most, "p95_error_m": _at_most, "p95_ms": _at_most}),
}
