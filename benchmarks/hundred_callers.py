"""
A hundred callers at once on the demo's ``locate``: the 95th percentile of their answers, and how many they do not get.

They are the load test's own users, each with a connection of its own, over gRPC and then over HTTP, who ask for
held-back rows of the demo's survey again as soon as they are answered. Server and callers share this machine.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from report import report
from sextant_cli.demo.bay import simulate
from sextant_cli.demo.members import BAY
from sextant_cli.demo.story import NAME, Folder, tell
from sextant_cli.demo.survey import split
from sextant_cli.narrator import Narrator
from sextant_loadtest.load import LoadPlan, load
from sextant_server import EmbeddedTriton

CALLERS, MOST_MS = 100, 500
SECONDS, QUICK_SECONDS = 30.0, 10.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_SECONDS:g} seconds, and not {SECONDS:g}")
    parser.add_argument("--folder", type=Path, default=Path("var"), help="of the demo  [default: var]")
    options = parser.parse_args()
    folder, survey = Folder(options.folder), simulate()
    tell(survey, BAY, folder, Narrator())
    rows = {"features": split(survey).held_back.features}
    with EmbeddedTriton(folder.store) as triton:
        for protocol, url in {"grpc": triton.address.grpc, "http": triton.address.http}.items():
            seconds = QUICK_SECONDS if options.quick else SECONDS
            outcome = load(LoadPlan(pipeline=NAME, urls=(url,), users=CALLERS, duration_s=seconds), rows)
            name, figures = f"hundred_callers.{protocol}", outcome.total
            p95_ms = round(figures.p95_ms or float("inf"), 1)
            report(f"{name}.p95", p95_ms, "ms", target=f"< {MOST_MS}", ok=p95_ms < MOST_MS)
            report(f"{name}.errors", figures.failed, "requests", target="== 0", ok=not figures.failed)
            report(f"{name}.p50", round(figures.p50_ms or float("inf"), 1), "ms")
            report(f"{name}.throughput", round(figures.throughput_rps, 1), "requests/s")
            report(f"{name}.under_way", round(figures.under_way, 1), "requests")


if __name__ == "__main__":
    main()
