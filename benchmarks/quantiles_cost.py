"""
What Triton's quantiles of latency cost, which Sextant leaves out: a hundred boosted trees with them and without.

Two Tritons serve the same pipeline, one told to sum its latencies up (``summary_latencies``); wrk asks them in turn,
one row a request, as in peers.py.  A ratio is the median of those of neighbouring slices.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from unittest.mock import patch

from report import report
from sextant_server.launch import Launch
from side_by_side.load import Request, Slice, asked
from side_by_side.peers import SEXTANT
from side_by_side.running import Server, request_of
from side_by_side.world import Place

WORKLOAD = "tabular"
CALLERS, SECONDS, WARM_UP_S = (8, 32, 100), 3, 1
QUANTILES = "--metrics-config=summary_latencies=true"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="two pairs of slices instead of five, and less certain")
    repeats = 2 if parser.parse_args().quick else 5
    if shutil.which("wrk") is None:
        sys.exit("quantiles_cost: the load is wrk, which .ci/packages installs")
    with (
        tempfile.TemporaryDirectory(prefix="quantiles-cost-") as folder,
        serving(Path(folder, "without")) as without,
        summing_up(),
        serving(Path(folder, "with")) as summed,
    ):
        takes = {"with": partial(asked, summed), "without": partial(asked, without)}
        for callers in CALLERS:
            for take in takes.values():
                take(callers, WARM_UP_S)
            tell(callers, [{way: take(callers, SECONDS) for way, take in takes.items()} for _ in range(repeats)])


@contextmanager
def summing_up() -> Iterator[None]:
    """Servers that start meanwhile have quantiles."""
    command = Launch.command
    with patch.object(Launch, "command", lambda launch: [*command(launch), QUANTILES]):
        yield


@contextmanager
def serving(root: Path) -> Iterator[Request]:
    """What callers send to a Triton of its own store under *root*."""
    root.mkdir()
    place = Place(root)
    with place.sextant() as address:
        yield request_of(SEXTANT, Server(address.http, address.pid), place, WORKLOAD)


def tell(callers: int, pairs: list[dict[str, Slice]]) -> None:
    """The medians of both, and what is left of the throughput with quantiles."""
    name = f"quantiles.{WORKLOAD}.callers_{callers}"
    for way in pairs[0]:
        report(f"{name}.{way}", round(statistics.median(pair[way].rate for pair in pairs), 1), "answers/s")
        errors = sum(pair[way].errors for pair in pairs)
        report(f"{name}.{way}.errors", errors, "requests", target="== 0", ok=not errors)
    ratio = statistics.median(pair["with"].rate / pair["without"].rate for pair in pairs)
    report(f"{name}.ratio", round(ratio, 3), "with / without")


if __name__ == "__main__":
    main()
