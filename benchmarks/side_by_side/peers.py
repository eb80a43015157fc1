"""The peers: what each is made of, how it is started, how it is asked, and how its answer reads."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from sextant_client import binary
from sextant_client.transport import ModelInfer
from sextant_server.preflight import find_libpython

Rows = Any
CODE = Path(__file__).parents[1] / "peer_servers"
ORT = ("onnxruntime==1.32.0", "pyproj==3.7.2")
UVICORN = ("uvicorn==0.54.0", "uvloop==0.23.0", "httptools==0.9.0")
KSERVE_LENGTH = binary.HEADER_LENGTH.lower()


class Message(NamedTuple):
    """What is sent for some rows: a path, headers and a body."""

    path: str
    headers: Mapping[str, str]
    body: bytes


class Reply(NamedTuple):
    """What came back; *headers* by their lower-case names."""

    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, eq=False)
class Peer:
    """
    A server to compare with.

    *command* gives what runs in its environment, of a port and a workload; *encode* the message that asks rows of a
    workload, *decode* the one array (N, width) that answers them.
    """

    name: str
    requirements: Sequence[str]
    command: Callable[[int, str], Sequence[str]]
    encode: Callable[[str, Rows], Message]
    decode: Callable[[str, Reply], Rows]
    settings: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def as_bytes(_workload: str, rows: Rows) -> Message:
    return Message("/predict", {"Content-Type": "application/octet-stream"}, rows.tobytes())


def from_bytes(workload: str, reply: Reply) -> Rows:
    dtype, width = (np.float64, 19) if workload == "locate" else (np.float32, 2)
    return np.frombuffer(reply.body, dtype).reshape(-1, width)


def _json(path: str, content: Any) -> Message:
    return Message(path, {"Content-Type": "application/json"}, json.dumps(content).encode())


def for_mlflow(_workload: str, rows: Rows) -> Message:
    return _json("/invocations", {"inputs": rows.tolist()})


def from_mlflow(_workload: str, reply: Reply) -> Rows:
    answer = json.loads(reply.body)["predictions"]
    return np.array(next(iter(answer.values())) if isinstance(answer, dict) else answer)


def for_bentoml(_workload: str, rows: Rows) -> Message:
    return _json("/predict", {"rows": rows.tolist()})


def from_json(_workload: str, reply: Reply) -> Rows:
    return np.array(json.loads(reply.body))


def for_triton(model: str, inputs: Mapping[str, Rows], outputs: Sequence[str] = ()) -> Message:
    """KServe's protocol with binary tensors, as Sextant's client sends it; all *outputs* where none is named."""
    message = binary.encode(ModelInfer(model, inputs, tuple(outputs)))
    return Message(message.path, message.headers, message.body or b"")


def from_triton(model: str, reply: Reply) -> Mapping[str, Rows]:
    """The tensors by name."""
    arrays = binary.decode(ModelInfer(model, {}, ()), 200, reply.headers.get(KSERVE_LENGTH), reply.body)
    assert isinstance(arrays, Mapping)
    return arrays


ASKED = {
    "tabular": ("X", ("probabilities",)),
    "network": ("x", ("y",)),
    "locate": (
        "features",
        ("position", "covariance", "ellipse", "between_share", "members_used", "degenerate", "multimodal"),
    ),
}
"""What Sextant's pipelines take, and of what they give the tensors that every peer answers too."""


def for_sextant(workload: str, rows: Rows) -> Message:
    taken, given = ASKED[workload]
    return for_triton(workload, {taken: rows}, given)


def from_sextant(workload: str, reply: Reply) -> Rows:
    given = from_triton(workload, reply)
    return np.concatenate([given[name].reshape(len(given[name]), -1) for name in ASKED[workload][1]], axis=1)


def _uvicorn(port: int, _workload: str) -> Sequence[str]:
    served = ["uvicorn", "fastapi_app:app", "--host", "127.0.0.1", "--port", str(port), "--workers", "2"]
    return [*served, "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]


def _mlflow(port: int, workload: str) -> Sequence[str]:
    served = ["mlflow", "models", "serve", "--model-uri", f"models:/{workload}@champion", "--env-manager", "local"]
    return [*served, "--host", "127.0.0.1", "--port", str(port), "--workers", "2"]


def _bentoml(port: int, _workload: str) -> Sequence[str]:
    return ["bentoml", "serve", "bento_service:Peer", "--host", "127.0.0.1", "--port", str(port)]


PEERS = (
    Peer("fastapi", ("fastapi==0.165.0", *UVICORN, *ORT), _uvicorn, as_bytes, from_bytes),
    Peer(
        "litserve",
        ("litserve==0.2.19", *UVICORN, *ORT),
        lambda port, _: ["python", "litserve_app.py", str(port)],
        as_bytes,
        from_bytes,
    ),
    Peer(
        "bentoml",
        ("bentoml==1.4.40", *UVICORN, *ORT),
        _bentoml,
        for_bentoml,
        from_json,
        {"BENTOML_DO_NOT_TRACK": "true"},
    ),
    Peer(
        "pytriton",
        ("nvidia-pytriton==0.7.0", "numpy<2", *ORT),
        lambda port, _: ["python", "pytriton_app.py", str(port)],
        lambda _, rows: for_triton("peer", {"rows": rows}),
        lambda _, reply: from_triton("peer", reply)["answer"],
        {"LD_LIBRARY_PATH": str((find_libpython() or Path()).parent)},  # else it may find another Python's
    ),
    Peer(
        "mlflow",
        ("mlflow==3.17.2", "onnx==1.23.2", *UVICORN, *ORT),
        _mlflow,
        for_mlflow,
        from_mlflow,
        {"MLFLOW_DISABLE_TELEMETRY": "true"},
    ),
)

SEXTANT = Peer("sextant", (), lambda _port, _workload: (), for_sextant, from_sextant)
"""What it is all compared with; ``world`` starts it."""
