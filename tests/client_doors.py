"""Both clients as one function, so that each promise is written once and asked of both."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np

from sextant_client import AsyncClient, Client


def sync_door(name: str, *features: Any, client: dict[str, Any], method: str = "__call__", **tensors: Any) -> Any:
    with Client(**client) as opened:
        return getattr(opened.pipeline(name), method)(*features, **tensors)


def async_door(name: str, *features: Any, client: dict[str, Any], method: str = "__call__", **tensors: Any) -> Any:
    async def ask() -> Any:
        async with AsyncClient(**client) as opened:
            return await getattr(opened.pipeline(name), method)(*features, **tensors)

    return asyncio.run(ask())


DOORS: dict[str, Callable[..., Any]] = {"threads": sync_door, "event_loop": async_door}


def position_tensors(features: np.ndarray) -> dict[str, np.ndarray]:
    """A position answer that can be told from its row: its latitude is the row's first feature."""
    rows = len(features)
    return {
        "position": features[:, :2].astype(np.float64),
        "covariance": np.tile(np.eye(2), (rows, 1, 1)),
        "confidence_level": np.tile([0.5, 0.9], (rows, 1)),
        "ellipse": np.tile([[2.0, 1.0, 0.0], [4.0, 2.0, 0.0]], (rows, 1, 1)),
        "release": np.full((rows, 1), 7, np.int32),
    }
