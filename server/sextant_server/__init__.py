"""
The embedded Triton: a real ``tritonserver`` for development, demos and tests, without Docker.

>>> from sextant_server import EmbeddedTriton
>>> with EmbeddedTriton("var/store") as triton:  # doctest: +SKIP
...     print(triton.address.grpc)
grpc://127.0.0.1:40213
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sextant_server.address import ServerAddress, read_address
    from sextant_server.embedded import EmbeddedTriton
    from sextant_server.tracing import Tracing

__all__ = ["EmbeddedTriton", "ServerAddress", "Tracing", "read_address"]

_HOMES = {
    "EmbeddedTriton": "sextant_server.embedded",
    "ServerAddress": "sextant_server.address",
    "Tracing": "sextant_server.tracing",
    "read_address": "sextant_server.address",
}


def __getattr__(name: str) -> Any:
    """Each name on first use: pytest imports this package in every run, and must not pay for it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
