"""What was measured of each setting, and what came of it, as text for people."""

from __future__ import annotations

from collections.abc import Iterator

from sextant_export.pipeline import Serving
from sextant_loadtest.tuning.axes import AXES, said
from sextant_loadtest.tuning.bench import Comparison
from sextant_loadtest.tuning.choice import Trial, gain
from sextant_loadtest.tuning.search import Tuned
from sextant_promote.columns import aligned
from sextant_promote.gates.result import figure

HEAD = ("", "requests/s", "p95 ms", "against now", "errors", "")


def table(tuned: Tuned) -> str:
    """One part for each comparison, and the settings that could not be measured."""
    rows = [HEAD, *(row for comparison in tuned.comparisons for row in _rows(comparison, tuned.objective))]
    refused = [f"not measured: {words(setting)}: {why}" for setting, why in tuned.refused.items()]
    return "\n".join([*aligned(rows, right=range(1, 5)), *refused])


def words(setting: Serving) -> str:
    """
    A setting in words.

    >>> words(Serving(instances=2))
    '2 instances of 1 thread, batches after 500 us'
    """
    instances, threads, batching = (said(setting, axis) for axis in AXES)
    copies = f"{instances} instance{'' if instances == '1' else 's'} of {threads} thread{'' if threads == '1' else 's'}"
    return f"{copies}, {'batches ' + batching if setting.dynamic_batching else 'no batches'}"


def _rows(comparison: Comparison, objective: str) -> Iterator[tuple[str, ...]]:
    now = comparison.trials[0]
    yield (comparison.axis, *[""] * 5)
    for trial in comparison.trials:
        name = said(trial.setting, comparison.axis) if comparison.axis in AXES else words(trial.setting)
        place = " (now)" if trial is now else ""
        taken = "taken" if trial.setting == comparison.taken else ""
        yield (f"  {name}{place}", *_figures(trial, now, objective), f"{trial.failed:,}", taken)


def _figures(trial: Trial, now: Trial, objective: str) -> tuple[str, ...]:
    against = "" if trial is now else str(gain(trial.merit(objective), now.merit(objective)))
    return figure(trial.median_rps), figure(trial.median_p95_ms), against
