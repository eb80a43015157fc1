"""What Triton's Python backend hands a model, as far as a shell uses it: a working stand-in, not a mock."""

from __future__ import annotations

import numpy as np


class Tensor:
    def __init__(self, name, array):
        self._name, self._array = name, array

    def name(self):
        return self._name

    def as_numpy(self):
        return self._array


class TritonError(Exception):
    INTERNAL, INVALID_ARG, UNAVAILABLE, CANCELLED = 1, 3, 4, 7

    def __init__(self, message, code=INTERNAL):
        super().__init__(message)
        self._message, self._code = message, code

    def message(self):
        return self._message

    def code(self):
        return self._code


class InferenceRequest:
    def __init__(self, tensors):
        self._tensors = [Tensor(name, np.asarray(array)) for name, array in tensors.items()]

    def inputs(self):
        return self._tensors


class InferenceResponse:
    def __init__(self, output_tensors=None, error=None):
        self.output_tensors, self.error = output_tensors or [], error

    def arrays(self):
        return {tensor.name(): tensor.as_numpy() for tensor in self.output_tensors}


class Logger:
    lines: list[str] = []  # noqa: RUF012 - one log a process, as in Triton

    @classmethod
    def log_error(cls, line):
        cls.lines.append(line)
