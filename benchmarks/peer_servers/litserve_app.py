"""LitServe: two workers behind two API servers that speak to them over ZeroMQ; bytes in, bytes out."""

# LitServe reads annotations as objects: no ``from __future__ import annotations`` here.
import sys
from typing import Annotated, Any

import litserve
import numpy as np
from fastapi import Body, Response
from workloads import asked_for

Bytes = Annotated[bytes, Body(media_type="application/octet-stream")]


class Peer(litserve.LitAPI):
    """One request is one call of the model."""

    def setup(self, device: Any) -> None:  # noqa: ARG002  LitServe's name
        """Open the model, in each worker."""
        self.answer, self.dims = asked_for()

    def decode_request(self, request: Bytes) -> Any:
        """FP32 rows, as they lie in memory."""
        return np.frombuffer(request, np.float32).reshape(-1, *self.dims)

    def predict(self, x: Any) -> Any:
        """The answer to rows."""
        return self.answer(x)

    def encode_response(self, output: Any) -> Response:
        """The answer as it lies in memory."""
        return Response(output.tobytes(), media_type="application/octet-stream")


if __name__ == "__main__":
    server = litserve.LitServer(Peer(), accelerator="cpu", workers_per_device=2, fast_queue=True)
    quiet = {"log_level": "warning", "access_log": False, "generate_client_file": False}
    server.run(host="127.0.0.1", port=int(sys.argv[1]), num_api_servers=2, **quiet)
