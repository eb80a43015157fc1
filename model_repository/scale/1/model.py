"""Features of one range in, checked and brought to another range out."""

import triton_python_backend_utils as pb_utils

from sextant.backend import Shell
from sextant.blocks.scale import Scale


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        self.shell = Shell(pb_utils, args, Scale)

    def execute(self, requests: list[object]) -> list[object]:
        return self.shell.respond(requests)

    def finalize(self) -> None:
        self.shell.close()
