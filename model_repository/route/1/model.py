"""The requests of one pipeline in, the answers of one of two releases of it out."""

import triton_python_backend_utils as pb_utils

from sextant.route_shell import RouteShell


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        self.shell = RouteShell(pb_utils, args)

    def execute(self, requests: list[object]) -> None:
        self.shell.accept(requests)

    def finalize(self) -> None:
        self.shell.close()
