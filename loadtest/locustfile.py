"""
The same users and shapes on Locust's own page: ``locust -f loadtest/locustfile.py``, then http://localhost:8089.

The host is the Triton's URL, of gRPC or of HTTP. Which class of users asks is decided, when a test starts, by what the
pipeline answers.
"""

from __future__ import annotations

from sextant_loadtest.swarm.page import listen
from sextant_loadtest.swarm.shapes import Chosen, Ramp, Soak, Spike, Steady
from sextant_loadtest.swarm.users import (
    LabelOverGrpc,
    LabelOverHttp,
    PositionOverGrpc,
    PositionOverHttp,
    RecordOverGrpc,
    RecordOverHttp,
    TensorsOverGrpc,
    TensorsOverHttp,
)

__all__ = [
    "Chosen",
    "LabelOverGrpc",
    "LabelOverHttp",
    "PositionOverGrpc",
    "PositionOverHttp",
    "Ramp",
    "RecordOverGrpc",
    "RecordOverHttp",
    "Soak",
    "Spike",
    "Steady",
    "TensorsOverGrpc",
    "TensorsOverHttp",
]

listen()
