"""NVIDIA's own load generator: ``perf_analyzer`` of the last ``tritonclient`` wheel that has it, fetched and run."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

WHEELS = ("tritonclient==2.50.0", "nvidia-cuda-runtime-cu12==12.9.79")
"""It is linked with CUDA's runtime, which it does not use here, and with Debian's libb64-0d."""

PATIENCE_S = 120
"""So much longer than it is to measure it may take."""


@dataclass(frozen=True)
class Measured:
    """What it says of one load."""

    throughput_rps: float
    p50_ms: float


class PerfAnalyzer:
    """The program in *folder*, brought there by pip where it is not there yet."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "_".join(WHEELS)
        if not self._folder.is_dir():
            self._fetch()
        self._program = self._found("bin/perf_analyzer")[0]
        self._libraries = self._found("lib/libcudart.so*")[0].parent
        self._program.chmod(0o755)

    def measure(self, url: str, model: str, rows: dict[str, np.ndarray], callers: int, seconds: float) -> Measured:
        """So many *callers* that ask *model* over gRPC, each for one of *rows*, again as soon as it is answered."""
        with tempfile.TemporaryDirectory(prefix="perf-analyzer-") as folder:
            data, table = Path(folder, "rows.json"), Path(folder, "measured.csv")
            data.write_text(json.dumps({"data": _as_data(rows)}))
            command = [self._program, "-m", model, "-u", url.removeprefix("grpc://"), "-i", "grpc", "-b", 1]
            command += ["--input-data", data, "--concurrency-range", callers, "--async", "-f", table]
            # Three windows together are its measurement; it would go on until they agree, which nobody here waits for.
            command += ["-p", round(seconds * 1000 / 3), "-r", 3, "-s", 999]
            self._run(list(map(str, command)), seconds + PATIENCE_S)
            (line,) = csv.DictReader(table.open())
        return Measured(float(line["Inferences/Second"]), float(line["p50 latency"]) / 1000)

    def _run(self, command: list[str], timeout_s: float) -> None:
        environment = {**os.environ, "LD_LIBRARY_PATH": str(self._libraries)}
        try:
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, check=False, timeout=timeout_s
            )
        except subprocess.TimeoutExpired:
            sys.exit(f"perf_analyzer did not end in {timeout_s:.0f} s")
        if done.returncode:
            sys.exit(f"perf_analyzer ended with {done.returncode}: {(done.stderr or done.stdout).strip()}")

    def _fetch(self) -> None:
        """All of it or nothing: the folder appears when everything lies in it."""
        print(f"perf_analyzer: pip fetches {' and '.join(WHEELS)} into {self._folder.parent}", file=sys.stderr)
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetched-", dir=self._folder.parent) as fetched:
            wheels, whole = Path(fetched, "wheels"), Path(fetched, "whole")
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(wheels), *WHEELS]
            if status := subprocess.run(pip, check=False).returncode:
                sys.exit(f"perf_analyzer cannot be fetched: pip ended with {status}")
            for wheel in wheels.glob("*.whl"):
                zipfile.ZipFile(wheel).extractall(whole)
            shutil.move(whole, self._folder)

    def _found(self, name: str) -> list[Path]:
        return sorted(path for path in self._folder.rglob(Path(name).name) if path.match(name))


def _as_data(rows: dict[str, np.ndarray]) -> list[dict[str, list[float]]]:
    """One entry a row, by the names of the tensors."""
    count = len(next(iter(rows.values())))
    return [{name: array[row].ravel().tolist() for name, array in rows.items()} for row in range(count)]
