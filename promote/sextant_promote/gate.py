"""The gates of a spec: what a candidate must show through Triton, on known cases, before it answers anyone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sextant.errors import GateFailed
from sextant.scores import Scores, evaluate
from sextant_client import Client
from sextant_export.known_cases import KnownCases, read_known_cases
from sextant_export.pipeline import Gate, Pipeline
from sextant_export.receipt import Receipt

LATENCY_CALLS = 200


@dataclass(frozen=True, kw_only=True)
class GateResult:
    """One gate: what was *wanted*, what was *measured*, and whether that *passed*."""

    gate: str
    wanted: str
    measured: float
    passed: bool

    def __str__(self) -> str:
        return f"{self.gate} {self.measured:.4g} ({'' if self.passed else 'NOT '}{self.wanted})"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, for the receipt."""
        return asdict(self)


def require_gates(pipeline: Pipeline, receipt: Receipt, url: str) -> tuple[GateResult, ...]:
    """
    Measure every gate on the known cases of the spec's calibration, asked of the candidate through Triton.

    ``GateFailed`` names each gate that was not passed. Coverage on the rows that set the radii is no measurement of
    the future; it shows that what is served is what was calibrated.
    """
    if pipeline.gate is None or pipeline.calibration is None:
        return ()
    cases = read_known_cases(pipeline.calibration)
    with Client(url) as client:
        ask = client.pipeline(receipt.name)
        scores = evaluate(ask(cases.features), cases.truth)
        latency_ms = _p95_ms(ask, cases) if pipeline.gate.p95_ms is not None else float("nan")
    results = tuple(_results(pipeline.gate, scores, latency_ms))
    failed = [result for result in results if not result.passed]
    if failed:
        raise GateFailed(
            f"{receipt.name} is not promoted: {'; '.join(map(str, failed))}; what was served still is",
            results,
        )
    return results


def _results(gate: Gate, scores: Scores, latency_ms: float) -> Iterator[GateResult]:
    if gate.coverage is not None:
        share = scores.coverage[gate.coverage.level]
        wanted = f"at least {gate.coverage.at_least:g}"
        name = f"coverage of the {gate.coverage.level:.0%} ellipse"
        yield GateResult(gate=name, wanted=wanted, measured=share, passed=share >= gate.coverage.at_least)
    measured = {
        "median_error_m": scores.median_error_m,
        "p95_error_m": scores.p95_error_m,
        "p95_ms": latency_ms,
    }
    for name, value in measured.items():
        limit = getattr(gate, name)
        if limit is not None:
            yield GateResult(gate=name, wanted=f"at most {limit:g}", measured=value, passed=value <= limit)


def _p95_ms(ask: Any, cases: KnownCases) -> float:
    """The 95th percentile of single calls, one after the other, in milliseconds."""
    times = []
    for row in cases.features[:LATENCY_CALLS]:
        begun = time.perf_counter()
        ask(row)
        times.append(time.perf_counter() - begun)
    return float(np.quantile(times, 0.95)) * 1000
