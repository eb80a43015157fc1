"""
Everything wrong with a pipeline spec, in reading order, before anything is fetched or built.

A check is a generator over one part of the page; it never raises and never stops the others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from sextant_export.cache_problems import cache_problems
from sextant_export.calibration_problems import calibration_problems, truth_problems
from sextant_export.canary import canary_problems
from sextant_export.fuse_problems import fuse_problems
from sextant_export.gate_problems import fit_problems, gate_problems
from sextant_export.live import known_problems, live_problems
from sextant_export.member_problems import members_problems
from sextant_export.problem import Problem, guess
from sextant_export.serving_problems import serving_problems
from sextant_export.step_problems import order_problems, step_problems
from sextant_export.values import Check, choice, name

ANSWERS = ("position", "label", "tensors")
LATER_ANSWERS = ("record",)
REQUIRED = ("name", "answer", "members", "steps")


def problems(raw: Mapping[str, Any]) -> Iterator[Problem]:
    r"""
    Every problem of the spec *raw*, each with its address and, where there is one, a guess.

    >>> print(*problems({"name": "locate", "answer": "positon", "members": {}, "steps": []}), sep="\n")
    answer: 'positon' is no answer; did you mean 'position'?
    members: expected at least one, as <name>: <model URI>
    steps: expected one or more, `members` among them
    """
    checks = {**_CHECKS, "steps": _steps(raw.get("members"))}
    for key, value in raw.items():
        if key in checks:
            yield from checks[key](value, str(key))
        else:
            yield Problem(str(key), f"unknown{guess(key, checks)}")
    yield from (Problem(key, "missing") for key in REQUIRED if key not in raw)
    yield from order_problems(raw)
    yield from fuse_problems(raw)
    yield from cache_problems(raw)
    yield from fit_problems(raw)
    yield from _calibrated_answer(raw)
    yield from known_problems(raw)
    yield from truth_problems(raw)


def _pipeline_name(value: Any, address: str) -> Iterator[Problem]:
    yield from name(value, address)
    if isinstance(value, str) and (read := re.search(r"\.(r\d+)(\.cached\.\w+)?$", value)):
        yield Problem(address, f"{value!r} reads like release {read[1]} of another pipeline; rename it")


def _answer(value: Any, address: str) -> Iterator[Problem]:
    if value in LATER_ANSWERS:
        yield Problem(address, f"{value!r} is not built yet; this version builds {', '.join(ANSWERS)}")
    else:
        yield from choice(value, address, ANSWERS, "answer")


def _steps(members: Any) -> Check:
    """A check of the steps of a page that names *members*, if that is what they are."""
    named = [str(member) for member in members] if isinstance(members, Mapping) else []

    def check(value: Any, address: str) -> Iterator[Problem]:
        if not isinstance(value, list) or not value:
            yield Problem(address, "expected one or more, `members` among them")
            return
        yield from chain.from_iterable(step_problems(step, f"{address}[{i}]", named) for i, step in enumerate(value))

    return check


def _calibrated_answer(raw: Mapping[str, Any]) -> Iterator[Problem]:
    if "calibration" in raw and raw.get("answer") == "tensors":
        yield Problem("calibration", "only of a pipeline that answers position or label")


_CHECKS: Mapping[str, Check] = {
    "name": _pipeline_name,
    "answer": _answer,
    "members": members_problems,
    "calibration": calibration_problems,
    "serving": serving_problems,
    "gate": gate_problems,
    "canary": canary_problems,
    "live": live_problems,
}
