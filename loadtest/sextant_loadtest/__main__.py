"""
One load for another program: ``python -m sextant_loadtest``, which a gate of a promotion runs.

A plan comes as one JSON object on stdin, the fields of a :class:`LoadPlan` and ``rows_file``, a file of evidence with
rows under ``rows``; the outcome goes as one to stdout. Exit code 1, with a sentence on stderr, where there is none.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from sextant.errors import SextantError
from sextant_export.evidence import unpack_proof
from sextant_loadtest.generators import ROWS
from sextant_loadtest.load import Interrupted, LoadPlan, load

FAILED, INTERRUPTED = 1, 130


def main() -> int:
    """Put the load on, and print what it came to; the exit code."""
    task = json.load(sys.stdin)
    inputs = unpack_proof(Path(task.pop("rows_file")), [ROWS])[ROWS][0]
    try:
        outcome = load(LoadPlan(**{**task, "urls": tuple(task["urls"])}), inputs)
    except Interrupted:
        return INTERRUPTED
    except SextantError as error:
        print(error, file=sys.stderr)  # noqa: T201  the sentence for whoever asked
        return FAILED
    print(json.dumps(outcome.to_dict()))  # noqa: T201  the result
    return 0


if __name__ == "__main__":
    sys.exit(main())
