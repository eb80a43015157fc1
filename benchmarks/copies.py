"""
A server's copy of the store: what a large model costs to bring and to compare, and ``kill -9`` in the middle of it.

The large model goes into a folder, a quarter of it into a bucket of moto's S3 server, a Python program on this machine,
whose time is most of what is measured there. A child process brings version after version to a folder and is killed
at a seeded instant: every version that a configuration names must be there whole, and the next call must end the work.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from random import Random

from report import report

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import fsspec

from copied_store import NAME, Here, everything, publish, wire
from sextant_export.store import Store
from sextant_promote.copies import StoreCopy

KEEP = 2
LATEST_S = 0.1


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="64 MB and 30 kills, not 1024 and 300")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory(prefix="sextant-copies-") as folder:
        kill(Path(folder) / "killed", 30 if quick else 300)
        for where, megabytes in (("folder", 64 if quick else 1024), ("bucket", 16 if quick else 256)):
            cost(Path(folder) / where, where, megabytes)


def kill(root: Path, kills: int) -> None:
    """Publish, bring, kill, look; every third time, end the work and compare all."""
    chance, store, here = Random(5), Store(root / "store").prepare(), Here(f"file://{root}/copy")  # noqa: S311  when to kill
    killed = torn = unfinished = version = 0
    while killed < kills:
        version += 1
        publish(store, version, twin=True)
        wire(store, version)
        store.narrow()
        shutil.rmtree(store.models / NAME / str(version - KEEP), ignore_errors=True)
        killed += _killed(store, here, chance.uniform(0, LATEST_S))
        torn += not _loadable(here, store, root)
        if version % 3 == 0:
            bring_all(here.copy, store)
            unfinished += here.models() != everything(store) or bool(here.copy.differing(store, read=True))
    report("copies: kills while bringing", killed, "kills")
    report("copies: copies that could not be loaded after a kill", torn, "copies", target="0", ok=torn == 0)
    report("copies: copies the next call did not mend", unfinished, "copies", target="0", ok=unfinished == 0)


def cost(root: Path, where: str, megabytes: int) -> None:
    """Bring a model of so many *megabytes* to a folder or a bucket, and compare it."""
    store = Store(root / "store").prepare()
    publish(store, 1)
    with (store.models / NAME / "1" / "weights").open("wb") as stream:
        for _ in range(megabytes):
            stream.write(os.urandom(1 << 20))
    before = peak_mb()
    with bucket() if where == "bucket" else nullcontext(StoreCopy(str(root / "copy"))) as copy:
        timed(f"copies: {megabytes} MB to a {where}, read back", lambda: copy.bring(store, NAME))
        timed(f"copies: compared in a {where} by its stamps", lambda: copy.differing(store))
        timed(f"copies: compared in a {where} byte by byte", lambda: copy.differing(store, read=True))
    report(f"copies: memory that a {where} takes besides", round(peak_mb() - before), "MB")


@contextmanager
def bucket() -> Iterator[StoreCopy]:
    """A copy in a bucket of a server that runs in a process of its own."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = {"endpoint_url": f"http://127.0.0.1:{port}", "key": "key", "secret": "secret"}
    arguments = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not listens(port):
            time.sleep(0.05)
        fsspec.filesystem("s3", skip_instance_cache=True, **options).mkdir("models")
        yield StoreCopy("s3://models/a", options)
    finally:
        server.terminate()
        server.wait()


def listens(port: int) -> bool:
    with socket.socket() as asked:
        return asked.connect_ex(("127.0.0.1", port)) == 0


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def timed(name: str, work: Callable[[], object]) -> None:
    began = time.monotonic()
    work()
    report(name, round(time.monotonic() - began, 3), "s")


def bring_all(copy: StoreCopy, store: Store) -> None:
    for model in (NAME, "front"):
        copy.bring(store, model)


def _killed(store: Store, here: Here, after_s: float) -> bool:
    """Whether a child that brings everything was killed before it had ended by itself."""
    child = os.fork()
    if child == 0:
        try:
            bring_all(StoreCopy(here.url), store)
        finally:
            os._exit(0)
    time.sleep(after_s)
    os.kill(child, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def _loadable(here: Here, store: Store, folder: Path) -> bool:
    try:
        here.require_loadable(store, folder)
    except AssertionError as error:
        print(error, file=sys.stderr)
        return False
    return True


if __name__ == "__main__":
    main()
