"""
What the networks see: the six receivers' log-mel spectrograms, of one window and of a whole flight.

Over a flight the pilot wanders through the bands as the drone flies towards a receiver or away from it: its Doppler.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

from radio.propagation import LIGHT_M_S
from radio.receivers import DURATION_S, RECEIVERS
from radio.scene import CARRIER_HZ, RECEIVER_HEIGHT_M, seen_from
from radio.windows import INTERVAL_S, Windows
from sextant.blocks import LogMel
from sextant.tensors import Floats
from sextant_cli.demo.drawing import INK

DARKEST_DB, BRIGHTEST_DB = -85.0, -5.0
NEAR_HZ = 900.0
"""How much about the carrier is shown of a flight."""


def write_spectrograms(path: Path, flight: Windows, block: LogMel) -> None:
    """Of each receiver: the window in the middle of *flight* above, its whole pilot below, as PNG."""
    pictures = block(signal=flight.iq)["log_mel"].astype(np.float64)
    figure = Figure(figsize=(15, 7.4), layout="constrained", facecolor="white")
    rows = figure.subplots(2, RECEIVERS, sharey="row", height_ratios=[1, 1.15])
    middle, doppler = len(flight) // 2, doppler_hz(flight)
    for receiver in range(RECEIVERS):
        image = _window(rows[0, receiver], pictures[middle, receiver], block)
        _flight(rows[1, receiver], pictures[:, receiver], doppler[:, receiver], block)
        rows[0, receiver].set_title(f"R{receiver + 1}", color=INK, loc="left", weight="bold")
    rows[0, 0].set_ylabel("Hz from the carrier")
    rows[1, 0].set_ylabel("Hz from the carrier")
    figure.colorbar(image, ax=rows, label="log-mel level (dB)", pad=0.01)
    figure.suptitle(_title(middle), color=INK, fontsize=13, x=0.01, ha="left")
    figure.savefig(path, dpi=110)


def doppler_hz(flight: Windows) -> Floats:
    """Where the pilot ought to stand at each receiver, ``(N, R)``: the drone's own error and its Doppler."""
    towards = seen_from(flight.flight, RECEIVER_HEIGHT_M).radial_m_s
    return np.asarray(flight.flight.off_hz[:, None] + towards * CARRIER_HZ / LIGHT_M_S)


def _window(axes: Axes, picture: Floats, block: LogMel) -> QuadMesh:
    """One window, ``(bands, frames)``: bands are not evenly wide, so each is drawn as wide as it is."""
    axes.set_xlabel("ms", fontsize=9)
    return _mesh(axes, np.linspace(0, 1000 * DURATION_S, picture.shape[1] + 1), picture, block)


def _flight(axes: Axes, pictures: Floats, doppler: Floats, block: LogMel) -> None:
    """All windows ``(N, bands, frames)``, each a column, and the pilot's true frequency as a line."""
    times_s = np.arange(len(pictures) + 1) * INTERVAL_S
    _mesh(axes, times_s, pictures.mean(axis=-1).T, block)
    axes.plot(times_s[:-1], doppler, color="white", linewidth=0.8, linestyle=(0, (4, 4)))
    axes.set_ylim(-NEAR_HZ, NEAR_HZ)
    axes.set_xlabel("s of flight", fontsize=9)


def _mesh(axes: Axes, columns: Floats, levels: Floats, block: LogMel) -> QuadMesh:
    centres = block.edges_hz[:, 1]
    edges = np.concatenate([block.edges_hz[:1, 0], (centres[1:] + centres[:-1]) / 2, block.edges_hz[-1:, 2]])
    axes.tick_params(colors=INK, labelsize=8)
    return axes.pcolormesh(columns, edges, levels, vmin=DARKEST_DB, vmax=BRIGHTEST_DB, cmap="magma", rasterized=True)


def _title(middle: int) -> str:
    return (
        f"What the networks see. Above: one window, {middle * INTERVAL_S:.0f} s into the flight. "
        "Below: the pilot over the whole flight, and where its Doppler ought to put it (dashed)"
    )
