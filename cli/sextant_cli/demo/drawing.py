"""
What the pictures of all stories share: their colours, and how fixes, ellipses, axes and keys are drawn.

A cross is a fix and a dot the true place; an ellipse is blue where it holds that place and orange where it misses it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection, LineCollection
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from sextant.answers import Fix
from sextant.scores import inside, offsets_m
from sextant.tensors import Floats, Mask

from .survey import Integers

INK, FAINT, GRID = "#1f2933", "#7b8794", "#e4e7eb"
HELD, MISSED, RECEIVER = "#0b7fab", "#d9480f", "#2f9e44"
FILL = 0.1


@dataclass(frozen=True)
class Ellipses:
    """The ellipse of one confidence level of each of N fixes, and which of them *held* the true place."""

    confidence_level: float
    semi_major_m: Floats
    semi_minor_m: Floats
    orientation_deg: Floats
    held: Mask

    @classmethod
    def of(cls, fixes: Sequence[Fix], truth: Floats, confidence_level: float) -> Ellipses:
        """Those that were served with *fixes*; *truth* ``(N, 2)`` in degrees."""
        served = [fix.ellipse(confidence_level) for fix in fixes]
        return cls(
            confidence_level=confidence_level,
            semi_major_m=np.array([ellipse.semi_major_m for ellipse in served]),
            semi_minor_m=np.array([ellipse.semi_minor_m for ellipse in served]),
            orientation_deg=np.array([ellipse.orientation_deg for ellipse in served]),
            held=inside(fixes, offsets_m(fixes, truth), confidence_level),
        )

    def draw(self, axes: Axes, centres: Floats, rows: Integers, *, scale: float = 1.0) -> None:
        """Those of *rows* about *centres* ``(N, 2)`` east and north, in axes of which a metre is *scale* units."""
        for held, colour in ((True, HELD), (False, MISSED)):
            shown = rows[self.held[rows] == held]
            axes.add_collection(
                EllipseCollection(
                    2 * scale * self.semi_major_m[shown],
                    2 * scale * self.semi_minor_m[shown],
                    90 - self.orientation_deg[shown],
                    units="xy",
                    offsets=centres[shown],
                    offset_transform=axes.transData,
                    facecolors=[(colour, FILL)],
                    edgecolors=colour,
                    linewidths=1.1,
                    zorder=2,
                )
            )


def sights(axes: Axes, fixes: Floats, truth: Floats, size: float) -> None:
    """A cross for each fix, a dot of *size* points for its true place, and a line between; both ``(N, 2)``."""
    axes.add_collection(
        LineCollection(list(np.stack([fixes, truth], 1)), colors=INK, linewidths=0.7, alpha=0.7, zorder=4)
    )
    axes.plot(*fixes.T, "+", color=INK, markersize=size + 4, markeredgewidth=1, zorder=5)
    axes.plot(*truth.T, "o", color=INK, markersize=size, zorder=5)


def apart(centres: Floats, radius: Floats, most: int, first: Collection[int] = ()) -> Integers:
    """
    Rows whose circles do not overlap: *first*, and in a fixed random order others, up to *most* in all.

    >>> apart(np.array([[0.0, 0.0], [1.0, 0.0], [9.0, 0.0]]), np.ones(3), most=3, first=[1]).tolist()
    [1, 2]
    """
    chosen = list(first)
    for row in np.random.default_rng(0).permutation(len(centres)):
        gaps = np.linalg.norm(centres[chosen] - centres[row], axis=1)
        if len(chosen) < most and np.all(gaps > radius[chosen] + radius[row]):
            chosen.append(int(row))
    return np.array(sorted(chosen), dtype=np.int64)


def sheet(width: float, height: float, title: str) -> Figure:
    """An empty figure of so many inches, with room at its edges."""
    figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12), facecolor="white")
    figure.suptitle(title, color=INK, fontsize=14, x=0.01, ha="left")
    return figure


def plain(axes: Axes, title: str, *, grid: bool = True) -> None:
    """A small title on the left, a pale grid, and no box."""
    axes.set_title(title, fontsize=10, color=INK, loc="left")
    if grid:
        axes.grid(color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=INK, labelsize=9)


def ground(axes: Axes, title: str) -> None:
    """A map in metres east and north of the origin, equally long, at the top of its panel."""
    axes.set_aspect("equal", anchor="N")
    axes.set(xlabel="east of the origin (m)", ylabel="north of the origin (m)")
    plain(axes, title)


def in_percent(axes: Axes, *ticks: float, top: float = 1.08) -> None:
    """Shares from 0 to *top* upwards, written as percentages at *ticks*."""
    axes.set(ylim=(0, top), yticks=ticks)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))


def key(label: str, colour: str, marker: str, size: float, *, line: bool = False, fill: float = 1.0) -> Line2D:
    """One entry of a legend: a *marker* with a rim, with a *line* through it or without."""
    entry = Line2D([], [], linestyle="-" if line else "", color=colour, marker=marker, markersize=size, label=label)
    entry.set(markerfacecolor=(colour, fill), markeredgecolor=colour)
    return entry


def ellipse_keys(what: str) -> list[Line2D]:
    """The entries of the two colours of ellipses, which hold or miss *what*."""
    return [
        key(f"ellipse that holds {what}", HELD, "o", 11, fill=FILL),
        key(f"ellipse that misses {what}", MISSED, "o", 11, fill=FILL),
    ]
