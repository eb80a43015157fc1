"""
The picture of a flight: where the drone was, where the fixes put it, and the ellipses that ought to hold it.

Beside the map, on the random windows: what was promised and what was measured, and the errors of fix and members.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from radio.outcome import Measured
from radio.scene import HALF_SIDE_M, ORIGIN, RECEIVERS_EAST_NORTH_M
from radio.windows import INTERVAL_S, Windows
from sextant.answers import Fix
from sextant.geodesy import to_east_north
from sextant_cli.demo.drawing import (
    FAINT,
    HELD,
    INK,
    RECEIVER,
    Ellipses,
    ellipse_keys,
    ground,
    in_percent,
    key,
    plain,
    sheet,
    sights,
)

MEMBERS = ("#9c6ade", "#e8a33d", "#c2567a")
LEVEL = 0.9
"""The ellipses on the map: of the higher ones most would lie on top of one another."""

ELLIPSES = 24
"""As many as can be told apart along the track."""


def write_map(path: Path, flight: Windows, fixes: Sequence[Fix], random: Measured) -> None:
    """The picture of *fixes* of *flight*, and of what was measured on *random* windows, as PNG."""
    figure = sheet(14, 8.6, _title(random))
    panels = figure.subplot_mosaic(
        [["map", "promise"], ["map", "errors"]], width_ratios=[1.55, 1], height_ratios=[1, 1.05]
    )
    _map(panels["map"], flight, fixes)
    _promise(panels["promise"], random)
    _errors(panels["errors"], random)
    figure.legend(handles=_keys(), loc="outside lower left", ncols=6, fontsize=9, frameon=False)
    figure.savefig(path, dpi=120)


def _map(axes: Axes, flight: Windows, fixes: Sequence[Fix]) -> None:
    truth = flight.flight.east_north
    places = to_east_north(ORIGIN, [(fix.latitude, fix.longitude) for fix in fixes])
    shown = np.unique(np.linspace(0, len(fixes) - 1, min(ELLIPSES, len(fixes))).astype(int))
    axes.plot(*truth.T, color=INK, linewidth=1.6, zorder=3)
    axes.plot(*truth[0], "o", color=INK, markersize=7, zorder=3)
    axes.plot(*places.T, "x", color=FAINT, markersize=4, markeredgewidth=0.8, alpha=0.8, zorder=4)
    Ellipses.of(fixes, flight.truth, LEVEL).draw(axes, places, shown)
    sights(axes, places[shown], truth[shown], size=3.5)
    _receivers(axes)
    reach = 1.1 * HALF_SIDE_M
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach))
    ground(axes, f"one flight, {len(fixes)} fixes {INTERVAL_S:g} s apart, {len(shown)} with their {LEVEL:.0%} ellipses")


def _receivers(axes: Axes) -> None:
    axes.plot(*RECEIVERS_EAST_NORTH_M.T, "^", color=RECEIVER, markersize=11, zorder=6)
    for number, place in enumerate(RECEIVERS_EAST_NORTH_M, 1):
        label = axes.annotate(f"R{number}", place, xytext=(9, 5), textcoords="offset points", color=RECEIVER, zorder=7)
        label.set(weight="bold", path_effects=[withStroke(linewidth=3, foreground="white")])


def _keys() -> list[Line2D]:
    return [
        key("true track", INK, "o", 4, line=True),
        key("fix", FAINT, "x", 5),
        key("fix with its ellipse", INK, "+", 8),
        key("receiver", RECEIVER, "^", 8),
        *ellipse_keys("the drone"),
    ]


def _promise(axes: Axes, random: Measured) -> None:
    """Bars of measured coverage with their intervals, calibrated and not, at the line that was promised."""
    levels = list(random.scores.coverage)
    place = np.arange(len(levels))
    shares = np.array([random.scores.coverage[level] for level in levels])
    ends = np.abs(np.array([random.interval[level] for level in levels]).T - shares)
    axes.bar(place - 0.19, shares, 0.36, color=HELD, yerr=ends, ecolor=INK, capsize=4, label="conformal")
    axes.bar(place + 0.19, [random.chi_square[level] for level in levels], 0.36, color=FAINT, label="chi-square")
    axes.hlines(levels, place - 0.42, place + 0.42, color=INK, linewidth=2, label="promised")
    for x, share in zip(place, shares, strict=True):
        axes.annotate(f"{share:.1%}", (x - 0.19, 0.06), ha="center", color="white", weight="bold", fontsize=9)
    axes.set_xticks(place, [f"{level:.0%} promised" for level in levels])
    in_percent(axes, 0, 0.25, 0.5, 0.75, 1, top=1.2)  # the keys stand above the bars
    plain(axes, "drones inside their ellipse, with the 95% interval of the count")
    axes.legend(fontsize=9, frameon=False, loc="upper left", ncols=3)


def _errors(axes: Axes, random: Measured) -> None:
    """Cumulative errors: of the fused fix, of each member, and of the simplest answer."""
    share = (np.arange(len(random.errors_m)) + 0.5) / len(random.errors_m)
    for (name, errors), colour in zip(random.members.items(), MEMBERS, strict=False):
        axes.plot(np.sort(errors), share, color=colour, linewidth=1.2, label=f"{name} ({np.median(errors):.0f} m)")
    fused, centroid = random.errors_m, random.centroid_m
    axes.plot(np.sort(fused), share, color=HELD, linewidth=2.4, label=f"fused ({np.median(fused):.0f} m)")
    label = f"weighted centroid ({np.median(centroid):.0f} m)"
    axes.plot(np.sort(centroid), share, color=FAINT, linewidth=1.2, linestyle="--", label=label)
    axes.set(xlim=(0, np.quantile(centroid, 0.85)), xlabel="error (m)")
    in_percent(axes, 0, 0.2, 0.4, 0.6, 0.8, 1)
    plain(axes, "share of windows with at most that error (median in brackets)")
    axes.legend(fontsize=9, frameon=False, loc="lower right")


def _title(random: Measured) -> str:
    scores, level = random.scores, max(random.scores.coverage)
    return (
        f"A drone located by what six receivers hear of it: {scores.rows:,} held-back windows, median error "
        f"{scores.median_error_m:.0f} m; the {level:.0%} ellipses hold {scores.coverage[level]:.1%}"
    )
