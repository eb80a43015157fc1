"""
PyTriton: ``bind`` of two functions of one process, which Triton asks in batches; KServe's binary tensors.

Requests wait for company as long as they do in Sextant's pipeline of the same model.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig
from workloads import asked_for, facts_of


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
    facts = facts_of(os.environ["PEER_WORKLOAD"], Path(os.environ["PEER_FOLDER"]))
    joined = DynamicBatcher(max_queue_delay_microseconds=facts["max_queue_delay_us"])
    alone = TritonConfig(http_address="127.0.0.1", http_port=int(sys.argv[1]), allow_grpc=False, allow_metrics=False)
    with Triton(config=alone) as triton:
        triton.bind(
            model_name="peer",
            infer_func=[function(), function()],
            inputs=[Tensor(name="rows", dtype=np.float32, shape=dims)],
            outputs=[Tensor(name="answer", dtype=given.dtype.type, shape=given.shape[1:])],
            config=ModelConfig(max_batch_size=64, batcher=joined),
            strict=False,
        )
        triton.serve()
