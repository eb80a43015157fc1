"""The modules of ``examples/aircraft``, which import one another by bare name as a script's do; simulated skies."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

EXAMPLE = Path(__file__).parents[1] / "examples" / "aircraft"

sys.path.insert(0, str(EXAMPLE))
try:
    import arrivals
    import delays
    import lateness
    import network
    import tdoa
finally:
    sys.path.remove(str(EXAMPLE))

__all__ = ["EXAMPLE", "Sky", "arrivals", "delays", "lateness", "network", "ring", "sky", "tdoa"]


class Sky(NamedTuple):
    """*heard* by the solver, what is true of it, and the same as rows of FP32 *features*."""

    heard: tdoa.Heard
    truth: np.ndarray
    features: np.ndarray


def ring(delay_m: np.ndarray | None = None) -> network.Network:
    """Nine receivers: eight on an uneven ring of some 120 km, one amid them, up to 800 m above the sea."""
    draw = np.random.default_rng(4)
    bearing = np.linspace(0, 2 * np.pi, 8, endpoint=False) + draw.normal(0, 0.15, 8)
    away = draw.uniform(70e3, 150e3, 8)
    east_north = np.concatenate([[[0.0, 0.0]], np.stack([np.sin(bearing), np.cos(bearing)], axis=1) * away[:, None]])
    return network.Network(
        serial=np.arange(1, 10),
        position=tdoa.moved(np.full((9, 2), [47.8, 9.5]), east_north),
        height_m=draw.uniform(50, 800, 9),
        delay_m=np.zeros(9) if delay_m is None else delay_m,
    )


def sky(rows: int, *, sigma_m: float = 0.0, receivers: network.Network | None = None, seed: int = 0) -> Sky:
    """*rows* messages, each heard by five of the *receivers*, with normal errors of *sigma_m*."""
    draw, receivers = np.random.default_rng(seed), receivers or ring()
    truth = tdoa.moved(np.full((rows, 2), [47.8, 9.5]), draw.uniform(-140e3, 140e3, (rows, 2)))
    altitude = draw.uniform(4e3, 12e3, rows)
    chosen = np.argsort(draw.random((rows, 9)), axis=1)[:, :5]
    place = tdoa.earth_centred(receivers.position, receivers.height_m)[chosen]
    height = receivers.height_m[chosen]
    path = tdoa.lengths(tdoa.earth_centred(truth, altitude), altitude, place, height)
    arrived = path + receivers.delay_m[chosen] + draw.normal(0, 1, path.shape) * sigma_m
    after = arrived - arrived.min(axis=1, keepdims=True)
    features = np.concatenate([receivers.serial[chosen], after, np.full((rows, 5), 50), altitude[:, None]], axis=1)
    heard = tdoa.Heard(place, height, after, np.ones((rows, 5)), altitude)
    return Sky(heard, truth, features.astype(np.float32))
