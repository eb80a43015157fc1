"""What is wrong with the gates of a spec: limits that are none, figures that the answer does not have, no rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sextant_export.calibration_problems import FILES, asked_problems
from sextant_export.gate import AT_LEAST, LOADS, ON_LABELLED, SENSES, SHAPES, UNDER_LOAD, Limit
from sextant_export.problem import Problem
from sextant_export.step_problems import MEMBERS, block_of
from sextant_export.values import Bounds, Check, choice, number, one_of, section, text, unknown_keys

# The answer that has the figure; every answer has the others.
ANSWER_OF: Mapping[str, tuple[str, ...]] = {
    "coverage": ("position", "label"),
    "median_error_m": ("position",),
    "p95_error_m": ("position",),
    "accuracy": ("label",),
    "ece": ("label",),
    "agreement": ("label",),
}
_LEVELS_OF = {"position": "ellipse", "label": "vote"}
_POSITIVE, _SHARE = Bounds(above=0), Bounds(above=0, below=1)
_UP_TO_ONE = Bounds(above=0, at_most=1)
_BOUNDS = dict.fromkeys(("parity", "accuracy", "ece", "agreement"), _UP_TO_ONE)
_DATA = ("file", "dataset", "context", "truth", "group")


def gate_problems(value: Any, address: str) -> Iterator[Problem]:
    """Every problem of ``gate`` that can be seen without the rest of the page."""
    yield from _GATE(value, address)


def fit_problems(raw: Mapping[str, Any]) -> Iterator[Problem]:
    """What the rest of the page *raw* makes of its gates: figures that it cannot show, rows that it does not have."""
    gate, answer = raw.get("gate"), raw.get("answer")
    if not isinstance(gate, Mapping):
        return
    for name in gate:
        if name in ANSWER_OF and answer in ("position", "label", "tensors") and answer not in ANSWER_OF[name]:
            yield Problem(f"gate.{name}", f"only of a pipeline that answers {' or '.join(ANSWER_OF[name])}")
    if isinstance(answer, str) and answer in _LEVELS_OF:
        yield from _promised_levels(gate.get("coverage"), _LEVELS_OF[answer], raw.get("steps"))
    yield from _measurable(gate, raw)
    if isinstance(gate.get("data"), Mapping):
        yield from _fitting_data(gate["data"], raw)


def _limit(sense: str, bounds: Bounds) -> Check:
    """A check that a value is a number within *bounds*, or a multiple of what serves."""

    def check(value: Any, address: str) -> Iterator[Problem]:
        if not isinstance(value, str):
            yield from number(bounds)(value, address)
            return
        try:
            yield from number(_POSITIVE)(Limit.read(value, sense).bound, address)
        except ValueError as error:
            yield Problem(address, str(error))

    return check


def _required(*keys: str, of: Mapping[str, Check]) -> Check:
    """A check of a section in which *keys* must stand."""

    def check(value: Any, address: str) -> Iterator[Problem]:
        yield from section(of)(value, address)
        if isinstance(value, Mapping):
            yield from (Problem(f"{address}.{key}", "missing") for key in keys if key not in value)

    return check


def _figure(name: str, sense: str) -> Check:
    return _required(sense, of={sense: _limit(sense, _BOUNDS.get(name, _POSITIVE))})


def _memory(value: Any, address: str) -> Iterator[Problem]:
    if isinstance(value, Mapping) and isinstance(value.get("at_most"), str):
        said = f"expected a number: what the serving release takes cannot be told apart, got {value['at_most']!r}"
        yield Problem(f"{address}.at_most", said)
        return
    yield from _figure("memory_mb", "at_most")(value, address)


_ONE_LEVEL = _required("level", AT_LEAST, of={"level": number(_SHARE), AT_LEAST: _limit(AT_LEAST, _SHARE)})


def _load_figure(name: str, sense: str) -> Check:
    bounds = Bounds(at_least=0, at_most=1) if name == "error_share" else _POSITIVE
    return _required(sense, of={sense: _limit(sense, bounds)})


def _load(value: Any, address: str) -> Iterator[Problem]:
    yield from _LOAD(value, address)
    if isinstance(value, Mapping) and not value.keys() & LOADS.keys():
        yield Problem(address, f"expected a limit, of {', '.join(LOADS)}")


def _coverage(value: Any, address: str) -> Iterator[Problem]:
    if not isinstance(value, list):
        yield from _ONE_LEVEL(value, address)
        return
    if not value:
        yield Problem(address, "expected {level: 0.95, at_least: 0.93}, or a list of such, got []")
    seen: list[Any] = []
    for i, one in enumerate(value):
        yield from _ONE_LEVEL(one, f"{address}[{i}]")
        level = one.get("level") if isinstance(one, Mapping) else None
        if level is not None and level in seen:
            yield Problem(f"{address}[{i}].level", f"{level} stands twice")
        seen.append(level)


def _data(value: Any, address: str) -> Iterator[Problem]:
    if not isinstance(value, Mapping):
        yield Problem(address, "expected file: <file>, or dataset: <member>, and truth: <columns>")
        return
    yield from unknown_keys(value, address, _DATA)
    if ("file" in value) == ("dataset" in value):
        yield Problem(address, "expected one of file: <file> and dataset: <member>")
    if "file" in value and (not isinstance(value["file"], str) or not value["file"].endswith(FILES)):
        said = f"expected a file of {', '.join(FILES)}, as seen from the spec's folder, got {value['file']!r}"
        yield Problem(f"{address}.file", said)
    if "context" in value and "dataset" not in value:
        yield Problem(f"{address}.context", "only of a dataset")
    for key, meaning in (("context", "the context of a logged dataset"), ("group", "the name of a column")):
        if key in value:
            yield from text(meaning)(value[key], f"{address}.{key}")


def _levels(coverage: Any) -> Iterator[tuple[str, Any]]:
    """The level of each coverage gate, with its address."""
    listed = isinstance(coverage, list)
    for i, one in enumerate(coverage if listed else [coverage]):
        if isinstance(one, Mapping) and "level" in one:
            yield f"gate.coverage[{i}].level" if listed else "gate.coverage.level", one["level"]


def _promised_levels(coverage: Any, block: str, steps: Any) -> Iterator[Problem]:
    """A gate on a level that is not answered can never be measured."""
    given = _parameters(block, steps)
    levels = given.get("confidence_levels")
    for address, level in _levels(coverage):
        if isinstance(levels, list) and level not in levels:
            yield Problem(address, f"{level} is none of the {block}'s confidence_levels {levels}")
        elif levels is None and block == "vote":
            yield Problem(address, "this vote answers no prediction sets: write confidence_levels under vote")


def _parameters(block: str, steps: Any) -> Mapping[str, Any]:
    for step in steps if isinstance(steps, list) else ():
        if isinstance(step, Mapping) and block_of(step) == block and isinstance(step.get("with"), Mapping):
            parameters: Mapping[str, Any] = step["with"]
            return parameters
    return {}


def _measurable(gate: Mapping[str, Any], raw: Mapping[str, Any]) -> Iterator[Problem]:
    """Figures need rows: labelled ones, or for tensors those of the proof, which are what the member itself takes."""
    if raw.get("answer") == "tensors":
        steps = raw.get("steps")
        if steps != [MEMBERS]:
            yield from (
                Problem(f"gate.{name}", "only where no block stands before the member") for name in _loads(gate)
            )
        return
    needed = [name for name in gate if name in (*ON_LABELLED, *UNDER_LOAD)]
    if needed and "calibration" not in raw and "data" not in gate:
        said = f"nothing to measure {', '.join(needed)} on: name known cases under calibration, or rows under gate.data"
        yield Problem("gate", said)


def _loads(gate: Mapping[str, Any]) -> list[str]:
    return [name for name in gate if name in UNDER_LOAD]


def _fitting_data(data: Mapping[str, Any], raw: Mapping[str, Any]) -> Iterator[Problem]:
    members, answer = raw.get("members"), raw.get("answer")
    if answer == "tensors":
        yield Problem("gate.data", "only of a pipeline that answers position or label")
        return
    if "dataset" in data and isinstance(members, Mapping):
        yield from choice(data["dataset"], "gate.data.dataset", [str(name) for name in members], "member")
    if "truth" in data:
        yield from asked_problems(data["truth"], "gate.data.truth", label=answer == "label")
    elif "calibration" not in raw:
        yield Problem("gate.data.truth", "missing")


_LOAD = section(
    {
        "users": number(Bounds(at_least=1, at_most=10_000, whole=True)),
        "shape": one_of("shape", *SHAPES),
        "duration_s": number(Bounds(at_least=1)),
        **{name: _load_figure(name, sense) for name, sense in LOADS.items()},
    }
)
_GATE = section(
    {
        "coverage": _coverage,
        **{name: _figure(name, sense) for name, sense in SENSES.items()},
        "memory_mb": _memory,
        "load": _load,
        "io_contract": one_of("contract", "same"),
        "data": _data,
    }
)
