"""What the tests against a running Triton share."""

from __future__ import annotations

import os

import pytest

from sextant_server.shared_memory import SHARED_MEMORY


@pytest.fixture
def regions():
    """The shared-memory regions of servers that a process, this one by default, has started."""

    def list_regions(launcher=None):
        pattern = f"*_sextant_{launcher or os.getpid()}_*"
        return {path.name for path in SHARED_MEMORY.glob(pattern)} - before

    before = set()
    before = list_regions()
    return list_regions
