"""
The held-back flights as GeoJSON for any map, and as one picture.

The sky with its receivers, tracks and fixes; three fixes with every confidence level, to scale; how far a fix lies
ahead of the aircraft's own report, along its track; and for each rule what its ellipses promised and held.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D

from arrivals import Messages
from judging import Judged
from network import Network
from sextant.answers import Fix
from sextant.geodesy import to_east_north
from sextant.scores import offsets_m
from sextant_cli.demo.drawing import (
    FAINT,
    HELD,
    INK,
    MISSED,
    RECEIVER,
    Ellipses,
    apart,
    ellipse_keys,
    in_percent,
    key,
    plain,
    sheet,
    sights,
)
from sextant_cli.demo.geojson import feature, with_truth, write_features
from tdoa import Floats

Integers = npt.NDArray[np.int64]

MIDDLE = (48.0, 9.6)
"""The picture's origin; metres are counted from here."""

EAST_KM, NORTH_KM = (-215.0, 225.0), (-300.0, 240.0)
"""What is drawn; besides there are a few flights over the Rhine's mouth, and those five receivers in Portugal heard."""

LEVEL, MAGNIFIED = 0.95, 40.0
NEAR = 0.05
"""A promise is kept if what was held is nearer to it than this."""

CLOSE_UP_M = 430.0
SAME_TRACK_S, JOINED_S = 90.0, 300.0
SPEEDS_M_S = 80.0, 330.0


class Tracks(NamedTuple):
    """Rows of one aircraft one after the other: *before* and *after* ``(N,)``, their *way* ``(N, 2)`` of length one."""

    before: Integers
    after: Integers
    way: Floats


def write_geojson(path: Path, messages: Messages, fixes: Sequence[Fix], network: Network) -> int:
    """An RFC 7946 FeatureCollection: receivers, true tracks, fixes with their ellipses; how many features."""
    return write_features(path, [*_receivers(network, messages), *_tracks(messages), *_fixes(messages, fixes)])


def _receivers(network: Network, messages: Messages) -> Iterator[dict[str, Any]]:
    """Those that heard any of the messages."""
    heard = network.that_heard(messages.features)
    for serial, place in zip(network.serial[heard].tolist(), network.position[heard], strict=True):
        yield feature("Point", place, RECEIVER, receiver=serial)


def _tracks(messages: Messages) -> Iterator[dict[str, Any]]:
    for aircraft in np.unique(messages.aircraft).tolist():
        rows = np.flatnonzero(messages.aircraft == aircraft)
        line = messages.truth[rows[np.argsort(messages.time_s[rows], kind="stable")]]
        if len(line) > 1:
            yield feature("LineString", line, FAINT, aircraft=aircraft, true_track=True)


def _fixes(messages: Messages, fixes: Sequence[Fix]) -> Iterator[dict[str, Any]]:
    for row, (fix, place) in enumerate(zip(fixes, messages.truth, strict=True)):
        about = {"row": row, "aircraft": int(messages.aircraft[row]), "set": int(messages.set_number[row])}
        yield from with_truth(fix, place, **about)


def write_picture(
    path: Path, messages: Messages, fixes: Sequence[Fix], judged: Mapping[str, Judged], network: Network
) -> None:
    """The picture, as PNG; *judged* is each rule on all *messages*, what is served first."""
    figure = sheet(15, 9.2, _title(next(iter(judged.values()))))
    shown = _telling(messages, fixes)
    panels = figure.subplot_mosaic(
        [["map", *shown], ["map", *["late"] * len(shown)], ["map", *["promise"] * len(shown)]],
        width_ratios=[2.0, *[0.7] * len(shown)],
        height_ratios=[1.15, 0.95, 0.95],
    )
    _map(panels["map"], messages, fixes, network)
    for title, row in shown.items():
        _close_up(panels[title], messages, fixes, row, title)
    _late(panels["late"], messages, fixes)
    _promises(panels["promise"], judged)
    figure.savefig(path, dpi=130)


def _map(axes: Axes, messages: Messages, fixes: Sequence[Fix], network: Network) -> None:
    km = to_east_north(MIDDLE, messages.truth) / 1e3
    rows = np.flatnonzero(_drawn(km))
    order = np.lexsort((messages.time_s, messages.aircraft))
    joined = np.stack([order[:-1], order[1:]], axis=1)[_one_after_the_other(messages, order, JOINED_S)]
    axes.add_collection(LineCollection(list(km[joined]), colors=FAINT, linewidths=0.9, zorder=1))
    axes.plot(*km[rows].T, ".", color=FAINT, markersize=3, zorder=1)
    _magnified(axes, messages, km, fixes, rows)
    places = to_east_north(MIDDLE, network.position[network.that_heard(messages.features)]) / 1e3
    axes.plot(*places[_drawn(places)].T, "^", color=RECEIVER, markersize=8, zorder=4)
    axes.set_aspect("equal", anchor="N")
    axes.set(xlim=EAST_KM, ylim=NORTH_KM, xlabel="east of 48° N 9.6° E (km)", ylabel="north of it (km)")
    plain(
        axes,
        f"{len(rows)} of {len(messages)} fixes, some with their {LEVEL:.0%} ellipses {MAGNIFIED:.0f} times as large",
    )
    axes.legend(handles=_keys(), loc="upper center", bbox_to_anchor=(0.5, -0.07), ncols=3, fontsize=9, frameon=False)


def _drawn(km: Floats) -> npt.NDArray[np.bool_]:
    within: npt.NDArray[np.bool_] = (
        (km[:, 0] > EAST_KM[0]) & (km[:, 0] < EAST_KM[1]) & (km[:, 1] > NORTH_KM[0]) & (km[:, 1] < NORTH_KM[1])
    )
    return within


def _magnified(axes: Axes, messages: Messages, km: Floats, fixes: Sequence[Fix], rows: Integers) -> None:
    ellipses, scale = Ellipses.of(fixes, messages.truth, LEVEL), MAGNIFIED / 1e3
    chosen = rows[apart(km[rows], ellipses.semi_major_m[rows] * scale, most=len(rows))]
    ellipses.draw(axes, km, chosen, scale=scale)
    axes.plot(*km[chosen].T, "+", color=INK, markersize=5, markeredgewidth=0.8, zorder=3)


def _telling(messages: Messages, fixes: Sequence[Fix]) -> dict[str, int]:
    """Three rows to look at: an ordinary one, the longest ellipse that still fits, a report far behind its fix."""
    errors = np.linalg.norm(offsets_m(fixes, messages.truth), axis=1)
    ellipses = Ellipses.of(fixes, messages.truth, max(fixes[0].confidence_levels))
    longish = ellipses.semi_major_m / ellipses.semi_minor_m
    fits = ellipses.semi_major_m < 0.9 * CLOSE_UP_M
    late = np.where(~ellipses.held & (errors < 0.85 * CLOSE_UP_M) & (longish < np.median(longish)), errors, 0)
    return {
        "an ordinary fix": int(
            np.argmin(np.abs(errors - np.median(errors)) + 9 * np.abs(longish - np.median(longish)))
        ),
        "a long ellipse": int(np.argmax(np.where(fits & ellipses.held, longish, 0))),
        "a late report": int(np.argmax(late)),
    }


def _close_up(axes: Axes, messages: Messages, fixes: Sequence[Fix], row: int, title: str) -> None:
    """One fix to scale, its report, and the ellipse of every level."""
    fix, place = fixes[row], messages.truth[row : row + 1]
    here, truth = np.zeros((1, 2)), offsets_m([fix], place)
    for level in sorted(fix.confidence_levels, reverse=True):
        Ellipses.of([fix], place, level).draw(axes, here, np.array([0]))
    sights(axes, here, truth, size=4)
    axes.set_aspect("equal")
    axes.set(xlim=(-CLOSE_UP_M, CLOSE_UP_M), ylim=(-CLOSE_UP_M, CLOSE_UP_M), xlabel="east (m)", ylabel="north (m)")
    axes.set(xticks=[-400, -200, 0, 200, 400], yticks=[-400, -200, 0, 200, 400])
    plain(axes, f"{title}: {np.hypot(*truth[0]):.0f} m off")


def _late(axes: Axes, messages: Messages, fixes: Sequence[Fix]) -> None:
    """Where fixes lie, seen from the report: ahead, and to the left."""
    tracks = tracks_of(messages)
    ahead = -offsets_m([fixes[row] for row in tracks.before], messages.truth[tracks.before])
    along = np.sum(ahead * tracks.way, axis=1)
    left = ahead[:, 1] * tracks.way[:, 0] - ahead[:, 0] * tracks.way[:, 1]
    axes.axhline(0, color=FAINT, linewidth=0.8)
    axes.axvline(0, color=FAINT, linewidth=0.8)
    axes.plot(along, left, ".", color=HELD, markersize=6, alpha=0.6)
    axes.plot(0, 0, "o", color=INK, markersize=6)
    axes.annotate(
        "the aircraft's report",
        (0, 0),
        (-205, 85),
        color=INK,
        fontsize=9,
        arrowprops={"arrowstyle": "-", "color": INK},
    )
    axes.set(xlim=(-220, 420), ylim=(-130, 130), xlabel="metres ahead along the track", ylabel="metres to the left")
    axes.locator_params(axis="y", nbins=5)
    middle = (
        f"{np.median(along):+.0f} m ahead and {np.median(left):+.0f} m to the left in the median, for reports are late"
    )
    plain(axes, f"fixes seen from the report: {middle}", grid=False)


def tracks_of(messages: Messages) -> Tracks:
    """
    Pairs of rows of one aircraft less than 90 s apart, and which way it flew between them.

    Only at an airliner's speed: a pair of messages in one second says nothing of a direction.
    """
    order = np.lexsort((messages.time_s, messages.aircraft))
    same = _one_after_the_other(messages, order, SAME_TRACK_S)
    before, after = order[:-1][same], order[1:][same]
    flown = to_east_north(messages.truth[before], messages.truth[after])
    speed = np.hypot(*flown.T) / (messages.time_s[after] - messages.time_s[before])
    likely = (speed > SPEEDS_M_S[0]) & (speed < SPEEDS_M_S[1])
    way = flown[likely] / np.hypot(*flown[likely].T)[:, None]
    return Tracks(before[likely], after[likely], way)


def _one_after_the_other(messages: Messages, order: Integers, seconds: float) -> npt.NDArray[np.bool_]:
    """Which rows in *order* are followed by another of the same aircraft, within *seconds* but not at once."""
    passed = np.diff(messages.time_s[order])
    same: npt.NDArray[np.bool_] = (np.diff(messages.aircraft[order]) == 0) & (passed > 1) & (passed < seconds)
    return same


def _promises(axes: Axes, judged: Mapping[str, Judged]) -> None:
    """Of each rule, and of each level: a bar for what was held, and a line for what was promised."""
    place = np.arange(len(judged))
    levels = list(next(iter(judged.values())).coverage)
    for i, level in enumerate(levels):
        at, promised = place + (i - 1) * 0.27, float(level)
        shares = [one.coverage[level].share for one in judged.values()]
        colours = [HELD if abs(share - promised) < NEAR else MISSED for share in shares]
        axes.bar(at, shares, width=0.23, color=colours, alpha=0.85)
        axes.hlines([promised] * len(at), at - 0.13, at + 0.13, color=INK, linewidth=1.8)
        for x, share in zip(at, shares, strict=True):
            axes.annotate(f"{share:.0%}", (x, 0.02), ha="center", va="bottom", color="white", fontsize=7.5)
    axes.set_xticks(place, [rule.replace(", ", "\n").replace(" alone", "\nalone") for rule in judged])
    in_percent(axes, 0, 0.5, 1)
    words = ", ".join(f"{float(level):.0%}" for level in levels)
    plain(
        axes,
        f"reports inside the {words} ellipses: bar held (orange: {100 * NEAR:.0f} points off or more), line promised",
        grid=False,
    )
    axes.tick_params(axis="x", length=0, labelsize=8)


def _keys() -> list[Line2D]:
    return [
        key("receiver", RECEIVER, "^", 8),
        key("reported place, and track", FAINT, ".", 6, line=True),
        key("fix", INK, "+", 7),
        *ellipse_keys("the report"),
    ]


def _title(judged: Judged) -> str:
    return (
        f"{judged.rows} held-back messages of {judged.aircraft} aircraft: median error {judged.median_error_m:.0f} m; "
        f"the {LEVEL:.0%} ellipses hold {judged.coverage[f'{LEVEL:g}'].share:.1%} of the reported places"
    )
