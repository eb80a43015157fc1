"""What a load looked like over time, as drawings in SVG that a page can hold."""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sextant_loadtest.figures import Samples
from sextant_loadtest.load import Outcome

BINS = 60
"""Into how many pieces the time is cut at most, none shorter than half a second."""
SHORTEST_S = 0.5
_QUANTILES = {"p50": (0.5, "#2a7f9e"), "p95": (0.95, "#d9822b"), "p99": (0.99, "#b03a48")}
_SIZE, _GREY = (9.0, 2.6), "#888888"


def drawings(outcome: Outcome, bounds: Mapping[str, Collection[float]]) -> dict[str, str]:
    """
    The drawings of *outcome* by their titles: requests and users, times, and how many were answered how soon.

    *bounds* are the limits of each figure in milliseconds, drawn as lines.
    """
    whole = Samples.joined(outcome.samples.values())
    if not len(whole):
        return {}
    edges = _edges(float(whole.ended_s.max()))
    return {
        "Requests a second, and users": _svg(lambda axes: _throughput(axes, outcome, whole, edges)),
        "Time until the answer": _svg(lambda axes: _times(axes, whole, edges, bounds)),
        "Share of requests that were answered within a time": _svg(lambda axes: _shares(axes, outcome.samples)),
    }


def _edges(end_s: float) -> NDArray[np.float64]:
    return np.linspace(0, end_s, max(2, min(BINS, int(end_s / SHORTEST_S)) + 1))


def _svg(draw: Any) -> str:
    """What *draw* puts on axes, as an ``<svg>`` element; text stays text."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "sextant", "font.size": 9, "font.family": "sans-serif"}):
        figure = Figure(figsize=_SIZE, layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#dddddd", linewidth=0.6)
        draw(axes)
        figure.legend(loc="outside upper right", ncols=6, frameon=False)
        written = io.StringIO()
        figure.savefig(written, format="svg", metadata={"Date": None}, transparent=True)
    text = written.getvalue()
    return text[text.index("<svg") :]


def _throughput(axes: Any, outcome: Outcome, whole: Samples, edges: NDArray[np.float64]) -> None:
    widths, middles = np.diff(edges), (edges[:-1] + edges[1:]) / 2
    answered = np.histogram(whole.ended_s[whole.answered], edges)[0] / widths
    failed = np.histogram(whole.ended_s[~whole.answered], edges)[0] / widths
    axes.plot(middles, answered, color="#2a7f9e", label="answered")
    if failed.any():
        axes.plot(middles, failed, color="#b03a48", label="failed")
    axes.set(xlabel="seconds", ylabel="requests/s", xlim=(0, edges[-1]), ylim=(0, None))
    users = axes.twinx()
    users.spines[["top"]].set_visible(False)
    at_s, there = [moment.at_s for moment in outcome.moments], [moment.users for moment in outcome.moments]
    users.step(at_s, there, where="post", color=_GREY, linewidth=1, label="users")
    users.set(ylabel="users", ylim=(0, None))


def _times(axes: Any, whole: Samples, edges: NDArray[np.float64], bounds: Mapping[str, Collection[float]]) -> None:
    ended, took = whole.ended_s[whole.answered], whole.took_ms[whole.answered]
    place = np.clip(np.digitize(ended, edges) - 1, 0, len(edges) - 2)
    parts = [took[place == one] for one in range(len(edges) - 1)]
    middles = (edges[:-1] + edges[1:]) / 2
    for name, (quantile, colour) in _QUANTILES.items():
        axes.plot(
            middles, [np.quantile(part, quantile) if len(part) else np.nan for part in parts], color=colour, label=name
        )
        for bound in bounds.get(f"{name}_ms", ()):
            axes.axhline(bound, color=colour, linestyle="--", linewidth=1, label=f"{name} at most {bound:g}")
    axes.set(xlabel="seconds", ylabel="ms", xlim=(0, edges[-1]), ylim=(0, None))


def _shares(axes: Any, samples: Mapping[str, Samples]) -> None:
    for users, each in samples.items():
        times, shares = each.took_ms[each.answered], np.linspace(0, 1, 500)
        axes.plot(np.quantile(times, shares) if len(times) else [], shares * 100 if len(times) else [], label=users)
    axes.set(xlabel="ms", ylabel="% of answered", xscale="log", ylim=(0, 100))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("{x:g}")
