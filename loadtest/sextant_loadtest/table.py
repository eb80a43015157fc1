"""The outcome of a load as text for people: figures by class of users, limits, errors, doubts."""

from __future__ import annotations

from collections.abc import Iterator

from sextant_loadtest.figures import Figures
from sextant_loadtest.verdict import Judged, Verdict
from sextant_promote.columns import aligned
from sextant_promote.gates.result import figure

FIGURES = ("users", "requests", "errors", "requests/s", "under way", "p50 ms", "p95 ms", "p99 ms", "max ms")
LIMITS = ("limit of", "figure", "wanted", "measured", "kept")


def table(verdict: Verdict) -> str:
    """What was measured, what was wanted, and what there is to say about it."""
    return "\n\n".join(filter(None, ("\n".join(part) for part in _parts(verdict))))


def figure_rows(verdict: Verdict) -> list[tuple[str, ...]]:
    """One row for each class of users, and one for all where there are several; the first row is the head."""
    by_class = dict(verdict.outcome.by_class)
    if len(by_class) > 1:
        by_class["all"] = verdict.outcome.total
    return [FIGURES, *(_row(users, figures) for users, figures in by_class.items())]


def limit_rows(verdict: Verdict) -> list[tuple[str, ...]]:
    """One row for each limit; the first row is the head."""
    return [LIMITS, *map(_limit, verdict.judged)]


def error_lines(verdict: Verdict) -> Iterator[str]:
    """Each error with its count and what the first of them said."""
    for name, count in verdict.outcome.total.errors.items():
        said = verdict.outcome.sentences.get(name, "").partition("\n")[0]
        yield f"{count:,} x {name}: {said}"


def _parts(verdict: Verdict) -> Iterator[list[str]]:
    if verdict.outcome.by_class:
        yield aligned(figure_rows(verdict), right=range(1, len(FIGURES)))
        yield aligned(limit_rows(verdict), right={3})
    yield list(error_lines(verdict))
    yield list(verdict.outcome.warnings)


def _row(users: str, figures: Figures) -> tuple[str, ...]:
    times = (figures.p50_ms, figures.p95_ms, figures.p99_ms, figures.max_ms)
    rates = (figure(figures.throughput_rps), figure(figures.under_way))
    counts = (f"{figures.requests:,}", f"{figures.failed:,}", *rates)
    return users, *counts, *map(_ms, times)


def _ms(value: float | None) -> str:
    return "-" if value is None else figure(value)


def _limit(judged: Judged) -> tuple[str, ...]:
    measured = "-" if judged.measured is None else figure(judged.measured)
    return judged.users, judged.figure, judged.wanted, measured, "yes" if judged.passed else "NO"
