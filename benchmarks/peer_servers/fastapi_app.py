"""FastAPI and ONNX Runtime by hand: bytes in, bytes out, computed in the event loop of each of two workers."""

from __future__ import annotations

import numpy as np
from fastapi import FastAPI, Request, Response
from workloads import asked_for

answer, dims = asked_for()
app = FastAPI(openapi_url=None)


@app.post("/predict")
async def predict(request: Request) -> Response:
    """The answer to FP32 rows, both as they lie in memory."""
    rows = np.frombuffer(await request.body(), np.float32).reshape(-1, *dims)
    return Response(answer(rows).tobytes(), media_type="application/octet-stream")
