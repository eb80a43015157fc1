"""A deployment as a pipeline's page: one member, its tensors as they are, and the options of ``-C name=value``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Any

import yaml

from sextant_cli.deployments.refusals import refusal
from sextant_export.pipeline import Serving
from sextant_export.problem import guess

_EXPONENT = re.compile(r"[0-9.]+[eE][-+]?[0-9]+")

MEMBER = "model"
FLAVOR = "flavor"
SERVING = frozenset(field.name for field in fields(Serving))
PLAN = "tensorrt."
VERSION = "version"

OPTIONS: Mapping[str, str] = MappingProxyType(
    {
        "max_batch_size": "the largest batch that Triton makes of waiting requests (64)",
        "dynamic_batching": "whether waiting requests are joined at all (true)",
        "max_queue_delay_us": "how long a request may wait for company, in microseconds (500)",
        "instances": "copies of the model in the server (1)",
        "intra_op_thread_count": "threads of each copy (1)",
        "response_cache": "whether Triton may answer equal requests from its cache (false)",
        FLAVOR: "the same as --flavor: which flavour of the model is served",
        "fallback": "whether a model of which no flavour can be converted is served by its own Python (true)",
        "deterministic": "true: a model's own Python gives equal rows equal answers, so that they may be cached",
        "tolerance": "the largest difference from the original that is allowed, instead of the usual",
        "target": "onnx (the default) or tensorrt",
        "accelerator": "tensorrt: ONNX Runtime hands the graph to TensorRT where the server has it",
        "environment": "server or archive: where a model's own Python finds its packages",
        f"{PLAN}<key>": "a setting of the TensorRT builder, with target=tensorrt: -C tensorrt.float16=true",
        VERSION: "the registered version that is expected; Triton's is the same, so no other can be had",
    }
)


def new_page(name: str, model_uri: str, flavor: str | None, config: Mapping[str, Any]) -> dict[str, Any]:
    """The page of the deployment *name*."""
    page = {"name": name, "answer": "tensors", "members": {MEMBER: {"model_uri": model_uri}}, "steps": ["members"]}
    return _with_options(page, flavor, config)


def changed_page(
    page: Mapping[str, Any], model_uri: str | None, flavor: str | None, config: Mapping[str, Any]
) -> dict[str, Any]:
    """
    *page* with what is given changed; the other options stay.

    A new model is served in the flavour that is given with it, or in its most exact one.
    """
    member = dict(page["members"][MEMBER])
    if model_uri is not None:
        member = {key: value for key, value in member.items() if key != FLAVOR} | {"model_uri": model_uri}
    return _with_options({**page, "members": {MEMBER: member}}, flavor, config)


def is_deployment(page: Mapping[str, Any]) -> bool:
    """Whether *page* is one that was written here."""
    return (
        page.get("answer") == "tensors" and list(page.get("members", {})) == [MEMBER] and page["steps"] == ["members"]
    )


def expected_version(config: Mapping[str, Any]) -> int | None:
    """What the option ``version`` says."""
    if VERSION not in config:
        return None
    if not str(config[VERSION]).isdigit():
        raise refusal("INVALID_PARAMETER_VALUE", f"{VERSION}: expected a whole number, got {config[VERSION]!r}")
    return int(config[VERSION])


def refuse_options(config: Mapping[str, Any] | None, call: str) -> None:
    """Raise where a *call* that takes no options is given any."""
    if config:
        raise refusal("INVALID_PARAMETER_VALUE", f"{', '.join(sorted(config))}: {call} takes no options")


def _with_options(page: dict[str, Any], flavor: str | None, config: Mapping[str, Any]) -> dict[str, Any]:
    member, serving = dict(page["members"][MEMBER]), dict(page.get("serving", {}))
    for key, text in config.items():
        value = _value(key, text)
        if key.startswith(PLAN):
            member["tensorrt"] = {**member.get("tensorrt", {}), key.removeprefix(PLAN): value}
        elif key not in OPTIONS:
            raise refusal("INVALID_PARAMETER_VALUE", f"{key}: unknown option{guess(key, OPTIONS)}")
        elif key != VERSION:
            (serving if key in SERVING else member)[key] = value
    if flavor is not None:
        member[FLAVOR] = flavor
    return {**page, "members": {MEMBER: member}} | ({"serving": serving} if serving else {})


def _value(key: str, text: Any) -> Any:
    """A command line gives text, and means what YAML means; Python gives the value itself."""
    if not isinstance(text, str):
        return text
    if _EXPONENT.fullmatch(text):  # to YAML 1.1, 1e-3 is text
        return float(text)
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise refusal("INVALID_PARAMETER_VALUE", f"{key}: {text!r} cannot be read: {error}") from error
