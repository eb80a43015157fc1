"""What a call that is given up leaves behind: nothing."""

from __future__ import annotations

import asyncio
import gc
import warnings

import numpy as np
import pytest

from sextant.errors import DeadlineExceeded
from sextant_client import AsyncClient
from tls_front import Authority, tls_mute


def test_a_connection_that_is_given_up_is_closed_with_its_client(tmp_path):
    """Also one over TLS to a server that does not say goodbye: its socket was found by the garbage collector once."""
    authority = Authority(tmp_path)

    async def ask(port):
        async with AsyncClient(f"https://localhost:{port}", ca=authority.ca) as client:
            with pytest.raises(DeadlineExceeded):
                await client.pipeline("locate")(np.zeros(3, np.float32), timeout_s=0.3)

    with tls_mute(authority.vouch("localhost")) as port, warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", ResourceWarning)
        asyncio.run(ask(port))
        gc.collect()

    assert [str(warning.message) for warning in said] == []
