"""``sextant loadtest --tune``: the settings of a page, measured on a Triton of its own, and what suits it best."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from sextant_client.credentials import Credentials
from sextant_export.pipeline import Pipeline
from sextant_export.receipt import Receipt
from sextant_export.registry import Registry
from sextant_export.seals import require_sound
from sextant_export.store import Store
from sextant_loadtest.inputs import Inputs
from sextant_loadtest.load import LoadPlan, load
from sextant_loadtest.target import Target, inputs_of
from sextant_loadtest.tuning.bench import WARM_S, Bench, Tell
from sextant_loadtest.tuning.candidates import Candidates, candidates
from sextant_loadtest.tuning.release import release_of
from sextant_loadtest.tuning.search import Effort, Tuned, effort, search


@dataclass(frozen=True, kw_only=True)
class Session:
    """
    The release of *receipt* on a Triton of its own, the rows it is asked with, and what tuning it will take.

    *plan* says who asks.
    """

    page: Pipeline
    receipt: Receipt
    served: Candidates
    inputs: Inputs
    plan: LoadPlan
    cores: int
    effort: Effort

    def tune(self, objective: str = "throughput", tell: Tell = lambda *_: None) -> Tuned:
        """
        The settings that answer best by *objective*: ``throughput``, or ``p95`` for the slowest twentieth of answers.

        ``LoadTestError`` where a setting answers nothing.
        """
        bench = Bench(
            serves=self.served,
            inputs=self.inputs.feed,
            plan=replace(self.plan, duration_s=self.effort.slice_s),
            objective=objective,
            measure=load,
            tell=tell,
            slices=self.effort.slices,
            rounds=self.effort.rounds,
            deadline=time.monotonic() + self.effort.axes_s,
        )
        return search(bench, self.page.serving, self.cores)


@contextmanager
def tuning(
    page: Pipeline,
    store: Store,
    registry: Registry,
    plan: LoadPlan,
    *,
    duration_s: float | None = None,
    rows: Path | None = None,
    triton_home: Path | None = None,
) -> Iterator[Session]:
    """
    A session that tunes *page*, by a release of it that is in *store*; it takes *duration_s* seconds at the most.

    The store is read alone, and a server on it goes on as ever. *rows* is a file to ask with, *triton_home* another
    Triton than the embedded one. ``LoadTestError`` where there is no release, nothing to ask with, or too little time.
    """
    cores = len(os.sched_getaffinity(0))
    effort(page.serving, cores, 0.0, duration_s)  # too little time is said at once
    receipt = release_of(page, store, registry)
    require_sound(store, receipt)
    with (
        tempfile.TemporaryDirectory(prefix="sextant-tune-") as folder,
        candidates(receipt, store, Path(folder), triton_home) as served,
    ):
        target = Target(name=served.load(page.serving), page=page, receipt=receipt)
        inputs = inputs_of(target, served.url, store, registry, rows, Credentials())
        warming = replace(plan, pipeline=target.name, urls=(served.url,), duration_s=WARM_S)
        around_s = min(_around_s(warming, inputs) for _ in range(2))  # the first wakes up more than the next will
        planned = effort(page.serving, cores, around_s, duration_s)
        yield Session(page=page, receipt=receipt, served=served, inputs=inputs, plan=plan, cores=cores, effort=planned)


def _around_s(plan: LoadPlan, inputs: Inputs) -> float:
    """What it takes to start and to end a load on this machine."""
    begun = time.monotonic()
    load(plan, inputs.feed)
    return max(time.monotonic() - begun - plan.duration_s, 0.0)
