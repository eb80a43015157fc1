"""
The gates of a spec, measured through Triton: on the candidate, and on the release that serves where a limit needs it.

Both are asked by their own names, ``locate.r4`` and ``locate.r3``, in the same run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from sextant.errors import GateFailed, PromoteError
from sextant_client import Client
from sextant_export.gate import ON_LABELLED, ON_OWN_ROWS, UNDER_LOAD, Gate, Limit
from sextant_export.pipeline import Pipeline
from sextant_export.receipt import Receipt
from sextant_export.registry import Registry
from sextant_export.store import Store
from sextant_promote.gates.arm import Arm
from sextant_promote.gates.contract import judged_contract
from sextant_promote.gates.labelled import Labelled, labelled_rows
from sextant_promote.gates.load import Load
from sextant_promote.gates.load_test import judged_load, require_load_test
from sextant_promote.gates.measuring import Figures, measured
from sextant_promote.gates.memory import MemoryMeter, memory_meter
from sextant_promote.gates.quality import coverage_name
from sextant_promote.gates.result import GateResult, figure, judged


def require_gates(
    pipeline: Pipeline,
    candidate: Receipt,
    url: str,
    *,
    serving: Receipt | None,
    registry: Registry,
    store: Store,
    metrics: str | None = None,
    memory: MemoryMeter | None = None,
    load: Load | None = None,
) -> tuple[GateResult, ...]:
    """
    Every gate of *pipeline*, measured through the Triton at *url* on *candidate*, whose receipt holds its second proof.

    *serving* is the receipt of the release that serves, None where nothing does: relative limits pass then.  *memory*
    is the meter begun before the candidate was loaded, see :func:`memory_meter`; without it one begins here, which may
    need the URL of the server's *metrics*.

    ``GateFailed`` holds all results where one was not passed; ``PromoteError`` says why one cannot be measured, as
    where the serving release is not loaded; the errors of known cases, registry and client pass through.
    """
    gate = pipeline.gate
    if gate is None:
        return ()
    if gate.load is not None:
        require_load_test()
    meter = memory or memory_meter(pipeline, url, metrics, since="before it was first asked")
    rows = labelled_rows(pipeline, candidate, registry) if gate.asks else None
    compared = serving if gate.relative else None
    with Client(url) as client:
        arms = [Arm(client, candidate, serving=False)]
        arms += [Arm(client, compared, serving=True)] if compared else []
        figures = measured(pipeline, gate, arms, rows, store, load or Load())
        borne = judged_load(gate.load, url, arms, rows, store) if gate.load else ()
    if meter is not None:
        figures[0]["memory_mb"] = meter.growth_mb()
    results = (*_results(pipeline.answer, gate, figures, _notes(figures[0], rows, meter), rows), *borne)
    if gate.io_contract:
        results += (judged_contract(candidate, serving),)
    _refuse(candidate, results)
    return results


def _results(
    answer: str, gate: Gate, figures: Sequence[Figures], notes: Mapping[str, str], rows: Labelled | None
) -> Iterator[GateResult]:
    found, serving = figures[0], figures[1] if len(figures) > 1 else None
    for key, name, limit in _asked(answer, gate):
        other = None if serving is None else of_serving(serving, name, limit)
        on = rows.said if rows and key in (*ON_LABELLED, *UNDER_LOAD) else ""
        yield judged(name, limit, found[name], other, notes.get(key, ""), on)


def _asked(answer: str, gate: Gate) -> Iterator[tuple[str, str, Limit]]:
    """Each limit, with its key in the spec and the name of its figure."""
    for each in gate.coverage:
        yield "coverage", coverage_name(answer, each.level), each.at_least
    yield from ((name, name, limit) for name, limit in gate.limits.items())


def of_serving(serving: Figures, name: str, limit: Limit) -> float | None:
    """What the figures of what serves say under *name*; ``PromoteError`` where nothing, and *limit* needs it."""
    if limit.relative and name not in serving:
        raise PromoteError(f"{name}: the serving release does not answer it, so nothing can be measured against it")
    return serving.get(name)


def _notes(found: Figures, rows: Labelled | None, meter: MemoryMeter | None) -> Mapping[str, str]:
    """What is to be known of a figure, by its key in the spec."""
    own, floor = ON_OWN_ROWS if rows and rows.own else "", ""
    if "ece_floor" in found:
        floor = f"so many rows show {figure(found['ece_floor'], 2)} of confidences that are all true"
    return {"coverage": own, "ece": "; ".join(filter(None, [floor, own])), "memory_mb": meter.source if meter else ""}


def _refuse(candidate: Receipt, results: tuple[GateResult, ...]) -> None:
    failed = [result for result in results if not result.passed]
    if failed:
        said = "; ".join(map(str, failed))
        raise GateFailed(f"{candidate.name} is not promoted: {said}; what was served still is", results)
