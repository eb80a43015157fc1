"""Several members' positions in, one fix and its covariance out."""

import triton_python_backend_utils as pb_utils

from sextant.backend import Shell
from sextant.blocks.fuse import Fuse


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        self.shell = Shell(pb_utils, args, Fuse)

    def execute(self, requests: list[object]) -> list[object]:
        return self.shell.respond(requests)

    def finalize(self) -> None:
        self.shell.close()
