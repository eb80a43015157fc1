"""How each service of docker-compose.yml is started without its image."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from sextant_server.installation import find_installation
from sextant_server.layout import lay_out
from sextant_server.preflight import Machine
from sextant_server.shared_memory import new_prefix, sweep
from stack_processes import POSTGRES

LACKING = {
    "/opt/nvidia/nvidia_entrypoint.sh": "NVIDIA's banner, which then becomes the command",
    "--http-max-input-size": "Triton 25.06 brought it",
    "--grpc-max-response-pool-size": "Triton 25.03 brought it",
}
"""What the embedded Triton, which is 24.10, does not know."""


def missing():
    """The programs of Debian's packages that are not on this machine."""
    wanted = {name: shutil.which(name) for name in ("caddy", "prometheus", "wget")}
    return [name for name, path in wanted.items() if not path] + ["postgresql"] * (not POSTGRES.is_dir())


def start_all(stack):
    """Every service that can be started here, each after those that it depends on."""
    start_triton(stack)
    start_storage(stack)
    start_postgres(stack)
    start_mlflow(stack)
    start_prometheus(stack)
    start_proxy(stack)


def start_postgres(stack):
    """As the image's own entry does it: a cluster, the user with its password, the database."""
    names = ("POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD")
    owner, database, password = (stack.composed.variable("postgres", name) for name in names)
    stack.composed.mount("postgres", "/var/lib/postgresql")
    place, user = Path(tempfile.mkdtemp(prefix="sextant-postgres-")), "postgres" if os.getuid() == 0 else None
    stack.at_the_end(lambda: shutil.rmtree(place))
    (place / "password").write_text(password)
    for path in (place, place / "password") if user else ():
        shutil.chown(path, user)
    cluster = [f"--pgdata={place}/data", f"--username={owner}", f"--pwfile={place}/password"]
    making = [f"{POSTGRES}/initdb", *cluster, "--auth=scram-sha-256", "--encoding=UTF8", "--no-sync"]
    assert stack.start("postgres", making, {}, folder=place, user=user).wait(60) == 0, stack.said("postgres")
    port = str(stack.ports[5432])
    server = [f"{POSTGRES}/postgres", "-D", f"{place}/data", "-h", "127.0.0.1", "-p", port, "-k", str(place)]
    stack.start("postgres", [*server, *stack.command("postgres")], {}, folder=place, user=user)
    stack.wait_healthy("postgres")
    making = [f"{POSTGRES}/createdb", "--host=127.0.0.1", f"--port={port}", f"--username={owner}", database]
    subprocess.run(making, check=True, env={"PGPASSWORD": password}, timeout=60)


def start_storage(stack):
    """Over S3's protocol another server: moto's."""
    port = stack.ports[7070]
    stack.start("storage", [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], {})
    stack.wait_listening("storage")


def start_mlflow(stack):
    """The bucket first, by the service that makes it; twice, as a second `up` does."""
    for _ in range(2):
        made = stack.start("bucket", stack.command("bucket"), stack.variables("bucket"))
        assert made.wait(60) == 0, stack.said("bucket")
    stack.start("mlflow", stack.command("mlflow"), stack.variables("mlflow"), folder=stack.folder / "tmp")
    stack.wait_healthy("mlflow")


def start_triton(stack):
    """The embedded one with the flags of the file, but those that it lacks, and with what makes it the embedded one."""
    installation, prefix = find_installation(), new_prefix()
    backends, libpython = lay_out(installation), Machine.here().libpython
    stack.at_the_end(backends.remove)
    stack.at_the_end(lambda: sweep(prefix))
    stack.place("triton", "/store")
    told = [word for word in stack.command("triton") if not _lacking(word)]
    stack.composed.untried("triton", LACKING)
    libraries = [*map(str, installation.libraries), *([str(libpython.parent)] if libpython else [])]
    stack.start(
        "triton",
        [str(installation.executable), *told[1:], *_embedded(stack.ports, installation, backends, prefix)],
        {**stack.variables("triton"), "LD_LIBRARY_PATH": ":".join(libraries)},
    )
    stack.wait_healthy("triton")


def start_watcher(stack):
    """With its settings, its pages, and a folder of its own."""
    for target in ("/store", "/etc/sextant.toml", "/pipelines", "/tmp"):
        stack.place("watcher", target)
    stack.start("watcher", stack.command("watcher"), stack.variables("watcher"), folder=stack.folder / "pipelines")
    stack.wait_healthy("watcher")


def start_prometheus(stack):
    """With the rules and the targets of the project."""
    for target in ("/etc/prometheus", "/prometheus"):
        stack.place("prometheus", target)
    stack.start("prometheus", ["prometheus", *stack.command("prometheus")], stack.variables("prometheus"))
    stack.wait_healthy("prometheus")


def start_proxy(stack):
    """The image says by these two variables where Caddy keeps its authority and its state."""
    data = stack.place("proxy", "/data")
    stack.place("proxy", "/etc/caddy/Caddyfile")
    image = {"XDG_DATA_HOME": data, "XDG_CONFIG_HOME": data}
    stack.start("proxy", stack.command("proxy"), {**stack.variables("proxy"), **image})
    stack.wait_healthy("proxy")


def _embedded(ports, installation, backends, prefix):
    yield f"--backend-directory={backends.path}"
    yield f"--cache-directory={installation.caches}"
    yield f"--backend-config=python,shm-region-prefix-name={prefix}"
    yield from ("--allow-gpu-metrics=false", "--pinned-memory-pool-byte-size=0")
    for service, port in (("http", 8000), ("grpc", 8001), ("metrics", 8002)):
        yield from (f"--{service}-address=127.0.0.1", f"--{service}-port={ports[port]}")


def _lacking(word):
    return any(word.endswith(each) or word.partition("=")[0] == each for each in LACKING)
