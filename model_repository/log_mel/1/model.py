"""Windows of a signal in, checked; their log-mel spectra out."""

import triton_python_backend_utils as pb_utils

from sextant.backend import Shell
from sextant.blocks.log_mel import LogMel


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        self.shell = Shell(pb_utils, args, LogMel)

    def execute(self, requests: list[object]) -> list[object]:
        return self.shell.respond(requests)

    def finalize(self) -> None:
        self.shell.close()
