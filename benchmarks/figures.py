"""
Every figure this project claims: script after script, each line as it comes, and at the end which targets were missed.

Run: ``python benchmarks/figures.py``, every script's quick version; names choose scripts, as in ``figures.py votes
spectra``, and ``--whole`` measures for as long as the figures in the documentation were. The exit code is 1 where a
target was missed or a script broke. The first time, ``peers`` installs its environments and ``load_agreement`` fetches
NVIDIA's ``perf_analyzer`` from the package index, 2 GB into ``var``; each says so.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


def main() -> int:
    names = {path.stem: path for path in sorted(FOLDER.glob("*.py")) if is_script(path)}
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().partition("\n")[0])
    parser.add_argument("names", nargs="*", help=f"scripts to run [default: all]: {', '.join(names)}")
    parser.add_argument("--whole", action="store_true", help="not the quick versions: an hour and more for all")
    options = parser.parse_args()
    if strangers := [name for name in options.names if name not in names]:
        parser.error(f"no such script: {', '.join(strangers)}; there are {', '.join(names)}")
    broken, figures = [], []
    for name in options.names or names:
        print(f"figures: {name}", file=sys.stderr)
        with subprocess.Popen(command(names[name], whole=options.whole), stdout=subprocess.PIPE, text=True) as process:
            figures += told(process)
        broken += [name] if process.returncode else []
    return verdict(figures, broken)


def is_script(path: Path) -> bool:
    return path != Path(__file__) and '__name__ == "__main__"' in path.read_text(encoding="utf-8")


def command(path: Path, *, whole: bool) -> list[str]:
    return [sys.executable, str(path), *([] if whole else ["--quick"])]


def told(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    """The figures that *process* prints, which are printed here too."""
    for line in process.stdout or ():
        print(line, end="", flush=True)
        if line.startswith("{"):
            yield json.loads(line)


def verdict(figures: list[dict[str, Any]], broken: list[str]) -> int:
    """Say what was missed and what broke; the exit code."""
    aimed = [figure for figure in figures if figure["ok"] is not None]
    missed = [figure for figure in aimed if not figure["ok"]]
    print(f"figures: {len(figures)}, {len(aimed)} of them with a target, {len(missed)} missed", file=sys.stderr)
    for figure in missed:
        print(
            f"  missed: {figure['name']}: {figure['value']} {figure['unit']}, target {figure['target']}",
            file=sys.stderr,
        )
    for name in broken:
        print(f"  broke: {name}", file=sys.stderr)
    return 1 if missed or broken else 0


if __name__ == "__main__":
    sys.exit(main())
