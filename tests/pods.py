"""A Triton as the Kubernetes manifests start it, on an address of loopback that is its own, as a pod's is."""

from __future__ import annotations

import itertools
import re
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

from manifests import container, pods, rendered
from sextant_client import Client
from sextant_promote.control import Control
from sextant_server.installation import find_installation
from sextant_server.launch import Launch
from sextant_server.layout import lay_out
from sextant_server.ports import Ports
from sextant_server.preflight import Machine
from sextant_server.process import ServerProcess
from sextant_server.shared_memory import new_prefix, sweep
from small_world import draw

NEWER = ("--http-max-input-size=", "--grpc-max-response-pool-size=")
"""What the embedded Triton does not know yet."""
PATIENCE_S, POLL_S = 60.0, 0.02


class Pod:
    """
    A Triton on *address*, started by the arguments of the manifest for CPUs on the *store*; *token* opens its control.

    The *ports* are the same for all pods, as in a cluster. What is the machine's is added: where the embedded server's
    backends and caches lie.
    """

    def __init__(self, address: str, store: Path, ports: Ports, token: str, log: Path) -> None:
        self.address, self.ports, self.token = address, ports, token
        triton = container(pods(rendered("kubernetes/overlays/cpu"))["triton"], "triton")
        said = [argument for argument in (*triton["command"][2:], *triton["args"]) if not argument.startswith(NEWER)]
        told = [re.sub(r"^(--model-repository)=.*", rf"\1={store}/models", each) for each in said]
        self._start([each.replace("$(SEXTANT_TOKEN)", token) for each in told], store, log)

    def _start(self, arguments: list[str], store: Path, log: Path) -> None:
        installation, machine = find_installation(None), Machine.here()
        backends, prefix = lay_out(installation), new_prefix()
        launch = Launch(
            installation=installation,
            backends=backends,
            libpython=machine.libpython,
            repository=store / "models",
            models=(),
            ports=self.ports,
            token=self.token,
            shm_prefix=prefix,
            exit_timeout_s=30,
        )
        here = [
            f"--backend-directory={backends.path}",
            f"--cache-directory={installation.caches}",
            f"--backend-config=python,shm-region-prefix-name={prefix}",
            "--allow-gpu-metrics=false",
            "--pinned-memory-pool-byte-size=0",
            *itertools.chain.from_iterable(
                (f"--{service}-address={self.address}", f"--{service}-port={port}")
                for service, port in self.ports._asdict().items()
            ),
        ]

        def clear() -> None:
            sweep(prefix)
            backends.remove()

        command = [str(installation.executable), *arguments, *here]
        self.process = ServerProcess(command, launch.environment(), log, on_end=clear)

    @property
    def grpc(self) -> str:
        """Where it answers."""
        return f"grpc://{self.address}:{self.ports.grpc}"

    def status(self, path: str, port: int | None = None) -> int | None:
        """What a probe of *path* is answered; None where nobody listens."""
        try:
            with urllib.request.urlopen(f"http://{self.address}:{port or self.ports.http}{path}", timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return None

    def metrics(self) -> str:
        """What Prometheus reads of it."""
        with urllib.request.urlopen(f"http://{self.address}:{self.ports.metrics}/metrics", timeout=5) as answer:
            return str(answer.read().decode())

    def control(self) -> Control:
        """Its control side."""
        return Control(self.grpc, self.token)

    def release(self) -> int:
        """Which release answers a caller."""
        with Client(self.grpc) as client:
            return int(client.pipeline("locate")(draw(1, seed=9).features[0]).release)

    def drain(self) -> None:
        """End it as the kubelet does."""
        self.process.drain()


def until(condition) -> None:
    """Return once *condition* holds."""
    deadline, never = time.monotonic() + PATIENCE_S, threading.Event()
    while not condition():
        assert time.monotonic() < deadline
        never.wait(POLL_S)
