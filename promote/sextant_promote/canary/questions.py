"""Known cases, asked of both arms of a trial in small batches: which of the two answered each of them badly."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sextant.answers import Fix, Label
from sextant.errors import ClientError, DeadlineExceeded, ModelNotReady, ServerBusy, ServerUnreachable
from sextant.scores import inside, offsets_m
from sextant.tensors import Floats, Mask
from sextant_client import Client
from sextant_export.known_cases import KnownCases
from sextant_export.pipeline import Pipeline
from sextant_export.receipt import Receipt
from sextant_export.registry import Registry
from sextant_promote.gates.labelled import labelled_rows

BATCH = 16
AWAY = (DeadlineExceeded, ModelNotReady, ServerBusy, ServerUnreachable)
"""Errors of a server that is busy, or that is starting again: they say nothing of one case."""
CRITERIA: Mapping[str, str] = {"label": "wrong", "position": "missed"}
"""What it is to answer a known case badly, by what the pipeline answers."""

Bad: TypeAlias = Callable[[Sequence[Any], NDArray[Any]], Mask]
Rows: TypeAlias = NDArray[np.intp]
NOTHING: Floats = np.zeros(0)


class Questions:
    """
    *cases* in a random order of their own, each asked once of the *serving* and the *candidate* release.

    Both are asked by name, past the router: the comparison is of the same cases, and costs no caller's request.
    """

    def __init__(
        self, client: Client, serving: Receipt, candidate: Receipt, cases: KnownCases, bad: Bad, seed: int
    ) -> None:
        self._serving, self._candidate = (_Arm(client, receipt, cases, bad) for receipt in (serving, candidate))
        self._count, self._left = len(cases), np.random.default_rng(seed).permutation(len(cases))

    def __len__(self) -> int:
        return self._count

    def next(self) -> Floats:
        """
        The differences of the next cases: 1 where the candidate alone was bad, -1 where the serving arm alone was.

        None of a server that cannot be asked now; the cases are kept for later.  A release that fails on a case was bad
        on it.
        """
        rows = self._left[:BATCH]
        try:
            serving, candidate = self._serving.bad(rows), self._candidate.bad(rows)
        except AWAY:
            return NOTHING
        self._left = self._left[BATCH:]
        return candidate.astype(np.float64) - serving


class _Arm:
    """One release and what it answers badly; it is told the group of each row where its own spec asks for it."""

    def __init__(self, client: Client, receipt: Receipt, cases: KnownCases, bad: Bad) -> None:
        self._ask, self._cases, self._bad = client.pipeline(receipt.name), cases, bad
        self._grouped = _column(receipt) is not None

    def bad(self, rows: Rows) -> Mask:
        """Which *rows* it answers badly; where it fails on all of them together, they are asked one by one."""
        if not len(rows):
            return np.zeros(0, dtype=bool)
        try:
            return self._judged(rows)
        except AWAY:
            raise
        except ClientError:
            return np.array([True]) if len(rows) == 1 else np.concatenate([self.bad(row[None]) for row in rows])

    def _judged(self, rows: Rows) -> Mask:
        beside: dict[str, Any] = {"group": np.asarray(self._cases.apart)[rows][:, None]} if self._grouped else {}
        return self._bad(self._ask(self._cases.features[rows], **beside), self._cases.truth[rows])


def questions(
    pipeline: Pipeline, client: Client, serving: Receipt, candidate: Receipt, registry: Registry
) -> Questions | None:
    """
    What can be asked of two releases of *pipeline*: the rows that its gates are measured on.

    None where its spec names no known cases, where no answer of its sort is right or wrong, and where the two have no
    level in common or one is asked with a column that this spec does not name.
    """
    bad = _judge(pipeline, serving, candidate)
    rows = labelled_rows(pipeline, candidate, registry) if bad else None
    if bad is None or rows is None or {_column(serving), _column(candidate)} - {None, rows.column}:
        return None
    return Questions(client, serving, candidate, rows.cases, bad, seed=candidate.release)


def _column(receipt: Receipt) -> str | None:
    """The column that callers of a release send beside the features."""
    per = (receipt.spec.get("calibration") or {}).get("per") or {}
    column: str | None = per.get("column")
    return column


def _judge(pipeline: Pipeline, serving: Receipt, candidate: Receipt) -> Bad | None:
    if pipeline.answer == "label":
        return wrong
    levels = set(_levels(serving)) & set(_levels(candidate)) if pipeline.answer == "position" else ()
    if not levels:
        return None
    gated = [gate.level for gate in (pipeline.gate.coverage if pipeline.gate else ()) if gate.level in levels]
    return partial(missed, level=gated[0] if gated else max(levels))


def _levels(receipt: Receipt) -> Sequence[float]:
    levels: Sequence[float] = receipt.blocks.get("ellipse", {}).get("confidence_levels", ())
    return levels


def wrong(labels: Sequence[Label], truth: NDArray[Any]) -> Mask:
    """Which of *labels* are not the true ones."""
    return np.array([label.label != true for label, true in zip(labels, truth.tolist(), strict=True)], dtype=bool)


def missed(fixes: Sequence[Fix], truth: Floats, level: float) -> Mask:
    """Which true places ``(N, 2)`` lie outside the ellipse of *level*."""
    return ~inside(fixes, offsets_m(fixes, truth), level)
