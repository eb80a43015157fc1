"""
TensorRT plans from ONNX graphs, over the part of the API that ``tensorrt`` 10.12, 11 and ``tensorrt_rtx`` share.

A graph is parsed into a network whose types are its own; what the parser does not take comes back as a list of nodes.
From the network one plan is built for each kind of GPU, with an optimisation profile for the batches that are served.
"""

from sextant_export.tensorrt.building import build
from sextant_export.tensorrt.library import Library, open_library
from sextant_export.tensorrt.network import Network, Unsupported, parse, unsupported
from sextant_export.tensorrt.plan import Plan, plans_in

__all__ = ["Library", "Network", "Plan", "Unsupported", "build", "open_library", "parse", "plans_in", "unsupported"]
