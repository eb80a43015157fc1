"""
Which share of each package's branches the tests take.

Run: ``python benchmarks/branch_coverage.py``, the seconds-long part: unit tests and doctests; ``--whole`` runs every
test, which takes as long as ``make test``. A branch is a place where control may go on in two directions, and each is
counted. What runs in other processes is not seen: Triton's models, the children that convert. The exit code is
pytest's.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from report import report

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "sextant": "sextant",
    "sextant_client": "client/sextant_client",
    "sextant_export": "export/sextant_export",
    "sextant_promote": "promote/sextant_promote",
}
QUICKLY = "not models and not server and not e2e"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="the seconds-long part, as without options")
    parser.add_argument("--whole", action="store_true", help="every test there is")
    parser.add_argument("tests", nargs="*", help="files or folders of tests, as pytest takes them [default: all]")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="coverage-") as folder:
        page = Path(folder) / "coverage.json"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--cov-branch"]
        command += [f"--cov={package}" for package in PACKAGES] + [f"--cov-report=json:{page}"]
        command += [] if options.whole else ["-m", QUICKLY]
        command += options.tests or ([] if options.whole else ["tests/unit", *PACKAGES.values()])
        kept = {**os.environ, "COVERAGE_FILE": str(Path(folder) / "coverage.db")}
        status = subprocess.run(command, cwd=ROOT, check=False, stdout=sys.stderr, env=kept).returncode
        if not page.is_file():
            print("branch coverage: pytest wrote none", file=sys.stderr)
            return status or 1
        files = json.loads(page.read_text(encoding="utf-8"))["files"]
    for package, home in PACKAGES.items():
        tell(package, {path: facts["summary"] for path, facts in files.items() if path.startswith(f"{home}/")})
    return status


def tell(package: str, files: Mapping[str, Mapping[str, Any]]) -> None:
    """The shares of *package*, and which of its *files* takes the fewest of its branches."""
    for kind, covered, all_of in (
        ("branches", "covered_branches", "num_branches"),
        ("statements", "covered_lines", "num_statements"),
    ):
        taken, there = (sum(facts[key] for facts in files.values()) for key in (covered, all_of))
        report(f"coverage.{package}.{kind}", round(100 * taken / max(1, there), 2), "%")
    missed = {path: facts["num_branches"] - facts["covered_branches"] for path, facts in files.items()}
    for path in sorted(missed, key=missed.__getitem__, reverse=True)[:3]:
        print(f"branch coverage: {path} misses {missed[path]} branches", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
