"""MLflow's own HTTP server, on the registry of a small world."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager


@contextmanager
def mlflow_server(world, **environment):
    """Start it on the database of *world*, with these variables in its environment; gives its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", world.registry.tracking_uri]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    # Its job queue would leave a folder in /dev/shm behind, and no job is asked for here.
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **environment}
    with (world.root / "server.log").open("w") as log:
        server = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=world.root, env=environment, start_new_session=True
        )
    try:
        yield _when_healthy(f"http://127.0.0.1:{port}", server)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(20)


def _when_healthy(address, server):
    begun = time.monotonic()
    while not _healthy(address):
        assert server.poll() is None, "mlflow server ended by itself"
        assert time.monotonic() < begun + 150, "mlflow server does not answer"
        time.sleep(0.1)
    return address


def _healthy(address):
    try:
        urllib.request.urlopen(f"{address}/health", timeout=1).close()
    except OSError:
        return False
    return True
