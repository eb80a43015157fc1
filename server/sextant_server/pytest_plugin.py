"""
The fixture ``triton``: a running server on a temporary store, for anybody's own tests.

::

    @pytest.fixture(scope="module")
    def triton_store(triton_store):
        write_my_models(triton_store / "models")
        return triton_store


    def test_it_answers(triton):
        client = Client(triton.address.grpc)
        ...
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from sextant_server.embedded import EmbeddedTriton


@pytest.fixture(scope="module")
def triton_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store; override it to put models into ``models/`` before ``triton`` starts."""
    store = tmp_path_factory.mktemp("store")
    (store / "models").mkdir()
    return store


@pytest.fixture(scope="module")
def triton(triton_store: Path) -> Iterator[EmbeddedTriton]:
    """A running EmbeddedTriton with every model of ``triton_store`` loaded; one a test module."""
    from sextant_server.embedded import EmbeddedTriton
    from sextant_server.store import every_model

    with EmbeddedTriton(triton_store, models=every_model(triton_store)) as server:
        server.wait_ready()
        yield server
