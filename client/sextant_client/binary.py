"""
KServe's v2 protocol over HTTP with Triton's binary tensors, as bytes: no connection, no client library.

Both HTTP transports share it. ``tritonclient.http`` is not used: its synchronous client stands on gevent and
hangs for ever when two threads share it, and neither of its clients has a time limit per call.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np

from sextant.routing import ROUTE_KEY
from sextant.tensors import NUMPY_TYPES

from .dtypes import Array, from_bytes, to_bytes, triton_dtype
from .failures import failure
from .transport import (
    Limits,
    ModelConfig,
    ModelInfer,
    ModelMetadata,
    Reply,
    Request,
    ServerReady,
    Tensor,
    Tensors,
)

HEADER_LENGTH = "Inference-Header-Content-Length"


class Message(NamedTuple):
    """One HTTP request; a body makes it a POST."""

    path: str
    headers: dict[str, str]
    body: bytes | None


def encode(request: Request) -> Message:
    """The request as HTTP."""
    if isinstance(request, ModelInfer):
        return _encode_infer(request)
    if isinstance(request, ServerReady):
        return Message("/v2/health/ready", {}, None)
    tail = "/config" if isinstance(request, ModelConfig) else ""
    return Message(_path(request.model, tail), {}, None)


def decode(request: Request, status: int, header_length: str | None, body: bytes) -> Reply:
    """The reply that ``body`` holds; raises the failure that ``status`` stands for."""
    if status != 200:
        raise failure(request, status, _sentence(body))
    if isinstance(request, ServerReady):
        return True
    if isinstance(request, ModelInfer):
        return _decode_infer(body, len(body) if header_length is None else int(header_length))
    facts = json.loads(body)
    if isinstance(request, ModelMetadata):
        return Tensors(_tensors(facts["inputs"]), _tensors(facts["outputs"]))
    optional = frozenset(entry["name"] for entry in facts["input"] if entry.get("optional"))
    said = {name: value.get("string_value", "") for name, value in facts.get("parameters", {}).items()}
    return Limits(facts["max_batch_size"], optional, said.get("columns", ""), said.get("classes", ""))


def _encode_infer(request: ModelInfer) -> Message:
    raw = [to_bytes(array) for array in request.inputs.values()]
    inputs = ",".join(
        _input(name, triton_dtype(array), list(array.shape), len(content))
        for (name, array), content in zip(request.inputs.items(), raw, strict=True)
    )
    header = f'{{"inputs":[{inputs}],{_outputs(request.outputs)}{_parameters(request)}}}'.encode()
    return Message(
        _path(request.model, "/infer"),
        {HEADER_LENGTH: str(len(header)), "Content-Type": "application/octet-stream", **dict(request.trace)},
        b"".join([header, *raw]),
    )


def _input(name: str, dtype: str, shape: list[int], length: int) -> str:
    parameters = f'"parameters":{{"binary_data_size":{length}}}'
    return f'{{"name":{_quoted(name)},"shape":{shape},"datatype":"{dtype}",{parameters}}}'


@lru_cache(maxsize=256)
def _outputs(names: tuple[str, ...]) -> str:
    """Which outputs are asked for, each as bytes; without names the parameters of the request ask for all of them."""
    asked = [{"name": name, "parameters": {"binary_data": True}} for name in names]
    return f'"outputs":{json.dumps(asked)},' if names else ""


def _parameters(request: ModelInfer) -> str:
    parameters: dict[str, Any] = {} if request.outputs else {"binary_data_output": True}
    if request.route_key is not None:
        parameters[ROUTE_KEY] = request.route_key
    return f'"parameters":{json.dumps(parameters)}'


@lru_cache(maxsize=256)
def _path(model: str, tail: str) -> str:
    return f"/v2/models/{quote(model, safe='')}{tail}"


_quoted = lru_cache(maxsize=256)(json.dumps)


def _decode_infer(body: bytes, header_length: int) -> dict[str, Array]:
    rest = memoryview(body)[header_length:]
    arrays = {}
    for output in json.loads(body[:header_length])["outputs"]:
        length = output.get("parameters", {}).get("binary_data_size")
        if length is None:
            arrays[output["name"]] = _from_json(output)
            continue
        arrays[output["name"]] = from_bytes(rest[:length], output["datatype"], output["shape"])
        rest = rest[length:]
    return arrays


def _from_json(output: Mapping[str, Any]) -> Array:
    return np.array(output["data"], NUMPY_TYPES[output["datatype"]]).reshape(output["shape"])


def _tensors(entries: list[dict[str, Any]]) -> tuple[Tensor, ...]:
    return tuple(Tensor(entry["name"], entry["datatype"], tuple(entry["shape"])) for entry in entries)


def _sentence(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace").strip()
