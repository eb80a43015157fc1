"""
The services of docker-compose.yml as plain processes on loopback.

What a container gives a service is a table here: a port for each that it listens on, a folder for each path. Everything
else, commands, variables and configuration files, is the file's own.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from composed import ROOT

LISTENING = {
    "postgres": (5432,),
    "storage": (7070,),
    "mlflow": (5000,),
    "triton": (8000, 8001, 8002),
    "watcher": (8003,),
    "prometheus": (9090,),
    "grafana": (3000,),
    "proxy": (8080, 8443),
}
"""The ports of each; no two have the same."""

WRITTEN = ("{host}:{port}", "--port={port}", "https_port {port}")
"""How a port is written in commands, variables and configurations."""

HERE = ("0.0.0.0", "127.0.0.1", "localhost")
"""How a service calls the machine that it is on."""

FOLDERS = {
    "/store": "store",
    "/pipelines": "pipelines",
    "/etc/sextant.toml": "sextant.toml",
    "/etc/prometheus": "prometheus",
    "/prometheus": "prometheus-data",
    "/etc/caddy/Caddyfile": "Caddyfile",
    "/data": "caddy",
    "/tmp": "tmp",
}
"""Where the paths of containers lie in the folder of a test."""

POSTGRES = max(Path("/usr/lib/postgresql").glob("*/bin"), default=Path("/usr/lib/postgresql/bin"))
BIN = Path(sys.executable).parent
PROGRAMS = {
    "python3": sys.executable,
    "sextant": str(BIN / "sextant"),
    "mlflow": str(BIN / "mlflow"),
    "pg_isready": str(POSTGRES / "pg_isready"),
}
"""What images bring, as this machine has it; what is not here is found on the PATH."""


class Processes:
    """The services of *composed*, started in *folder* one by one, and all ended by :meth:`close`."""

    def __init__(self, composed, folder):
        self.composed, self.folder = composed, folder
        ports = [port for each in LISTENING.values() for port in each]
        self.ports = dict(zip(ports, _free(len(ports)), strict=True))
        self._texts = {"--host=0.0.0.0": "--host=127.0.0.1", **self._ports_written()}
        self._texts |= {target: str(folder / name) for target, name in FOLDERS.items()}
        self._texts |= {f"/opt/{script}": f"{ROOT}/docker/{script}" for script in ("answers.py", "bucket.py")}
        longest = sorted(self._texts, key=len, reverse=True)
        self._pattern = re.compile(rf"(?<![\w.])(?:{'|'.join(map(re.escape, longest))})(?![\w-])")
        self._running, self._endings = {}, ExitStack()
        for name in ("tmp", "store/models"):
            (folder / name).mkdir(parents=True)

    def here(self, text):
        """*text* with the hosts, ports and paths of containers replaced by this machine's."""
        return self._pattern.sub(lambda found: self._texts[found[0]], text)

    def command(self, service):
        """What the service executes, as it has to be written here."""
        return [self.here(word) for word in self.composed.argv(service)]

    def place(self, service, target):
        """Where what is mounted at *target* lies here; a file or folder of the project is laid there."""
        source, place = self.composed.mount(service, target), self.folder / FOLDERS[target]
        if source.startswith("./") and (ROOT / source).exists() and not place.exists():
            (shutil.copytree if (ROOT / source).is_dir() else shutil.copyfile)(ROOT / source, place)
            for file in filter(Path.is_file, [place, *place.rglob("*")]):
                file.write_text(self.here(file.read_text()))
        return place

    def variables(self, service):
        """What the service has in its environment, as it has to be written here."""
        return {name: self.here(text) for name, text in self.composed.environment(service).items()}

    def start(self, service, command, variables, *, folder=None, user=None):
        """Execute *command* with these *variables* in its environment."""
        environment = {"PATH": f"{BIN}:{os.defpath}", **variables}
        command = [*_as(user), PROGRAMS.get(command[0], command[0]), *command[1:]]
        with (self.folder / f"{service}.log").open("a") as log, (self.folder / f"{service}.out").open("a") as out:
            self._running[service] = subprocess.Popen(
                command, stdout=out, stderr=log, cwd=folder or self.folder, env=environment, start_new_session=True
            )
        return self._running[service]

    def wait_healthy(self, service, timeout_s=150):
        """Run the health check of the service until it passes."""
        self.wait_listening(service, timeout_s)
        check = [self.here(word) for word in self.composed.health(service)]
        command, every_s = [PROGRAMS.get(check[0], check[0]), *check[1:]], 0.5  # each is a process
        self.wait(service, lambda: not subprocess.run(command, capture_output=True).returncode, timeout_s, every_s)

    def wait_listening(self, service, timeout_s=150):
        """Return once the service takes connections."""
        self.wait(service, lambda: _listens(self.ports[LISTENING[service][0]]), timeout_s)

    def wait(self, service, ready, timeout_s=150, every_s=0.1):
        """Return once *ready* gives something true, which is given."""
        begun = time.monotonic()
        while not (given := ready()):
            assert self._running[service].poll() is None, f"{service} ended\n{self.said(service)}"
            assert time.monotonic() < begun + timeout_s, f"{service} is not ready\n{self.said(service)}"
            time.sleep(every_s)
        return given

    def said(self, service):
        """The end of what the service said."""
        return "".join((self.folder / f"{service}.{kind}").read_text()[-3000:] for kind in ("log", "out"))

    def stop(self, service):
        """End it as Docker does; gives its exit code."""
        process = self._running.pop(service)
        process.terminate()
        return process.wait(90)

    def kill(self, service):
        """End it, and what it has started, as a lack of memory does."""
        process = self._running.pop(service)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def at_the_end(self, clear):
        """Call *clear* when all have ended."""
        self._endings.callback(clear)

    def close(self):
        """End all that run."""
        self.kill("triton")  # which waits long for nobody
        for process in self._running.values():
            process.terminate()
        for service in list(self._running):
            self.stop(service)
        self._endings.close()

    def _ports_written(self):
        return {
            form.format(host=host, port=port): form.format(host="127.0.0.1", port=self.ports[port])
            for service, ports in LISTENING.items()
            for host in (service, *HERE)
            for port in ports
            for form in WRITTEN
        }


def _as(user):
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"] if user else []


def _listens(port):
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


def _free(count):
    """Ports that are free just now, all held at once so that they differ."""
    with ExitStack() as held:
        listeners = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [listener.getsockname()[1] for listener in listeners]
