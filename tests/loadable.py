"""Small pipelines to put under load, one for each kind of answer, and rows to ask them with."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from client_store import WIDTH, Dims, write, write_locate

FEATURES = {"features": np.random.default_rng(4).uniform(1, 40, (64, WIDTH)).astype(np.float32)}
TAKES: Dims = {"features": ("FP32", [WIDTH])}
LABEL: Dims = {
    "label": ("BYTES", [1]),
    "probabilities": ("FP32", [2]),
    "agreement": ("FP32", [1]),
    "confidence": ("FP32", [1]),
    "tied": ("BOOL", [1]),
    "members_used": ("INT32", [1]),
    "calibrated": ("BOOL", [1]),
    "release": ("INT32", [1]),
}
RECORD: Dims = {
    "record": ("BYTES", [1]),
    "agreement": ("BYTES", [1]),
    "confidence": ("FP32", [1]),
    "record_supported": ("BOOL", [1]),
    "samples_used": ("INT32", [1]),
    "seeds": ("INT64", [2]),
    "release": ("INT32", [1]),
}
SORT = """
    def answer(self, request):
        rows = len(read(request, "features"))
        one = lambda value, kind: np.full((rows, 1), value, kind)
        return respond(label=one(b"hall", object), probabilities=np.tile(np.float32([0.25, 0.75]), (rows, 1)),
                       agreement=one(1, np.float32), confidence=one(75, np.float32), tied=one(False, bool),
                       members_used=one(3, np.int32), calibrated=one(True, bool), release=one(2, np.int32))
"""
READ = """
    def answer(self, request):
        rows = len(read(request, "features"))
        one = lambda value, kind: np.full((rows, 1), value, kind)
        return respond(record=one(b'{"grade": 2}', object), agreement=one(b'{"grade": 1.0}', object),
                       confidence=one(90, np.float32), record_supported=one(True, bool),
                       samples_used=one(7, np.int32), seeds=np.zeros((rows, 2), np.int64), release=one(3, np.int32))
"""
DOUBLE = """
    def answer(self, request):
        return respond(doubled=2 * read(request, "features"))
"""
LOST = """
    def answer(self, request):
        features = read(request, "features")
        return refuse("the first is below 20") if features[0, 0] < 20 else respond(doubled=2 * features)
"""


def write_loadable(models: Path) -> None:
    """Write ``locate``, ``sort``, ``report`` and ``double``, and ``half``, which refuses about every other row."""
    write_locate(models)
    write(models, "sort", TAKES, LABEL, SORT)
    write(models, "report", TAKES, RECORD, READ)
    write(models, "double", TAKES, {"doubled": ("FP32", [WIDTH])}, DOUBLE)
    write(models, "half", TAKES, {"doubled": ("FP32", [WIDTH])}, LOST)
