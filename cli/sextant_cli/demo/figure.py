"""
The picture of a run: where things were, where the fixes put them, and the ellipses that ought to hold them.

Three panels: the whole survey with as many ellipses as can be read; a close-up with every confidence level;
and for each level what was promised beside what was measured.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from sextant.answers import Fix
from sextant.geodesy import to_east_north
from sextant.scores import Scores, evaluate
from sextant.tensors import Floats, Mask

from .drawing import (
    FAINT,
    HELD,
    INK,
    RECEIVER,
    Ellipses,
    apart,
    ellipse_keys,
    ground,
    in_percent,
    key,
    plain,
    sheet,
    sights,
)
from .survey import Integers, Survey

FEWEST_ELLIPSES, FEWEST_CLOSE_UP, MOST_ELLIPSES = 18, 5, 90
CLOSE_UP = 3.5, 0.25
"""Half the close-up's height: in ordinary semi-major axes, and at most this share of the whole."""

WIDE = np.array([1.3, 1.0])


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


@dataclass(frozen=True)
class Frame:
    """What the close-up shows: its south-west *corner* and its *size*, east and north in metres."""

    corner: Floats
    size: Floats

    @classmethod
    def of(cls, plot: Plot) -> Frame:
        """Where fixes are densest."""
        axes_high, share = CLOSE_UP
        half = min(
            axes_high * float(np.median(plot.levels[0].semi_major_m)),
            share * float(np.ptp(plot.truth, axis=0).max()),
        )
        return cls(densest(plot.fixes, half) - half * WIDE, 2 * half * WIDE)

    def holds(self, places: Floats) -> Mask:
        """Which *places* ``(N, 2)`` lie in it, and not at its edge."""
        within: Mask = np.all(np.abs(places - self.corner - self.size / 2) < 0.45 * self.size, axis=1)
        return within


def write_figure(path: Path, fixes: Sequence[Fix], survey: Survey) -> None:
    """The picture of *fixes* of the rows of *survey*, as PNG."""
    scores = evaluate(fixes, survey.truth)
    plot = Plot.of(fixes, survey, scores.coverage)
    figure = sheet(14, 9, _title(survey, scores))
    panels = figure.subplot_mosaic([["map", "near"], ["map", "promise"]], width_ratios=[1.5, 1], height_ratios=[1.9, 1])
    frame, radius = Frame.of(plot), plot.levels[0].semi_major_m
    near = np.flatnonzero(frame.holds(plot.fixes))
    close = near[readable(plot.fixes[near], radius[near], FEWEST_CLOSE_UP)]
    _map(panels["map"], plot, survey, readable(plot.fixes, radius, FEWEST_ELLIPSES, close))
    _close_up(panels["near"], plot, frame, close)
    panels["map"].indicate_inset((*frame.corner, *frame.size), edgecolor=INK, alpha=0.9)
    _promise(panels["promise"], scores)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)


def readable(centres: Floats, radius: Floats, fewest: int, first: Collection[int] = ()) -> Integers:
    """Rows, *first* among them, whose ellipses can be told apart; without room for *fewest*, they overlap a little."""
    rows = apart(centres, radius, MOST_ELLIPSES, first)
    while len(rows) < min(fewest, len(radius)) and radius.max() > 1:
        radius = radius * 0.8
        rows = apart(centres, radius, MOST_ELLIPSES, first)
    return rows


def densest(places: Floats, size_m: float) -> Floats:
    """The place with the most others within *size_m* east and north of it."""
    sample = places[np.linspace(0, len(places) - 1, min(len(places), 400)).astype(int)]
    near = np.abs(sample[:, None] - places).max(axis=2) < size_m
    middle: Floats = sample[near.sum(axis=1).argmax()]
    return middle


def _map(axes: Axes, plot: Plot, survey: Survey, rows: Integers) -> None:
    outer, receivers = plot.levels[0], survey.receivers
    axes.plot(*plot.truth.T, ".", color=FAINT, markersize=1.6, alpha=0.45, zorder=1)
    if receivers is not None:
        axes.plot(*to_east_north(survey.origin, receivers).T, "^", color=RECEIVER, markersize=7, zorder=3)
    outer.draw(axes, plot.fixes, rows)
    sights(axes, plot.fixes[rows], plot.truth[rows], size=3)
    ground(axes, f"{len(rows)} of {len(plot.fixes):,} fixes with their {outer.confidence_level:.0%} ellipses")
    axes.margins(0.09)
    keys = _keys(receivers=receivers is not None)
    axes.legend(handles=keys, loc="upper center", bbox_to_anchor=(0.5, -0.07), ncols=3, fontsize=9, frameon=False)


def _close_up(axes: Axes, plot: Plot, frame: Frame, rows: Integers) -> None:
    for ellipses in plot.levels:
        ellipses.draw(axes, plot.fixes, rows)
    sights(axes, plot.fixes[rows], plot.truth[rows], size=5)
    (west, south), (wide, high) = frame.corner, frame.size
    axes.set(xlim=(west, west + wide), ylim=(south, south + high))
    levels = ", ".join(f"{ellipses.confidence_level:.0%}" for ellipses in plot.levels[::-1])
    ground(axes, f"from the framed part, close up: {levels} ellipses")


def _promise(axes: Axes, scores: Scores) -> None:
    levels, shares = list(scores.coverage), list(scores.coverage.values())
    place = np.arange(len(levels))
    axes.bar(place, shares, width=0.5, color=HELD, alpha=0.85)
    axes.hlines(levels, place - 0.36, place + 0.36, color=INK, linewidth=2.2)
    for x, share in zip(place, shares, strict=True):
        axes.annotate(f"{share:.1%}", (x, share / 2), ha="center", va="center", color="white", fontweight="bold")
    axes.set_xticks(place, [f"{level:.0%} promised" for level in levels])
    in_percent(axes, 0, 0.5, 1)
    plain(axes, "true places inside their ellipse: bar measured, line promised", grid=False)


def _keys(*, receivers: bool) -> list[Line2D]:
    keys = [
        key("true place", INK, "o", 4),
        key("fix", INK, "+", 7),
        key("every held-back place", FAINT, ".", 4),
        *ellipse_keys("the true place"),
    ]
    return [*keys, key("receiver", RECEIVER, "^", 6)] if receivers else keys


def _title(survey: Survey, scores: Scores) -> str:
    level = max(scores.coverage)
    return (
        f"{survey.name}: {scores.rows:,} held-back fixes, median error {scores.median_error_m:.1f} m; "
        f"the {level:.0%} ellipses hold {scores.coverage[level]:.1%} of the true places"
    )
