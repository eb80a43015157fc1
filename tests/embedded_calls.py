"""Calls of a running Triton as plain clients make them."""

from __future__ import annotations

import numpy as np
import tritonclient.grpc as grpc_client

TYPES = {"float32": "FP32", "object": "BYTES", "int64": "INT64"}


def connect(triton):
    """A plain gRPC client of *triton*."""
    return grpc_client.InferenceServerClient(triton.address.grpc.removeprefix("grpc://"))


def tensor(name, array):
    """*array* as an input."""
    made = grpc_client.InferInput(name, list(array.shape), TYPES[str(array.dtype)])
    made.set_data_from_numpy(np.ascontiguousarray(array))
    return made


def ask(triton, model, array, *, timeout_s=30):
    """``y`` for the input ``x``."""
    with connect(triton) as client:
        return client.infer(model, [tensor("x", array)], client_timeout=timeout_s).as_numpy("y")
