"""Two releases of a smallest pipeline for a router to choose between: quick to load, and easy to tell apart."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import psutil
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from sextant.tensors import Tensor
from sextant_export.config import Configs, ensemble_config
from sextant_export.receipt import Receipt, write_receipt
from sextant_export.release import front_config
from sextant_export.store import Candidate
from sextant_export.wiring import EnsembleStep

X, Y, RELEASE = Tensor("x", "FP32", (2,)), Tensor("y", "FP32", (2,)), Tensor("release", "INT32", (1,))
REFUSED, REFUSED_BY_BOTH, DIFFERS = -1.0, -100.0, 100.0
"""The candidate refuses the first, and answers to the last, and above, what the serving release does not."""

SOURCE = """
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        self.release = int(args["model_version"])

    def execute(self, requests):
        return [self.answer(pb_utils.get_input_tensor_by_name(request, "x").as_numpy()) for request in requests]

    def answer(self, x):
        if (x < (0 if self.release > 1 else -50)).any():
            error = pb_utils.TritonError("x: expected no negative number, got -1", pb_utils.TritonError.INVALID_ARG)
            return pb_utils.InferenceResponse(output_tensors=[], error=error)
        y = x + np.where(x >= 100, np.float32(self.release), np.float32(0))
        release = np.full((len(x), 1), self.release, np.int32)
        return pb_utils.InferenceResponse([pb_utils.Tensor("y", y), pb_utils.Tensor("release", release)])
"""

CONFIG = """
name: "p.adds" backend: "python" max_batch_size: 8 dynamic_batching { }
input { name: "x" data_type: TYPE_FP32 dims: [2] }
output { name: "y" data_type: TYPE_FP32 dims: [2] } output { name: "release" data_type: TYPE_INT32 dims: [1] }
version_policy { specific { versions: %d } } instance_group { count: 1 kind: KIND_CPU }
"""


def make_release(store, number):
    """Release *number* of the pipeline ``p`` in *store*; gives its receipt."""
    config = text_format.Parse(CONFIG % number, ModelConfig())
    store.publish(Candidate(model="p.adds", version=number, configs=Configs(config), write=_write))
    step = EnsembleStep("p.adds", number, {"x": "x"}, {"y": "y", "release": "release"})
    return wire(store, number, [step], [X], [Y, RELEASE])


def wire(store, number, steps, inputs, outputs, *, pipeline="p", batch=8):
    """The ensemble of release *number*, of *steps* whose models are in *store*; gives its receipt."""
    ensemble = ensemble_config(f"{pipeline}.r{number}", number, steps, inputs, outputs, batch)
    store.write_ensemble(ensemble)
    receipt = Receipt(
        pipeline=pipeline,
        release=number,
        identity=f"made {number}",
        created=f"2026-01-0{number}T08:00:00+00:00",
        spec={"name": pipeline, "answer": "tensors"},
        members={},
        blocks={},
        calibration=None,
        models=tuple((step.model_name, step.model_version) for step in steps),
        introduced=(),
        ensemble=text_format.MessageToString(ensemble),
        tools={},
    )
    write_receipt(store, receipt)
    return receipt


def make_store(store):
    """Two releases in *store*, its front wired to the first; gives their receipts."""
    store.prepare()
    receipts = [make_release(store, number) for number in (1, 2)]
    store.write_ensemble(front_config(receipts[0]))
    return receipts


def _write(directory):
    (directory / "model.py").write_text(SOURCE)
    (directory / "__pycache__").touch()


def process_of(triton, directory):
    """The process of the Python model under *triton* whose version lies in *directory*."""
    children = psutil.Process(triton.address.pid).children(recursive=True)
    (process,) = (child for child in children if _runs(child, directory))
    return process


def kill_idle(process):
    """
    End *process* as the kernel does when memory runs out, at a moment when all its threads wait.

    One that dies with a lock of the memory that it shares with Triton takes the embedded Triton with it.
    """
    while not all(_waits(thread) for thread in Path(f"/proc/{process.pid}/task").iterdir()):
        pass
    process.kill()


def _waits(thread):
    return (thread / "stat").read_text().rpartition(")")[2].split()[0] == "S"


def _runs(process, directory):
    with suppress(psutil.Error):  # it has just ended
        return directory in " ".join(process.cmdline())
    return False
