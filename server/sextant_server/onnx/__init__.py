"""The ``onnxruntime`` backend that runs in Triton's Python processes, on a GPU or the CPU."""
