"""PyTriton: ``bind`` of two functions of one process, which Triton asks in batches; KServe's binary tensors."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig
from workloads import asked_for


def function() -> Any:
    """What is bound: a session of its own."""
    answer, _ = asked_for()

    @batch
    def infer(rows: Any) -> list[Any]:
        return [answer(rows)]

    return infer


if __name__ == "__main__":
    answer, dims = asked_for()
    given = answer(np.zeros((1, *dims), np.float32))
    alone = TritonConfig(http_address="127.0.0.1", http_port=int(sys.argv[1]), allow_grpc=False, allow_metrics=False)
    with Triton(config=alone) as triton:
        triton.bind(
            model_name="peer",
            infer_func=[function(), function()],
            inputs=[Tensor(name="rows", dtype=np.float32, shape=dims)],
            outputs=[Tensor(name="answer", dtype=given.dtype.type, shape=given.shape[1:])],
            config=ModelConfig(max_batch_size=64, batcher=DynamicBatcher(max_queue_delay_microseconds=500)),
            strict=False,
        )
        triton.serve()
