"""
The gates of a spec: what a release must show before it serves, as figures or as multiples of what serves.

:mod:`sextant_export.gate_problems` finds what is wrong with them; here is what a sound section means.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

AT_MOST, AT_LEAST = "at_most", "at_least"
# On which side of its limit each figure passes; coverage, of which there is one a level, stands apart.
SENSES: Mapping[str, str] = {
    "parity": AT_MOST,
    "median_error_m": AT_MOST,
    "p95_error_m": AT_MOST,
    "accuracy": AT_LEAST,
    "ece": AT_MOST,
    "agreement": AT_LEAST,
    "p95_ms": AT_MOST,
    "throughput_rps": AT_LEAST,
    "memory_mb": AT_MOST,
}
UNDER_LOAD = ("p95_ms", "throughput_rps", "load")
LOADS: Mapping[str, str] = {
    "p50_ms": AT_MOST,
    "p95_ms": AT_MOST,
    "p99_ms": AT_MOST,
    "error_share": AT_MOST,
    "throughput_rps": AT_LEAST,
}
"""On which side of its limit each figure of a load test passes."""
SHAPES = ("steady", "ramp", "spike", "soak")
"""How many callers a load test has at which time; ``sextant_loadtest.curves`` holds their arithmetic."""
ON_LABELLED = ("coverage", "median_error_m", "p95_error_m", "accuracy", "ece", "agreement")
ON_OWN_ROWS = (
    "counted on the rows that the calibration is made of, so it is no measurement of the future; "
    "name held-back rows under gate.data"
)
_TIMES_SERVING = re.compile(r"\s*(\d+\.?\d*|\.\d+)\s*x\s*serving\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """
    A *bound* that a figure must keep to, by its *sense* ``at_most`` or ``at_least``.

    *relative*: the bound is so many times the figure of the release that serves.

    >>> limit = Limit(sense="at_most", bound=1.05, relative=True)
    >>> str(limit), limit.against(40.0), limit.holds(41.0, 40.0), limit.holds(43.0, 40.0)
    ('at most 1.05 x serving', 42.0, True, False)
    """

    sense: str
    bound: float
    relative: bool = False

    @classmethod
    def read(cls, written: Any, sense: str) -> Limit:
        """
        The limit that stands on a page as a number or as ``1.05 x serving``; ``ValueError`` where it is neither.

        >>> Limit.read("1.05x serving", "at_most")
        Limit(sense='at_most', bound=1.05, relative=True)
        """
        if isinstance(written, (int, float)) and not isinstance(written, bool):
            return cls(sense=sense, bound=float(written))
        said = _TIMES_SERVING.fullmatch(written) if isinstance(written, str) else None
        if said is None:
            raise ValueError(f"expected a number, or times what serves, like '1.05 x serving', got {written!r}")
        return cls(sense=sense, bound=float(said[1]), relative=True)

    def against(self, serving: float | None = None) -> float | None:
        """The bound as a figure; None where it is relative and nothing serves."""
        if not self.relative:
            return self.bound
        return None if serving is None else self.bound * serving

    def holds(self, measured: float, serving: float | None = None) -> bool:
        """Whether *measured* passes; whatever is not a number does not, and against nothing all else does."""
        bound = self.against(serving)
        if bound is None:
            return measured == measured  # noqa: PLR0124  not a number differs from itself
        return measured <= bound if self.sense == AT_MOST else measured >= bound

    def __str__(self) -> str:
        """As people are told it."""
        return f"{self.sense.replace('_', ' ')} {self.bound:g}{' x serving' if self.relative else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageGate:
    """What is answered with *level*, ellipse or prediction set, must hold the truth in the share *at_least* of rows."""

    level: float
    at_least: Limit


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadGate:
    """
    The *limits* of a load test, by its figures: *users* callers at once, in a *shape*, for *duration_s* seconds.

    Where nothing is said of ``error_share``, no request may fail.
    """

    users: int = 100
    shape: str = "steady"
    duration_s: float = 20.0
    limits: Mapping[str, Limit] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class GateData:
    """
    Labelled rows to measure on: a *file*, or the *dataset* that was logged with the run of this member.

    *context* is the one it was logged under, where the run has several.  *truth* and *group* are as in the calibration,
    whose truth holds where none is named here.
    """

    truth: tuple[str, ...]
    file: Path | None = None
    dataset: str | None = None
    context: str | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """
    What a release must show before it serves; None where nothing is asked.

    *parity* is the largest difference of the second proof as a share of its tolerance, *agreement* the mean,
    *memory_mb* what the server's memory grows by.  *load* is a load test, *io_contract* asks for the tensors of the
    serving release.
    """

    coverage: tuple[CoverageGate, ...] = ()
    parity: Limit | None = None
    median_error_m: Limit | None = None
    p95_error_m: Limit | None = None
    accuracy: Limit | None = None
    ece: Limit | None = None
    agreement: Limit | None = None
    p95_ms: Limit | None = None
    throughput_rps: Limit | None = None
    memory_mb: Limit | None = None
    load: LoadGate | None = None
    io_contract: bool = False
    data: GateData | None = None

    @property
    def limits(self) -> Mapping[str, Limit]:
        """Every limit but those of coverage, by the gate's name, in the order in which they are told."""
        given = {name: getattr(self, name) for name in SENSES}
        return {name: limit for name, limit in given.items() if limit is not None}

    @property
    def relative(self) -> bool:
        """Whether a limit needs the release that serves."""
        loads = self.load.limits.values() if self.load else ()
        coverage = (each.at_least for each in self.coverage)
        return any(limit.relative for limit in (*self.limits.values(), *coverage, *loads))

    @property
    def on_labelled(self) -> bool:
        """Whether anything is measured on rows whose truth is known."""
        return bool(self.coverage) or any(name in ON_LABELLED for name in self.limits)

    @property
    def under_load(self) -> bool:
        """Whether anything is measured under a load."""
        return self.load is not None or any(name in UNDER_LOAD for name in self.limits)

    @property
    def asks(self) -> bool:
        """Whether the release has to be asked for anything: for figures, or to fill the memory that it takes."""
        return self.on_labelled or self.under_load or self.memory_mb is not None

    @property
    def remarks(self) -> tuple[str, ...]:
        """What whoever wrote the page should know, though nothing is wrong with it."""
        return tuple(self._remarks())

    def _remarks(self) -> Iterator[str]:
        fitted = (["coverage"] if self.coverage else []) + (["ece"] if self.ece else [])
        if self.data is None:
            yield from (f"gate.{name}: {ON_OWN_ROWS}" for name in fitted)


def gate_of(raw: Mapping[str, Any] | None, directory: Path, truth: tuple[str, ...] = ()) -> Gate | None:
    """The gates of a sound section *raw*, its paths seen from *directory*; *truth* is that of the calibration."""
    if raw is None:
        return None
    limits = {name: Limit.read(raw[name][sense], sense) for name, sense in SENSES.items() if name in raw}
    coverage = raw.get("coverage", [])
    return Gate(
        coverage=tuple(map(_coverage, coverage if isinstance(coverage, list) else [coverage])),
        load=_load(raw["load"]) if "load" in raw else None,
        io_contract="io_contract" in raw,
        data=_data(raw["data"], directory, truth) if "data" in raw else None,
        **limits,
    )


def _coverage(raw: Mapping[str, Any]) -> CoverageGate:
    return CoverageGate(level=float(raw["level"]), at_least=Limit.read(raw[AT_LEAST], AT_LEAST))


def _load(raw: Mapping[str, Any]) -> LoadGate:
    asked = {"error_share": {AT_MOST: 0}, **raw}
    limits = {name: Limit.read(asked[name][sense], sense) for name, sense in LOADS.items() if name in asked}
    return LoadGate(limits=limits, **{name: raw[name] for name in ("users", "shape", "duration_s") if name in raw})


def _data(raw: Mapping[str, Any], directory: Path, truth: tuple[str, ...]) -> GateData:
    named = raw.get("truth", truth)
    settled = {key: raw[key] for key in ("dataset", "context", "group") if key in raw}
    file = directory / raw["file"] if "file" in raw else None
    return GateData(truth=(named,) if isinstance(named, str) else tuple(named), file=file, **settled)
