"""What the tests against a running Triton share."""

from __future__ import annotations

import os

import pytest
from tritonclient.grpc import InferenceServerClient

from sextant_server.shared_memory import SHARED_MEMORY


@pytest.fixture(scope="module")
def client(triton):
    """NVIDIA's own client of the module's Triton."""
    with InferenceServerClient(triton.address.grpc.removeprefix("grpc://")) as opened:
        yield opened


@pytest.fixture
def regions():
    """The shared-memory regions of servers that a process, this one by default, has started."""

    def list_regions(launcher=None):
        pattern = f"*_sextant_{launcher or os.getpid()}_*"
        return {path.name for path in SHARED_MEMORY.glob(pattern)} - before

    before = set()
    before = list_regions()
    return list_regions
