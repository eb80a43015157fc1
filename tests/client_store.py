"""A store of small models for the client's tests: enough to provoke every answer and every refusal."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

WIDTH = 5

Dims = Mapping[str, tuple[str, Sequence[int]]]

POSITION: Dims = {
    "position": ("FP64", [2]),
    "covariance": ("FP64", [2, 2]),
    "confidence_level": ("FP64", [-1]),
    "ellipse": ("FP64", [-1, 3]),
    "between_share": ("FP64", [1]),
    "members_used": ("INT32", [1]),
    "degenerate": ("BOOL", [1]),
    "multimodal": ("BOOL", [1]),
    "calibrated": ("BOOL", [1]),
    "release": ("INT32", [1]),
}

HEAD = """
import time
import numpy as np
import triton_python_backend_utils as pb_utils

def read(request, name):
    return pb_utils.get_input_tensor_by_name(request, name).as_numpy()

def respond(**arrays):
    return pb_utils.InferenceResponse([pb_utils.Tensor(name, array) for name, array in arrays.items()])

def refuse(sentence, code="INVALID_ARG"):
    error = pb_utils.TritonError(sentence, getattr(pb_utils.TritonError, code))
    return pb_utils.InferenceResponse(error=error)

class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(request) for request in requests]
"""

SCALE = """
    def answer(self, request):
        features = read(request, "features")
        rows, columns = np.nonzero(~np.isfinite(features))
        if len(rows):
            return refuse(f"features: expected finite numbers, got {features[rows[0], columns[0]]} "
                          f"at row {rows[0]} column {columns[0]}")
        return respond(scaled=(features / 2).astype(np.float32))
"""

FIX = """
    def answer(self, request):
        scaled = read(request, "scaled").astype(np.float64)
        rows = len(scaled)
        levels = np.tile([0.5, 0.9], (rows, 1))
        ellipse = np.stack([np.stack([scaled[:, 0] + 2, scaled[:, 0] + 1, scaled[:, 0] * 0], 1)] * 2, 1)
        return respond(
            position=scaled[:, :2].copy(), covariance=np.tile(np.eye(2), (rows, 1, 1)),
            confidence_level=levels, ellipse=ellipse, between_share=np.zeros((rows, 1)),
            members_used=np.full((rows, 1), 3, np.int32), degenerate=np.zeros((rows, 1), bool),
            multimodal=np.zeros((rows, 1), bool), calibrated=np.ones((rows, 1), bool),
            release=np.full((rows, 1), 7, np.int32))
"""

ECHO = """
    def answer(self, request):
        return respond(half=read(request, "number").astype(np.float16), twice=read(request, "number") * 2,
                       count=read(request, "count"), word=read(request, "word"), flag=read(request, "flag"))
"""

NAP = """
    def answer(self, request):
        time.sleep(float(read(request, "seconds").max()))
        return respond(slept=read(request, "seconds"))
"""

CODES = """
    def answer(self, request):
        name = read(request, "code").ravel()[0].decode()
        if name == "CRASH":
            raise RuntimeError("a bug in the model")
        return refuse(f"provoked {name}", name)
"""


def field(direction: str, tensors: Dims) -> str:
    """One ``input [...]`` or ``output [...]`` of a config."""
    entries = ", ".join(
        f'{{ name: "{name}" data_type: TYPE_{"STRING" if dtype == "BYTES" else dtype} dims: {list(dims)} }}'
        for name, (dtype, dims) in tensors.items()
    )
    return f"{direction} [{entries}]\n"


def write(  # one model, six facts
    models: Path, name: str, inputs: Dims, outputs: Dims, code: str, *, more: str = "", batch: int = 8
) -> None:
    """Write one Python model under ``models``."""
    (models / name / "1").mkdir(parents=True)
    (models / name / "1" / "model.py").write_text(HEAD + code)
    (models / name / "config.pbtxt").write_text(
        f'name: "{name}"\nbackend: "python"\nmax_batch_size: {batch}\n'
        f"{field('input', inputs)}{field('output', outputs)}{more}\n"
        "instance_group [{ kind: KIND_CPU count: 1 }]\n"
    )


def mapped(direction: str, names: Mapping[str, str]) -> str:
    return " ".join(f'{direction}_map {{ key: "{key}" value: "{value}" }}' for key, value in names.items())


def write_ensemble(models: Path, width: int = WIDTH, batch: int = 8) -> None:
    """Write ``locate``: scale, then fix."""
    (models / "locate" / "1").mkdir(parents=True)
    (models / "locate" / "1" / ".keep").touch()
    steps = [
        ("locate.scale", {"features": "features"}, {"scaled": "scaled"}),
        ("locate.fix", {"scaled": "scaled"}, {name: name for name in POSITION}),
    ]
    text = ", ".join(
        f'{{ model_name: "{name}" model_version: -1 {mapped("input", into)} {mapped("output", out)} }}'
        for name, into, out in steps
    )
    (models / "locate" / "config.pbtxt").write_text(
        f'name: "locate"\nplatform: "ensemble"\nmax_batch_size: {batch}\n'
        f"{field('input', {'features': ('FP32', [width])})}{field('output', POSITION)}"
        f"ensemble_scheduling {{ step [{text}] }}\n"
    )


def write_locate(models: Path, width: int = WIDTH, batch: int = 8, fix: str = FIX) -> None:
    """Write the pipeline ``locate`` and its two steps."""
    features, scaled = {"features": ("FP32", [width])}, {"scaled": ("FP32", [width])}
    write(models, "locate.scale", features, scaled, SCALE, batch=batch)
    write(models, "locate.fix", scaled, POSITION, fix, batch=batch)
    write_ensemble(models, width, batch)


def write_oddities(models: Path) -> None:
    """Write models that echo, sleep, queue one request only, and fail in every way Triton knows."""
    pairs = {"number": ("FP32", [2]), "count": ("INT32", [1]), "word": ("BYTES", [1]), "flag": ("BOOL", [1])}
    echoed = {"half": ("FP16", [2]), "twice": ("FP32", [2])} | dict(itertools.islice(pairs.items(), 1, None))
    seconds, slept = {"seconds": ("FP32", [1])}, {"slept": ("FP32", [1])}
    queue = "dynamic_batching { default_queue_policy { max_queue_size: 1 } }"
    write(models, "echo", pairs, echoed, ECHO)
    write(models, "whole", {"seconds": ("FP32", [-1])}, {"slept": ("FP32", [-1])}, NAP, batch=0)
    write(models, "nap", seconds, slept, NAP)
    write(models, "narrow", seconds, slept, NAP, more=queue, batch=1)
    write(models, "codes", {"code": ("BYTES", [1])}, {"never": ("FP32", [1])}, CODES)
