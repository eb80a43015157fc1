"""
The command line and environment of a server: every line was a trap once.

The token is visible to every user of this machine in the process list. It keeps out web pages and
careless programs, not a determined local user: the embedded Triton is for development.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sextant_server.address import TOKEN_HEADER
from sextant_server.installation import Installation
from sextant_server.layout import BackendFolder
from sextant_server.ports import LOOPBACK, Ports
from sextant_server.tracing import Tracing

# What stays open only reads, and the client needs it: inference, health, metadata, statistics, model-config.
RESTRICTED_APIS = "model-repository,shared-memory,trace,logging"

# Models that have no configs/embedded.pbtxt are loaded as their config.pbtxt says.
CONFIG_NAME = "embedded"

_CACHE_BYTES = 64 * 1024 * 1024

# Freed memory goes back to the kernel by the request and is fetched again page by page, unless glibc keeps some: with
# requests of 400 kB that was an eighth of the throughput.
_KEPT_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """One server about to start."""

    installation: Installation
    backends: BackendFolder
    libpython: Path | None
    repository: Path
    models: tuple[str, ...]
    ports: Ports
    token: str
    shm_prefix: str
    exit_timeout_s: int
    trace: Tracing | None = None

    def command(self) -> list[str]:
        """What to execute."""
        return [
            str(self.installation.executable),
            f"--model-repository={self.repository}",
            f"--backend-directory={self.backends.path}",
            "--model-control-mode=explicit",
            f"--model-config-name={CONFIG_NAME}",  # ONNX where the others load a TensorRT plan
            *(f"--load-model={model}" for model in self.models),
            "--disable-auto-complete-config",  # configs are complete; guessing costs a process a model
            "--strict-readiness=false",  # else one failed load makes the whole server unready for ever
            "--exit-on-error=false",  # else one bad model keeps all the others from being served
            f"--exit-timeout-secs={self.exit_timeout_s}",
            f"--backend-config=python,shm-region-prefix-name={self.shm_prefix}",
            *self._listening(),
            *self._cache(),
            *self._without_gpu(),
            *(self.trace.flags() if self.trace else ()),
        ]

    def _listening(self) -> Iterator[str]:
        for service, port in self.ports._asdict().items():
            yield f"--{service}-address={LOOPBACK}"
            yield f"--{service}-port={port}"
        yield f"--http-restricted-api={RESTRICTED_APIS}:{TOKEN_HEADER}={self.token}"
        yield f"--grpc-restricted-protocol={RESTRICTED_APIS}:{TOKEN_HEADER}={self.token}"

    def _cache(self) -> Iterator[str]:
        if (self.installation.caches / "local").is_dir():
            yield f"--cache-directory={self.installation.caches}"
            yield f"--cache-config=local,size={_CACHE_BYTES}"

    def _without_gpu(self) -> Iterator[str]:
        if not Path("/dev/nvidiactl").exists():
            yield "--allow-gpu-metrics=false"
            yield "--pinned-memory-pool-byte-size=0"

    def environment(self) -> dict[str, str]:
        """
        This process's, with the venv first on PATH and the server's libraries first for the linker.

        Triton's Python processes ignore PYTHONPATH: they take the packages of the ``python3`` found on PATH.
        """
        libraries = [*map(str, self.installation.libraries), os.environ.get("LD_LIBRARY_PATH", "")]
        if self.libpython is not None:
            libraries.insert(-1, str(self.libpython.parent))
        return {
            "MALLOC_TOP_PAD_": str(_KEPT_BYTES),
            **(self.trace.environment(os.environ) if self.trace else os.environ),
            "PATH": f"{sys.prefix}/bin:{os.environ.get('PATH', os.defpath)}",
            "LD_LIBRARY_PATH": ":".join(folder for folder in libraries if folder),
        }
