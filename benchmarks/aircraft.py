"""
Real aircraft through Triton: errors and coverage on held-back sets, rule by rule; what each idea brought; speed.

`--data PATH` is the folder of LocaRDS; without it ../shared/data/mlat_locards is tried, and without that there is
nothing to measure. What each idea brought is measured on set 2, which the solver never learned from; sets 3 and 4 are
for the finished pipeline alone. A reference solver (time differences, least squares) is 36 and 43 m off on them.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from report import report

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "examples" / "aircraft"))

from arrivals import Messages, read, split  # noqa: E402  the example's modules import one another by bare name
from judging import Judged  # noqa: E402
from network import Network  # noqa: E402
from registering import LARGEST_M, Taught  # noqa: E402
from sextant.geodesy import to_east_north  # noqa: E402
from sextant_cli.narrator import Narrator  # noqa: E402
from story import EVERYWHERE, Place, tell  # noqa: E402
from tdoa import Floats, Heard, solve, solve_robustly  # noqa: E402

BESIDE = ROOT.parent / "shared" / "data" / "mlat_locards"
BATCHES = (1, 64, 1024)
SERVED = "fused, conformal"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="each speed from fewer repetitions")
    parser.add_argument("--data", type=Path, default=BESIDE, help="the folder of LocaRDS")
    given = parser.parse_args()
    if not given.data.is_dir():
        print(f"left out: {given.data} is not here", file=sys.stderr)
        return
    messages, network = read(given.data)
    outcome = tell(messages, network, Place(Path("var", "aircraft")), Narrator())
    for rule, parts in outcome.judged.items():
        show(rule, parts)
    ideas(messages, network)
    speed(messages, network, repetitions=5 if given.quick else 40)


def show(rule: str, parts: Mapping[str, Judged]) -> None:
    """Errors on each part, coverage and area on all; what is served has targets."""
    name = f"aircraft.{rule.removesuffix(' alone, chi-square').replace(', ', '.').replace(' ', '_').replace('-', '_')}"
    served = rule == SERVED
    for part, judged in parts.items():
        value = judged.median_error_m
        limits = {"target": "<= 40", "ok": value <= 40} if served and part == EVERYWHERE else {}
        report(f"{name}.{part.replace(' ', '_')}.median_error_m", value, "m", **limits)
    whole = parts[EVERYWHERE]
    report(f"{name}.p95_error_m", whole.p95_error_m, "m")
    for level, coverage in whole.coverage.items():
        near = {"target": f"{level} +- 0.03", "ok": abs(coverage.share - float(level)) <= 0.03} if served else {}
        report(f"{name}.coverage.{level}", coverage.share, "share", **near)
        report(f"{name}.median_area_m2.{level}", whole.median_area_m2[level], "m2")


def ideas(messages: Messages, network: Network) -> None:
    """The median error on set 2 with one idea after the other; only set 1 taught."""
    parts = split(messages)
    taught = Taught.by(parts.train, network)
    rows = parts.calibration
    drawn, surveyed = taught.drawn.heard(rows.features), taught.surveyed.heard(rows.features)
    robust = solve_robustly(surveyed, LARGEST_M).position
    shift, _ = taught.lateness.corrected(robust, np.zeros((len(rows), 2, 2)), rows.features[:, -1].astype(float))
    tried = {
        "vacuum": solve(drawn._replace(air=0.0)).position,
        "air": solve(drawn).position,
        "delays": solve(surveyed).position,
        "delays_robust": robust,
        "delays_robust_lateness": shift,
    }
    for name, position in tried.items():
        report(f"aircraft.set_2.{name}.median_error_m", _median_m(position, rows.truth), "m")


def speed(messages: Messages, network: Network, repetitions: int) -> None:
    """Microseconds a row of the solver alone, in this process."""
    heard = network.heard(messages.features)
    for batch in BATCHES:
        rows = Heard(*(part[:batch] for part in heard[:5]))
        began = time.perf_counter()
        for _ in range(repetitions):
            solve(rows)
        elapsed = (time.perf_counter() - began) / repetitions
        report(f"aircraft.solve.batch_{batch}.us_per_row", elapsed / batch * 1e6, "us")


def _median_m(position: Floats, truth: Floats) -> float:
    return float(np.median(np.hypot(*to_east_north(truth, position).T)))


if __name__ == "__main__":
    main()
