"""The command ``sextant``: a verb, then one noun. Results go to stdout, narration to stderr."""

from __future__ import annotations

import os
import signal
import sys


def main() -> None:
    """Run the command; say what to install where the command line's own packages are missing."""
    # A command that serves models has nobody to report to.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    try:
        from sextant_cli.command import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        code = 130
    except ImportError as error:
        if error.name not in {"click", "rich"}:
            raise
        sys.exit("the command line needs an extra: pip install 'triton-sextant[cli]'")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # nothing is left to interrupt
    sys.exit(code)


if __name__ == "__main__":
    main()
