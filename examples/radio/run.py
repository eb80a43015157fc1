"""
The radio location service, from nothing: ``python examples/radio/run.py``.

Simulates, trains, registers, promotes, asks and draws; what an earlier run left and is still valid is used again.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from sextant.errors import MissingExtra, SextantError

EXAMPLES = Path(__file__).resolve().parents[1]
INTERRUPTED, YOUR_FILE = 130, 1


def main(words: Sequence[str] | None = None) -> int:
    """Run with the command line's *words*; the exit code."""
    # An example that serves models has nobody to report to.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    options = _options().parse_args(words)
    try:
        print(_told(options))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except SextantError as error:
        print(f"radio: {error}", file=sys.stderr)
        return YOUR_FILE
    return 0


def _told(options: argparse.Namespace) -> str:
    try:
        from radio.service import Folder
        from radio.story import tell
        from radio.windows import FULL, QUICK
        from sextant_cli.narrator import Narrator
    except ImportError as error:
        if (error.name or "").startswith(("sextant", "radio")):
            raise  # ours is never an extra's fault
        raise MissingExtra("all", "examples/radio") from error

    sizes = QUICK if options.quick else FULL
    outcome = tell(sizes, Folder(options.var), Narrator(), fuse_graph=options.fuse_graph)
    return json.dumps(outcome.to_dict(), indent=2) if options.as_json else str(outcome)


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="examples/radio/run.py", description=__doc__)
    parser.add_argument("--var", type=Path, default=Path("var/radio"), metavar="FOLDER", help="where everything goes")
    parser.add_argument("--quick", action="store_true", help="few windows and epochs: under a minute, and worse fixes")
    parser.add_argument("--fuse-graph", action="store_true", help="serve all steps as one ONNX graph")
    parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON object on stdout")
    return parser


if __name__ == "__main__":
    # As a script this folder is where modules are sought: they are those of the package `radio`, one folder up.
    sys.path[0] = str(EXAMPLES)
    code = main()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # nothing is left to interrupt
    sys.exit(code)
