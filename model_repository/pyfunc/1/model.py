"""The columns of an MLflow model in, what its own predict gives for them out."""

import sys
from functools import partial
from pathlib import Path

import triton_python_backend_utils as pb_utils

from sextant.backend import Shell
from sextant.blocks.pyfunc import Pyfunc, share_cores


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        sys.dont_write_bytecode = True  # Triton would take what is written beside the model for another version
        share_cores(args["model_config"])
        artifact = Path(args["model_repository"], args["model_version"], "artifact")
        self.shell = Shell(pb_utils, args, partial(Pyfunc, artifact, pb_utils.Logger.log_warn))

    def execute(self, requests: list[object]) -> list[object]:
        return self.shell.respond(requests)

    def finalize(self) -> None:
        self.shell.close()
