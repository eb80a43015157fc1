"""What is wrong with the members: names, model URIs, and how each is to be converted and served."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from sextant_export.model_uri import ModelUri
from sextant_export.problem import Problem
from sextant_export.values import Bounds, Check, flag, name, names, number, one_of, section, text

POSITIVE = number(Bounds(above=0))
COUNT = number(Bounds(at_least=1, at_most=65536, whole=True))
SHAPES = ("min", "opt", "max")


def members_problems(value: Any, address: str) -> Iterator[Problem]:
    """Every problem of ``members``."""
    if not isinstance(value, Mapping) or not value:
        yield Problem(address, "expected at least one, as <name>: <model URI>")
        return
    for key, member in value.items():
        yield from name(key, f"{address}.{key}")
        yield from _member(member, f"{address}.{key}")


def _member(value: Any, address: str) -> Iterator[Problem]:
    if not isinstance(value, Mapping):
        yield from _model_uri(value, address)
        return
    yield from section(_MEMBER)(value, address)
    if "model_uri" not in value:
        yield Problem(f"{address}.model_uri", "missing")
    yield from _contradictions(value, address)


def _contradictions(value: Mapping[str, Any], address: str) -> Iterator[Problem]:
    if "tensorrt" in value and value.get("target") != "tensorrt":
        yield Problem(f"{address}.tensorrt", "only with `target: tensorrt`")
    if "accelerator" in value and value.get("target") == "tensorrt":
        yield Problem(f"{address}.accelerator", "it is for ONNX Runtime, and `target: tensorrt` builds plans; drop one")
    if value.get("flavor") == "python_function" and value.get("target") == "tensorrt":
        yield Problem(f"{address}.target", "TensorRT takes a converted graph, not the model's own Python")
    if value.get("flavor") == "python_function" and value.get("fallback") is False:
        yield Problem(f"{address}.fallback", "false, and `flavor: python_function` asks for it; drop one")


def _model_uri(value: Any, address: str) -> Iterator[Problem]:
    try:
        ModelUri.parse(str(value))
    except ValueError as error:
        yield Problem(address, str(error))


def _capabilities(value: Any, address: str) -> Iterator[Problem]:
    if not isinstance(value, list) or not value:
        yield Problem(address, f'expected compute capabilities like ["8.9", "9.0"], got {value!r}')
        return
    for i, capability in enumerate(value):
        if not re.fullmatch(r"\d{1,2}\.\d", str(capability)):
            yield Problem(f"{address}[{i}]", f"{capability!r} is no compute capability like '8.9'")


def _profile(value: Any, address: str) -> Iterator[Problem]:
    if not isinstance(value, Mapping):
        yield Problem(address, "expected <tensor>: {min: [...], opt: [...], max: [...]}, batch first")
        return
    for tensor, shapes in value.items():
        yield from _shapes(shapes, f"{address}.{tensor}")


def _shapes(value: Any, address: str) -> Iterator[Problem]:
    yield from section(dict.fromkeys(SHAPES, _shape))(value, address)
    if isinstance(value, Mapping):
        yield from (Problem(f"{address}.{word}", "missing") for word in SHAPES if word not in value)
        yield from _rising([value.get(word) for word in SHAPES], address)


def _rising(shapes: list[Any], address: str) -> Iterator[Problem]:
    if any(True for shape in shapes for _ in _shape(shape, address)):
        return  # each has been said already
    if len({len(shape) for shape in shapes}) > 1:
        yield Problem(address, f"expected as many axes in min, opt and max, got {', '.join(map(str, shapes))}")
    elif any(not low <= middle <= high for low, middle, high in zip(*shapes, strict=True)):
        yield Problem(address, f"expected min <= opt <= max on every axis, got {', '.join(map(str, shapes))}")


def _shape(value: Any, address: str) -> Iterator[Problem]:
    if not isinstance(value, list) or not all(isinstance(size, int) and size > 0 for size in value):
        yield Problem(address, f"expected a list of sizes, batch first, got {value!r}")


_TENSORRT: Mapping[str, Check] = {
    "builder": one_of("builder", "tensorrt", "tensorrt_rtx"),
    "compute_capabilities": _capabilities,
    "float16": flag,
    "tolerance": POSITIVE,
    "workspace_mb": COUNT,
    "opt_batch_size": COUNT,
    "timing_cache": text("the path of a file, from the spec's folder"),
    "profile": _profile,
}
_MEMBER: Mapping[str, Check] = {
    "model_uri": _model_uri,
    "input_map": names,
    "output_map": names,
    "flavor": text("a flavour of MLflow, like sklearn"),
    "fallback": flag,
    "deterministic": flag,
    "environment": one_of("environment", "server", "archive"),
    "tolerance": POSITIVE,
    "target": one_of("target", "onnx", "tensorrt"),
    "accelerator": one_of("accelerator", "tensorrt"),
    "tensorrt": section(_TENSORRT),
}
