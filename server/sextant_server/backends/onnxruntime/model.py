"""ONNX models on a Triton without the official backend of this name: the same configs, on the CPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import triton_python_backend_utils as pb_utils

from sextant_server.onnx.execution import Execution
from sextant_server.onnx.model import OnnxModel


class TritonPythonModel:
    """Triton's name for a model; all that it does is in ``sextant_server.onnx``."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Open the ONNX file, and refuse one that does not fit its configuration."""
        self.execution = Execution(pb_utils, OnnxModel.load(args))

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer each request."""
        return self.execution.respond(requests)
