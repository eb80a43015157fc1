"""What Triton's Python backend hands a model, as far as a shell uses it: a working stand-in, not a mock."""

from __future__ import annotations

import weakref

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
    def __init__(self, tensors, asked=()):
        self._tensors = [Tensor(name, np.asarray(array)) for name, array in tensors.items()]
        self._asked = list(asked)

    def requested_output_names(self):
        return self._asked

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

    log_warn = log_error


class Metric:
    """One metric of a family, which must be alive, and written by one thread at a time."""

    def __init__(self, family, labels):
        self._family, self._key = weakref.ref(family), (family.name, frozenset(labels.items()))
        MetricFamily.written.setdefault(self._key, 0.0)

    def increment(self, amount):
        assert self._family() is not None, "Triton forgets a metric whose family is gone"
        assert amount >= 0
        MetricFamily.written[self._key] += amount

    def set(self, value):
        MetricFamily.written[self._key] = value


class MetricFamily:
    COUNTER, GAUGE = "counter", "gauge"
    written: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}  # noqa: RUF012 - one page a server, as in Triton

    def __init__(self, name, description, kind):
        self.name, self.description, self.kind = name, description, kind

    def Metric(self, labels):  # noqa: N802 - Triton's word
        return Metric(self, labels)


def written(name, **labels):
    """What the page of metrics says."""
    return MetricFamily.written[name, frozenset(labels.items())]
