"""
Aircraft positions from time differences of arrival, on real data: taught, calibrated, served on Triton, judged.

python examples/aircraft/run.py --data PATH
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from judging import Coverage, Judged
    from story import Outcome

INTERRUPTED = 130
HEADINGS = ("rule", "part", "rows", "error: median, p95", "inside 50, 90, 95%", "95% area")


def main() -> int:
    """Run the story; the exit code is 0, 1 where a sentence says what is wrong, 130 after Ctrl-C."""
    given = _arguments()
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    try:
        outcome = _told(given.data, given.var)
    except KeyboardInterrupt:
        sys.unraisablehook = lambda _: None  # an object that was interrupted while it was made has nothing to say
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    if outcome is None:
        return 1
    print(json.dumps(outcome.to_dict()) if given.json else _words(outcome, given.var))
    return 0


def _told(data: Path, var: Path) -> Outcome | None:
    """What came of the story, or None after its sentence; MLflow and Triton are imported once there is data."""
    from arrivals import read
    from sextant.errors import SextantError

    try:
        messages, network = read(data)
        from sextant_cli.narrator import Narrator
        from story import Place, tell

        return tell(messages, network, Place(var), Narrator())
    except SextantError as error:
        print(f"aircraft: {error}", file=sys.stderr)
        return None


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="PATH",
        help="folder with sensors.csv and set_1.csv to set_4.csv (LocaRDS; demos/data/mlat of github.com/lschoe/mpyc)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    parser.add_argument(
        "--var", type=Path, default=Path("var", "aircraft"), metavar="PATH", help="where everything goes [var/aircraft]"
    )
    return parser.parse_args()


def _words(outcome: Outcome, var: Path) -> str:
    first, *others = outcome.judged.items()
    lines = [_columns(*HEADINGS), *(_line(first[0], part, judged) for part, judged in first[1].items())]
    lines += [_line(rule, *next(iter(parts.items()))) for rule, parts in others]
    fused = outcome.fused
    lines += ["", f"Of what is served, on all {fused.rows} rows of {fused.aircraft} aircraft, with 95% intervals:"]
    lines += [f"  {float(level):.0%} ellipse: {_interval(coverage)}" for level, coverage in fused.coverage.items()]
    return "\n".join(
        ["", *lines, "", f"map      {var / 'fixes.geojson'}", f"picture  {var / 'fixes.png'}", *_next(var)]
    )


def _columns(rule: str, part: str, rows: object, error: str, inside: str, area: str) -> str:
    return f"{rule:<29} {part:<13} {rows:>4}  {error:>18}  {inside:>21}  {area:>9}"


def _line(rule: str, part: str, judged: Judged) -> str:
    shares = ", ".join(f"{coverage.share:.3f}" for coverage in judged.coverage.values())
    *_, area_m2 = judged.median_area_m2.values()
    errors = f"{judged.median_error_m:.1f} m, {judged.p95_error_m:.0f} m"
    return _columns(rule, part, judged.rows, errors, shares, f"{area_m2 / 1e6:.3f} km2")


def _interval(coverage: Coverage) -> str:
    (low, high), (worst, best) = coverage.binomial, coverage.by_aircraft
    return f"{coverage.share:.3f}; {low:.3f} to {high:.3f} row by row, {worst:.3f} to {best:.3f} by whole aircraft"


def _next(var: Path) -> tuple[str, ...]:
    return (
        "",
        "Try next (the second in another terminal):",
        f"  .venv/bin/sextant serve --store {var / 'store'}",
        f"  .venv/bin/sextant ask multilaterate features=@{var / 'example.npy'} --store {var / 'store'}",
    )


if __name__ == "__main__":
    code = main()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # nothing is left to interrupt
    sys.exit(code)
