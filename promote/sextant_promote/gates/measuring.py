"""The figures of the releases that are asked: what answers are worth, what a load shows, what a proof says."""

from __future__ import annotations

from collections.abc import Sequence

from sextant_export.evidence import read_proof
from sextant_export.gate import Gate
from sextant_export.pipeline import Pipeline
from sextant_export.step_problems import MEMBERS
from sextant_export.store import Store
from sextant_promote.gates.arm import Arm
from sextant_promote.gates.labelled import Labelled
from sextant_promote.gates.load import Ask, Load, p95s_ms, throughputs_rps
from sextant_promote.gates.parity import parity_share
from sextant_promote.gates.quality import of_labels, of_positions

Figures = dict[str, float]


def measured(
    pipeline: Pipeline, gate: Gate, arms: Sequence[Arm], rows: Labelled | None, store: Store, load: Load
) -> list[Figures]:
    """
    The figures that *gate* asks for, of each of *arms*, by their names.

    Answers to labelled *rows* are scored; *load* says how much single rows are asked, for latency where memory alone is
    wanted too, since what is never asked holds less.
    """
    figures = [Figures() for _ in arms]
    if gate.on_labelled and rows is not None:
        for arm, found in zip(arms, figures, strict=True):
            found.update(_quality(pipeline.answer, arm, rows))
    asks = _asking(pipeline, arms, rows, store) if gate.asks else []
    if asks and (gate.p95_ms or gate.memory_mb):
        _enter(figures, "p95_ms", p95s_ms(asks, load))
    if asks and gate.throughput_rps:
        _enter(figures, "throughput_rps", throughputs_rps(asks, load))
    if gate.parity:
        _enter(figures, "parity", [parity_share(arm.receipt) for arm in arms])
    return figures


def _enter(figures: Sequence[Figures], name: str, values: Sequence[float]) -> None:
    for found, value in zip(figures, values, strict=True):
        found[name] = value


def _quality(answer: str, arm: Arm, rows: Labelled) -> Figures:
    given = arm.answers(rows)
    return of_positions(given, rows.cases.truth) if answer == "position" else of_labels(given, rows.cases.truth)


def _asking(pipeline: Pipeline, arms: Sequence[Arm], rows: Labelled | None, store: Store) -> list[Ask]:
    """How each arm is asked for a single row: labelled ones, or those that a member alone was proven on."""
    if rows is not None:
        return [arm.one_of(rows) for arm in arms]
    if pipeline.answer != "tensors" or pipeline.spec["steps"] != [MEMBERS]:
        return []
    ((feed, _),) = read_proof(store, arms[0].receipt).values()
    return [arm.one_of_tensors(feed) for arm in arms]
