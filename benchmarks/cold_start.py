"""
From nothing: each phase of the demo in seconds, and how long `sextant serve` takes until it answers.

Absolute seconds of this machine, for orientation; the demo's targets are those of its issue, on two idle cores.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from report import report

SEXTANT = Path(sys.executable).with_name("sextant")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="nothing to shorten here")
    parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure_demo(folder)
        measure_serve(Path(folder, "store"))


def measure_demo(folder: str) -> None:
    begun = time.perf_counter()
    done = subprocess.run([SEXTANT, "demo", "--json", "--folder", folder], check=True, stdout=subprocess.PIPE)
    whole = time.perf_counter() - begun
    for phase, seconds in json.loads(done.stdout)["seconds"].items():
        report(f"demo.{phase}", seconds, "s")
    report("demo.whole", whole, "s", target="<= 180", ok=whole <= 180)


def measure_serve(store: Path) -> None:
    """From the command to its first line, which it prints when the promoted pipeline is READY."""
    begun = time.perf_counter()
    server = subprocess.Popen([SEXTANT, "serve", "--store", store], stdout=subprocess.PIPE, text=True)
    server.stdout.readline()  # type: ignore[union-attr]  it was asked for
    ready = time.perf_counter() - begun
    server.send_signal(signal.SIGINT)
    server.communicate()
    report("serve.until_ready", ready, "s", target="<= 2", ok=ready <= 2)


if __name__ == "__main__":
    main()
