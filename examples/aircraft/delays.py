"""
What the training rows say about the network: each receiver's delay, the air, and the day's pressure.

A cable, a filter, a clock that is some ten nanoseconds off: each receiver stamps all it hears a little late, always by
the same amount.  Five arrivals have two more than the three unknowns need, and over some hundred messages these two are
enough to tell the receivers' delays from each other.  The reported positions only say where to linearise: what of a
residual could be a shift of the aircraft is projected out, so that late reports, which are worse than late receivers,
do not bend the clocks.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from network import RECEPTIONS, Features, Network, receivers
from tdoa import Floats, Heard, earth_centred, linear, slowness

LARGEST_M = 30.0
"""A residual counts in full up to here, and beyond only by its sign (Huber)."""

ROUNDS = 30
TIGHTNESS = 1.0
"""Each delay is held to 0 as by so many messages: what few have heard moves little."""


def pressure(network: Network, features: Features, geometric_m: Floats) -> Network:
    """*network* with the median of height above the ellipsoid less barometric altitude."""
    return replace(network, above_pressure_m=float(np.median(geometric_m - features[:, -1])))


def surveyed(network: Network, features: Features, truth: Floats) -> Network:
    """*network* with the delays of its receivers, and of the air, that make the arrivals of *features* agree best."""
    heard = network.heard(features)
    serials, column = np.unique(receivers(features), return_inverse=True)
    knobs = _knobs(heard, truth, column.reshape(-1, RECEPTIONS), len(serials))
    found = _robust(knobs, *_free(heard, truth))
    delay_m = network.delay_m.copy()
    delay_m[np.searchsorted(network.serial, serials)] += found[:-1]
    return replace(network, delay_m=delay_m, air=network.air + float(found[-1]))


def _knobs(heard: Heard, truth: Floats, column: np.ndarray, count: int) -> Floats:
    """How each residual ``(N, S, K)`` answers to each delay, and to more air."""
    rows, receptions = column.shape
    knobs = np.zeros((rows, receptions, count + 1))
    knobs[np.arange(rows)[:, None], np.arange(receptions), column] = 1
    straight = np.linalg.norm(earth_centred(truth, heard.altitude_m)[:, None] - heard.place, axis=-1)
    knobs[..., -1] = straight * slowness(heard.height_m, heard.altitude_m[:, None])
    return knobs


def _free(heard: Heard, truth: Floats) -> tuple[Floats, Floats]:
    """Residuals ``(N, S)`` at the reported places, and what may explain them for free: a shift, another moment."""
    residual, jacobian = linear(heard, truth)
    return residual, np.concatenate([jacobian, np.ones((*residual.shape, 1))], axis=-1)


def _robust(knobs: Floats, residual: Floats, free: Floats) -> Floats:
    """The knobs' values by iterated weighted least squares, each message's *free* directions solved away."""
    hold = np.diag([TIGHTNESS] * (knobs.shape[-1] - 1) + [1e-9])
    weight = np.ones_like(residual)
    found = np.zeros(knobs.shape[-1])
    for _ in range(ROUNDS):
        turned = np.swapaxes(free * weight[..., None], 1, 2)
        solved = np.linalg.inv(turned @ free + 1e-9 * np.eye(free.shape[-1])) @ turned
        left = knobs - free @ (solved @ knobs)
        weighted = np.swapaxes(knobs * weight[..., None], 1, 2)
        found = np.linalg.solve(
            (weighted @ left).sum(axis=0) + hold,
            (np.swapaxes(left, 1, 2) * weight[:, None] @ residual[..., None]).sum(axis=0)[:, 0],
        )
        rest = (residual - knobs @ found)[..., None]
        size = np.abs(rest - free @ (solved @ rest))[..., 0]
        weight = 1 / np.maximum(1.0, size / LARGEST_M)
    return found
