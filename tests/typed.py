"""A command as a person types it, run in the tests' own process: to import MLflow takes seconds, and once will do."""

from __future__ import annotations

import io
from collections.abc import Mapping
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from subprocess import CompletedProcess
from unittest.mock import patch

from sextant_cli.command import run


def typed(*words: object, folder: Path, environment: Mapping[str, str] | None = None) -> CompletedProcess[str]:
    """What ``sextant`` with *words* gives in *folder*: exit code, stdout and stderr."""
    arguments = [str(word) for word in words]
    out, err = io.StringIO(), io.StringIO()
    with chdir(folder), patch.dict("os.environ", environment or {}), redirect_stdout(out), redirect_stderr(err):
        code = run(arguments)
    return CompletedProcess(["sextant", *arguments], code, out.getvalue(), err.getvalue())
