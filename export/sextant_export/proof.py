"""What a comparison came to, as the receipt and the report keep it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

from sextant_export.causes import EXPLAINED, UNEXPLAINED

EDGE_SHARE = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputProof:
    """
    One output compared: its worst row of those that count, and what was tolerated.

    *flips* are all rows whose label, whole number or text differs, explained or not; *nan_pairs* the values that
    are NaN on both sides.
    """

    max_abs_delta: float
    tolerance: float
    worst_row: int
    flips: int = 0
    nan_pairs: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorstRow:
    """A row and the *output* it is worst in, by *ratio* times what is tolerated; *cause* where it is over."""

    row: int
    output: str
    abs_delta: float
    ratio: float
    cause: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """
    What came of *rows* compared, output by output.

    *causes* are the rows that differ, by cause, and *worst* the ten worst of all. *placed* are rows that were put on
    an edge on purpose, of which *placed_edges* fell to its other side. *stated* is the tolerance that was asked for.
    *rounded* of *rounded_of* logged rows are another answer to the original itself once they are rounded to float32.
    """

    rows: int
    outputs: Mapping[str, OutputProof]
    causes: Mapping[str, tuple[int, ...]]
    worst: tuple[WorstRow, ...] = ()
    placed: int = 0
    placed_edges: int = 0
    stated: float | None = None
    rounded: int = 0
    rounded_of: int = 0

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Proof:
        """The proof of which *plain* is what ``dataclasses.asdict`` gives, perhaps by way of JSON."""
        return cls(
            **{
                **plain,
                "outputs": {name: OutputProof(**output) for name, output in plain["outputs"].items()},
                "causes": {cause: tuple(rows) for cause, rows in plain["causes"].items()},
                "worst": tuple(WorstRow(**row) for row in plain["worst"]),
            }
        )

    @property
    def edges(self) -> tuple[int, ...]:
        """The rows that do not count, because the original itself cannot tell."""
        return tuple(sorted(chain.from_iterable(self.causes[cause] for cause in EXPLAINED)))

    @property
    def unexplained(self) -> tuple[int, ...]:
        """The rows that differ without an excuse."""
        return self.causes[UNEXPLAINED]

    @property
    def allowed(self) -> int:
        """How many rows that were not put there on purpose may be such edges."""
        return int(EDGE_SHARE * (self.rows - self.placed))

    @property
    def proven(self) -> bool:
        """Whether the copy is one."""
        return not self.unexplained and len(self.edges) - self.placed_edges <= self.allowed

    @property
    def worst_output(self) -> str:
        """The output with the largest difference, in units of what is tolerated, in the rows that count."""
        return max(self.outputs, key=lambda name: _ratio(self.outputs[name]))

    @property
    def worst_row(self) -> int:
        """The row of that difference."""
        return self.outputs[self.worst_output].worst_row

    @property
    def max_abs_delta(self) -> float:
        """That difference."""
        return self.outputs[self.worst_output].max_abs_delta

    @property
    def tolerance(self) -> float:
        """What is tolerated there."""
        return self.outputs[self.worst_output].tolerance

    def __str__(self) -> str:
        said = f"{self.rows:,} rows, worst |delta| {self.max_abs_delta:.1e}, allowed {self.tolerance:.1e}"
        causes = ", ".join(f"{cause} {len(rows)}" for cause, rows in self.causes.items() if rows)
        rounded = f"; {self.rounded} of {self.rounded_of} logged rows differ once they are float32"
        return said + (f"; differ: {causes}" if causes else "") + (rounded if self.rounded else "")

    def to_dict(self) -> dict[str, Any]:
        """As the receipt keeps it."""
        return {
            "rows": self.rows,
            "worst_output": self.worst_output,
            "worst_row": self.worst_row,
            "max_abs_delta": self.max_abs_delta,
            "tolerance": self.tolerance,
            "stated_tolerance": self.stated,
            "outputs": {name: asdict(output) for name, output in self.outputs.items()},
            "causes": {cause: len(rows) for cause, rows in self.causes.items()},
            "placed_on_edges": self.placed,
            "rounded_to_float32": {"differ": self.rounded, "rows": self.rounded_of},
            "edges": list(self.edges),
            "worst": [asdict(row) for row in self.worst],
        }


def _ratio(output: OutputProof) -> float:
    if output.tolerance:
        return output.max_abs_delta / output.tolerance
    return float("inf") if output.max_abs_delta else 0.0
