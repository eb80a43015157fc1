"""Calls of a running Triton as plain clients make them."""

from __future__ import annotations

import json
import urllib.request

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


def posted(url, model, arrays, *, headers=None, timeout_s=30):
    """The outputs for the inputs *arrays*, both by name: asked over HTTP in JSON, as by curl."""
    inputs = [
        {"name": name, "datatype": TYPES[str(array.dtype)], "shape": array.shape, "data": array.ravel().tolist()}
        for name, array in arrays.items()
    ]
    body = json.dumps({"inputs": inputs}).encode()
    request = urllib.request.Request(f"{url}/v2/models/{model}/infer", body, headers or {})
    with urllib.request.urlopen(request, timeout=timeout_s) as reply:
        outputs = json.load(reply)["outputs"]
    return {output["name"]: np.array(output["data"]).reshape(output["shape"]) for output in outputs}


def ask(triton, model, array, *, timeout_s=30):
    """``y`` for the input ``x``."""
    with connect(triton) as client:
        return client.infer(model, [tensor("x", array)], client_timeout=timeout_s).as_numpy("y")
