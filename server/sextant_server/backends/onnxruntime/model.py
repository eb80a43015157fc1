"""ONNX models on a Triton without the official backend of this name: the same configs, on a GPU or the CPU."""

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
        model = OnnxModel.load(args)
        pb_utils.Logger.log_info(model.runs_on)
        self.execution = Execution(pb_utils, model)

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer each request."""
        return self.execution.respond(requests)
