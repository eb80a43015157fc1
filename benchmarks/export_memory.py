"""
Peak memory of exporting a large ONNX model whose weights lie outside it, in multiples of the file.

A network of seeded matrices, 1 GiB of them (`--quick`: 128 MiB), is logged to an MLflow registry on SQLite in MLflow's
default layout.  A process of its own then exports it: it resolves, fetches, has a child convert, settle and prove the
copy against the flavour's own answers, and write the version into a store.  Reported is the peak resident memory of
the largest of these processes, files mapped into it included, and what of it was there once everything was imported.
The peak is the kernel's `VmHWM`, because `ru_maxrss` survives `exec` and would count the parent's.

The proof's thousand rows are held in memory a few times over; a row has 512 numbers here, so that this is about the
weights. With rows of 4,096 numbers they add 0.1 to the ratio.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import psutil

from report import report

ROW, WIDTH, ANSWERS = 512, 4096, 16
SEED = 20_260
NAME = "large"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="128 MiB")
    parser.add_argument("--log", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--export", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.log:
        log(asked.root, asked.log)
    elif asked.export:
        export_it(asked.root)
    else:
        measure(2 if asked.quick else 16)


def measure(matrices: int) -> None:
    with tempfile.TemporaryDirectory(prefix="export-memory-") as folder:
        apart(folder, "--log", str(matrices))
        peaks = json.loads(apart(folder, "--export").splitlines()[-1])
        (weights,) = Path(folder, "store", "models", NAME, "1").glob("*.data")
        size = weights.stat().st_size
    whole = size >= 2**30
    mib = 2.0**20
    report("export_memory.file", size / mib, "MiB")
    report("export_memory.imported", peaks["imported"] / mib, "MiB")
    report("export_memory.peak", peaks["peak"] / mib, "MiB")
    ratio = peaks["peak"] / size
    report(
        "export_memory.ratio", ratio, "x file", target="<= 1.3" if whole else None, ok=ratio <= 1.3 if whole else None
    )


def apart(folder: str, *work: str) -> str:
    """Do *work* in a process of its own, whose memory is nobody else's."""
    command = [sys.executable, __file__, "--root", folder, *work]
    environment = {**os.environ, "TMPDIR": folder}
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout


def log(root: Path, matrices: int, width: int = WIDTH, seed: int = SEED) -> None:
    """Make the network and log it, weights in a file beside it, as MLflow does unless told otherwise."""
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    mlflow.set_tracking_uri(f"sqlite:///{root / 'mlflow.db'}")
    if mlflow.get_experiment_by_name("memory") is None:
        mlflow.create_experiment("memory", artifact_location=(root / "runs").as_uri())
    mlflow.set_experiment("memory")
    taken, given = (Schema([TensorSpec(np.dtype("float32"), (-1, columns))]) for columns in (ROW, ANSWERS))
    example = np.random.default_rng(SEED).normal(size=(8, ROW)).astype(np.float32)
    mlflow.onnx.log_model(
        network(matrices, width, seed),
        name=NAME,
        registered_model_name=NAME,
        signature=ModelSignature(inputs=taken, outputs=given),
        input_example=example,
        pip_requirements=[],
    )


def network(matrices: int, width: int = WIDTH, seed: int = SEED) -> onnx.ModelProto:
    """A narrow layer and then *matrices* wide ones; every row is answered with the sixteen last numbers."""
    random = np.random.default_rng(seed)
    graph = onnx.GraphProto(name="network")
    heights = [ROW, *[width] * matrices]
    for i, height in enumerate(heights):
        array = random.standard_normal((height, width), np.float32) / np.float32(np.sqrt(height))
        graph.initializer.append(onnx.numpy_helper.from_array(array, f"w{i}"))
        graph.node.append(onnx.helper.make_node("MatMul", [f"h{i}" if i else "x", f"w{i}"], [f"product{i}"]))
        graph.node.append(onnx.helper.make_node("Tanh", [f"product{i}"], [f"h{i + 1}" if i < matrices else "wide"]))
    for name, at in (("from", -ANSWERS), ("to", width), ("axis", 1)):
        graph.initializer.append(onnx.numpy_helper.from_array(np.array([at]), name))
    graph.node.append(onnx.helper.make_node("Slice", ["wide", "from", "to", "axis"], ["y"]))
    graph.input.append(onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", ROW]))
    graph.output.append(onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", ANSWERS]))
    return onnx.helper.make_model(graph, ir_version=10, opset_imports=[onnx.helper.make_opsetid("", 21)])


def export_it(root: Path) -> None:
    """Export it, and print what memory that took."""
    from sextant_export.mlflow_calls import quiet_mlflow
    from sextant_export.pipeline import Pipeline
    from sextant_export.registry import Registry
    from sextant_export.release import export
    from sextant_export.store import Store

    with quiet_mlflow():
        imported = peak(os.getpid())
    watching = Watching()
    pipeline = Pipeline.from_mapping(
        {
            "name": f"{NAME}-served",
            "answer": "tensors",
            "members": {"model": {"model_uri": f"models:/{NAME}/1", "fallback": False}},
            "steps": ["members"],
        }
    )
    receipt = export(pipeline, Store(root / "store"), Registry(f"sqlite:///{root / 'mlflow.db'}"), watching)
    assert receipt.members["model"]["converted"]
    print(json.dumps({"imported": imported, "peak": watching.peak}))


class Watching:
    """A narrator that looks at the end of each step how large this process and its children have been."""

    peak = 0

    @contextmanager
    def step(self, _title: str) -> Iterator[Watching]:
        """Let it be done, then look."""
        yield self
        processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
        self.peak = max([self.peak, *(peak(process.pid) for process in processes)])

    def result(self, _text: str) -> None:
        """Nothing to say."""


def peak(pid: int) -> int:
    """The most bytes that were resident in the process *pid* so far."""
    (kib,) = re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(encoding="ascii"))
    return int(kib) * 1024


if __name__ == "__main__":
    main()
