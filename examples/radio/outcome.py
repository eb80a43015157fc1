"""What the example measured through Triton, as it is printed and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from radio.windows import Windows, centroid_errors_m, errors_m
from sextant.answers import Fix
from sextant.binomial import coverage_interval
from sextant.scores import Scores, chi_square_coverage, evaluate
from sextant.tensors import Floats


@dataclass(frozen=True, kw_only=True)
class Measured:
    """
    How good the fixes of one held-out set are.

    *interval* is where each coverage may lie, so few being counted (95 %, exact); *chi_square* what the coverage would
    be without calibration; *members* each member's own errors in metres, *centroid* the simplest answer's.
    """

    scores: Scores
    interval: Mapping[float, tuple[float, float]]
    chi_square: Mapping[float, float]
    errors_m: Floats
    members: Mapping[str, Floats]
    centroid_m: Floats

    @classmethod
    def of(cls, fixes: Sequence[Fix], windows: Windows, members: Mapping[str, Floats]) -> Measured:
        """Of *fixes* of *windows*, and where each of *members* alone puts them, latitude and longitude ``(N, 2)``."""
        scores = evaluate(fixes, windows.truth)
        inside = {level: round(share * scores.rows) for level, share in scores.coverage.items()}
        return cls(
            scores=scores,
            interval={level: coverage_interval(count, scores.rows) for level, count in inside.items()},
            chi_square=chi_square_coverage(fixes, windows.truth),
            errors_m=errors_m(np.array([(fix.latitude, fix.longitude) for fix in fixes]), windows.truth),
            members={name: errors_m(places, windows.truth) for name, places in members.items()},
            centroid_m=centroid_errors_m(windows),
        )

    @property
    def best_member(self) -> str:
        """The member whose median error is the smallest."""
        return min(self.members, key=lambda name: float(np.median(self.members[name])))

    @property
    def best_member_median_error_m(self) -> float:
        """That error."""
        return float(np.median(self.members[self.best_member]))

    def to_dict(self) -> dict[str, Any]:
        """In plain JSON values, rounded to what was measured."""
        return {
            **self.scores.to_dict(),
            "coverage_interval": {f"{level:g}": list(ends) for level, ends in self.interval.items()},
            "chi_square_coverage": {f"{level:g}": share for level, share in self.chi_square.items()},
            "best_member": self.best_member,
            "best_member_median_error_m": self.best_member_median_error_m,
            "member_median_error_m": {name: float(np.median(errors)) for name, errors in self.members.items()},
            "centroid_median_error_m": float(np.median(self.centroid_m)),
        }

    def lines(self) -> list[str]:
        """As a person reads it."""
        scores, best = self.scores, self.best_member
        own, centroid = self.members[best], np.median(self.centroid_m)
        return [
            f"  error      median {scores.median_error_m:.0f} m   95th percentile {scores.p95_error_m:.0f} m",
            f"  instead    the best member alone, {best}: {np.median(own):.0f} m and {np.quantile(own, 0.95):.0f} m",
            f"             receivers' centroid, weighted by what they hear: {centroid:.0f} m",
            *(self._promise(level) for level in scores.coverage),
            f"  area       median {max(scores.coverage):.0%} ellipse {scores.median_area_m2 / 1e6:.2f} km2",
        ]

    def _promise(self, level: float) -> str:
        low, high = self.interval[level]
        return (
            f"  coverage   {level:.0%} promised: {self.scores.coverage[level]:.1%} ({low:.1%} to {high:.1%})   "
            f"uncalibrated, by chi-square: {self.chi_square[level]:.1%}"
        )


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """
    The whole run: the *random* windows, the *flight*, and the seconds of each step.

    *times_ms* are milliseconds of calls one after the other, *crowd_ms* of those of many callers at once.
    """

    random: Measured
    flight: Measured
    times_ms: Floats
    crowd_ms: Floats
    release: int
    fused_graph: bool
    seconds: Mapping[str, float]
    files: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of ``run.py --json``."""
        return {
            "random": self.random.to_dict(),
            "flight": self.flight.to_dict(),
            "p50_ms": float(np.quantile(self.times_ms, 0.5)),
            "p95_ms": float(np.quantile(self.times_ms, 0.95)),
            "crowd_p95_ms": float(np.quantile(self.crowd_ms, 0.95)),
            "release": self.release,
            "fused_graph": self.fused_graph,
            "seconds": dict(self.seconds),
            "files": dict(self.files),
        }

    def __str__(self) -> str:
        p50, p95 = np.quantile(self.times_ms, [0.5, 0.95])
        served = "one fused graph" if self.fused_graph else "the ensemble"
        along = "along the way neighbours share their shadows, so the intervals are too narrow"
        return "\n".join(
            [
                f"\n{self.random.scores.rows:,} held-back windows from anywhere",
                *self.random.lines(),
                f"\n{self.flight.scores.rows:,} held-back windows of one flight; {along}",
                *self.flight.lines(),
                f"\none window a call, over gRPC, {served}",
                f"  latency    p50 {p50:.2f} ms   p95 {p95:.2f} ms",
                f"  in a crowd p50 {np.median(self.crowd_ms):.0f} ms   p95 {np.quantile(self.crowd_ms, 0.95):.0f} ms",
                *(f"  {what:<11}{path}" for what, path in self.files.items()),
            ]
        )
