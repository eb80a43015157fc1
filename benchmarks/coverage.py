"""
Error and coverage on held-back rows, through Triton: fused, the best member alone, and plain chi-square ellipses.

`--data PATH` runs UJIIndoorLoc, whose targets count; without it ../shared/data is tried, then the simulated survey is
measured, for which there are no targets. The plain 3-nearest-neighbours on the same split gives 4.74 m and 24.9 m.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from report import report
from sextant_cli.demo.bay import simulate
from sextant_cli.demo.members import BAY, UJIINDOORLOC
from sextant_cli.demo.story import Folder, Outcome, tell
from sextant_cli.demo.ujiindoorloc import read
from sextant_cli.narrator import Narrator

BESIDE = Path(__file__).parents[2] / "shared" / "data" / "ujiindoorloc"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="nothing to shorten here")
    parser.add_argument("--data", type=Path, default=BESIDE if BESIDE.is_dir() else None, help="UJIIndoorLoc's folder")
    data = parser.parse_args().data
    if data is None:
        show("bay", tell(simulate(), BAY, Folder(Path("var")), Narrator()), targets=False)
    else:
        folder = Folder(Path("var", "ujiindoorloc"))
        show("ujiindoorloc", tell(read(data), UJIINDOORLOC, folder, Narrator()), targets=True)


def show(name: str, outcome: Outcome, *, targets: bool) -> None:
    scores = outcome.scores
    limits = {"median_error_m": (scores.median_error_m, 4.7), "p95_error_m": (scores.p95_error_m, 24.0)}
    for figure, (value, limit) in limits.items():
        given = {"target": f"<= {limit}", "ok": value <= limit} if targets else {}
        report(f"coverage.{name}.{figure}", value, "m", **given)
    report(f"coverage.{name}.best_member_median_error_m", outcome.best_member_median_error_m, "m")
    report(f"coverage.{name}.median_area_m2", scores.median_area_m2, "m2")
    for level, share in scores.coverage.items():
        given = {"target": f"{level:g} +- 0.03", "ok": abs(share - level) <= 0.03} if targets else {}
        report(f"coverage.{name}.conformal.{level:g}", share, "share", **given)
    for level, share in outcome.chi_square_coverage.items():
        report(f"coverage.{name}.chi_square.{level:g}", share, "share")


if __name__ == "__main__":
    main()
