"""
The picture of a run: where things were, where the fixes put them, and the ellipses that ought to hold them.

Three panels: the whole survey with as many ellipses as can be read; a close-up with every confidence level;
and for each level what was promised beside what was measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection, LineCollection
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from sextant.answers import Fix
from sextant.geodesy import to_east_north
from sextant.scores import Scores, evaluate, inside, offsets_m
from sextant.tensors import Floats, Mask

from .survey import Integers, Survey

INK, FAINT, HELD, MISSED, RECEIVER = "#1f2933", "#7b8794", "#0b7fab", "#d9480f", "#2f9e44"
FEWEST_ELLIPSES, FEWEST_CLOSE_UP, MOST_ELLIPSES = 18, 5, 90
CLOSE_UP = 3.5, 0.25
"""Half the close-up's height: in ordinary semi-major axes, and at most this share of the whole."""

WIDE = np.array([1.3, 1.0])


@dataclass(frozen=True)
class Ellipses:
    """Every fix's ellipse of one confidence level, and which of them *held* the true place."""

    confidence_level: float
    semi_major_m: Floats
    semi_minor_m: Floats
    orientation_deg: Floats
    held: Mask

    @classmethod
    def of(cls, fixes: Sequence[Fix], truth: Floats, confidence_level: float) -> Ellipses:
        """Those that were served with *fixes*; *truth* in degrees."""
        served = [fix.ellipse(confidence_level) for fix in fixes]
        return cls(
            confidence_level=confidence_level,
            semi_major_m=np.array([ellipse.semi_major_m for ellipse in served]),
            semi_minor_m=np.array([ellipse.semi_minor_m for ellipse in served]),
            orientation_deg=np.array([ellipse.orientation_deg for ellipse in served]),
            held=inside(fixes, offsets_m(fixes, truth), confidence_level),
        )


@dataclass(frozen=True)
class Plot:
    """What is drawn, in metres east and north of the survey's origin; the highest level comes first."""

    truth: Floats
    fixes: Floats
    levels: tuple[Ellipses, ...]

    @classmethod
    def of(cls, fixes: Sequence[Fix], survey: Survey, confidence_levels: Iterable[float]) -> Plot:
        """*fixes* of the rows of *survey*."""
        return cls(
            truth=survey.east_north,
            fixes=to_east_north(survey.origin, [(fix.latitude, fix.longitude) for fix in fixes]),
            levels=tuple(Ellipses.of(fixes, survey.truth, level) for level in sorted(confidence_levels, reverse=True)),
        )


def write_figure(path: Path, fixes: Sequence[Fix], survey: Survey) -> None:
    """The picture of *fixes* of the rows of *survey*, as PNG."""
    scores = evaluate(fixes, survey.truth)
    plot = Plot.of(fixes, survey, scores.coverage)
    figure = Figure(figsize=(14, 9), layout=ConstrainedLayoutEngine(h_pad=0.12), facecolor="white")
    panels = figure.subplot_mosaic([["map", "near"], ["map", "promise"]], width_ratios=[1.5, 1], height_ratios=[1.9, 1])
    _map(panels["map"], plot, survey)
    _close_up(panels["near"], plot, panels["map"])
    _promise(panels["promise"], scores)
    figure.suptitle(_title(survey, scores), color=INK, fontsize=14, x=0.01, ha="left")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)


def apart(centres: Floats, radius: Floats, most: int) -> Integers:
    """
    Up to *most* rows whose circles do not overlap, in a fixed random order.

    >>> apart(np.array([[0.0, 0.0], [1.0, 0.0], [9.0, 0.0]]), np.ones(3), most=3).tolist() in ([0, 2], [1, 2])
    True
    """
    chosen: list[int] = []
    for row in np.random.default_rng(0).permutation(len(centres)):
        gaps = np.linalg.norm(centres[chosen] - centres[row], axis=1)
        if len(chosen) < most and np.all(gaps > radius[chosen] + radius[row]):
            chosen.append(int(row))
    return np.array(sorted(chosen), dtype=np.int64)


def readable(centres: Floats, radius: Floats, fewest: int) -> Integers:
    """Rows whose ellipses can be told apart; without room for *fewest* such, they overlap a little."""
    rows = apart(centres, radius, MOST_ELLIPSES)
    while len(rows) < min(fewest, len(radius)) and radius.max() > 1:
        radius = radius * 0.8
        rows = apart(centres, radius, MOST_ELLIPSES)
    return rows


def densest(places: Floats, size_m: float) -> Floats:
    """The place with the most others within *size_m* east and north of it."""
    sample = places[np.linspace(0, len(places) - 1, min(len(places), 400)).astype(int)]
    near = np.abs(sample[:, None] - places).max(axis=2) < size_m
    middle: Floats = sample[near.sum(axis=1).argmax()]
    return middle


def _map(axes: Axes, plot: Plot, survey: Survey) -> None:
    outer = plot.levels[0]
    axes.plot(*plot.truth.T, ".", color=FAINT, markersize=1.6, alpha=0.45, zorder=1)
    if survey.receivers is not None:
        axes.plot(*to_east_north(survey.origin, survey.receivers).T, "^", color=RECEIVER, markersize=7, zorder=3)
    rows = readable(plot.fixes, outer.semi_major_m, FEWEST_ELLIPSES)
    _ellipses(axes, plot, outer, rows)
    _sights(axes, plot, rows, size=3)
    _metres(axes, f"{len(rows)} of {len(plot.fixes):,} fixes with their {outer.confidence_level:.0%} ellipses")
    axes.margins(0.09)
    keys = _legend(outer, receivers=survey.receivers is not None)
    axes.legend(handles=keys, loc="upper center", bbox_to_anchor=(0.5, -0.07), ncols=3, fontsize=9, frameon=False)


def _close_up(axes: Axes, plot: Plot, whole: Axes) -> None:
    corner, size = _frame(plot)
    near = np.flatnonzero(np.all(np.abs(plot.fixes - corner - size / 2) < 0.45 * size, axis=1))
    rows = near[readable(plot.fixes[near], plot.levels[0].semi_major_m[near], FEWEST_CLOSE_UP)]
    for ellipses in plot.levels:
        _ellipses(axes, plot, ellipses, rows)
    _sights(axes, plot, rows, size=5)
    axes.set(xlim=(corner[0], corner[0] + size[0]), ylim=(corner[1], corner[1] + size[1]))
    _metres(axes, "close up: " + ", ".join(f"{level.confidence_level:.0%}" for level in plot.levels[::-1]))
    whole.indicate_inset((corner[0], corner[1], size[0], size[1]), edgecolor=INK, alpha=0.9)


def _frame(plot: Plot) -> tuple[Floats, Floats]:
    """South-west corner and size of the close-up, where fixes are densest."""
    axes_high, share = CLOSE_UP
    half = min(
        axes_high * float(np.median(plot.levels[0].semi_major_m)),
        share * float(np.ptp(plot.truth, axis=0).max()),
    )
    return densest(plot.fixes, half) - half * WIDE, 2 * half * WIDE


def _ellipses(axes: Axes, plot: Plot, ellipses: Ellipses, rows: Integers) -> None:
    for held, colour in ((True, HELD), (False, MISSED)):
        shown = rows[ellipses.held[rows] == held]
        axes.add_collection(
            EllipseCollection(
                2 * ellipses.semi_major_m[shown],
                2 * ellipses.semi_minor_m[shown],
                90 - ellipses.orientation_deg[shown],
                units="xy",
                offsets=plot.fixes[shown],
                offset_transform=axes.transData,
                facecolors=[(colour, 0.10)],
                edgecolors=colour,
                linewidths=1.1,
                zorder=2,
            )
        )


def _sights(axes: Axes, plot: Plot, rows: Integers, size: float) -> None:
    """A cross for the fix, a dot for the true place, and a line between them."""
    ends = np.stack([plot.fixes[rows], plot.truth[rows]], axis=1)
    axes.add_collection(LineCollection(list(ends), colors=INK, linewidths=0.7, alpha=0.7, zorder=4))
    axes.plot(*plot.fixes[rows].T, "+", color=INK, markersize=size + 3, markeredgewidth=1, zorder=5)
    axes.plot(*plot.truth[rows].T, "o", color=INK, markersize=size, zorder=5)


def _promise(axes: Axes, scores: Scores) -> None:
    levels, shares = list(scores.coverage), list(scores.coverage.values())
    place = np.arange(len(levels))
    axes.bar(place, shares, width=0.5, color=HELD, alpha=0.85)
    axes.hlines(levels, place - 0.36, place + 0.36, color=INK, linewidth=2.2)
    for x, share in zip(place, shares, strict=True):
        axes.annotate(f"{share:.1%}", (x, share / 2), ha="center", va="center", color="white", fontweight="bold")
    axes.set_xticks(place, [f"{level:.0%} promised" for level in levels])
    axes.set(ylim=(0, 1.08), yticks=[0, 0.5, 1], yticklabels=["0%", "50%", "100%"])
    axes.set_title("true places inside: bar measured, line promised", fontsize=10, color=INK, loc="left")
    _bare(axes)


def _metres(axes: Axes, title: str) -> None:
    axes.set_aspect("equal")
    axes.set(xlabel="east of the origin (m)", ylabel="north of the origin (m)")
    axes.set_title(title, fontsize=10, color=INK, loc="left")
    axes.grid(color="#e4e7eb", linewidth=0.7)
    axes.set_axisbelow(True)
    _bare(axes)


def _bare(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=INK, labelsize=9)


def _legend(outer: Ellipses, *, receivers: bool) -> list[Line2D]:
    level = f"{outer.confidence_level:.0%} ellipse"
    keys = [
        _key("true place", INK, "o", 4),
        _key("fix", INK, "+", 7),
        _key("every held-back place", FAINT, ".", 4),
        _key(f"{level} that holds it", HELD, "o", 11, fill=0.12),
        _key(f"{level} that misses it", MISSED, "o", 11, fill=0.12),
    ]
    return [*keys, _key("receiver", RECEIVER, "^", 6)] if receivers else keys


def _key(label: str, colour: str, marker: str, size: float, fill: float = 1) -> Line2D:
    return Line2D(
        [],
        [],
        linestyle="",
        color=colour,
        marker=marker,
        markersize=size,
        label=label,
        markerfacecolor=(colour, fill),
    )


def _title(survey: Survey, scores: Scores) -> str:
    level = max(scores.coverage)
    return (
        f"{survey.name}: {scores.rows:,} held-back fixes, median error {scores.median_error_m:.1f} m; "
        f"the {level:.0%} ellipses hold {scores.coverage[level]:.1%} of the true places"
    )
