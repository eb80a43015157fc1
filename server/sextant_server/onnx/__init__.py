"""The ``onnxruntime`` backend that runs in Triton's Python processes, on the CPU."""
