"""A fix and its covariance in, the position answer with its ellipses out."""

import triton_python_backend_utils as pb_utils

from sextant.backend import Shell
from sextant.blocks.ellipse import Ellipse


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        self.shell = Shell(pb_utils, args, Ellipse)

    def execute(self, requests: list[object]) -> list[object]:
        return self.shell.respond(requests)

    def finalize(self) -> None:
        self.shell.close()
