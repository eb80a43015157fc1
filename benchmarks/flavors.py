"""
Every flavour: real models, registered, exported, served by a Triton, each proven twice against its own predict.

One row for each configuration of ``tests/configurations``: converted or served by its own Python, rows compared, the
largest difference in units of the answer, labels that differ (those the original itself cannot tell, and those
nobody can explain), logged rows that the original answers otherwise once they are float32, and the seconds that
export and the proof through Triton took. The first proof is at export, in this process; the second asks Triton. Each
has a thousand seeded rows inside the ranges of the logged example, rows on tree thresholds and one float32 to each
side, and missing values where the original answers them.

``--table PATH`` writes the rows as Markdown, ``--only WORD`` keeps the configurations with that word in their name.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from report import report

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from configurations import ALL, Configuration
from configurations.data import BESIDE
from configurations.serving import Workshop, take_away
from sextant_cli.narrator import Narrator
from sextant_export.receipt import Receipt
from sextant_promote.control import Control

HEADS = (
    "flavour",
    "data",
    "model",
    "served as",
    "rows",
    "max delta",
    "tolerance",
    "labels differ",
    "rounded",
    "export s",
    "proof s",
)
PLAIN = {"onnx": "ONNX", "pyfunc": "its own Python", "tensorrt": "TensorRT"}


@dataclass(frozen=True, kw_only=True)
class Row:
    """What became of one *configuration*: *failure* in words, or the facts of a *receipt*."""

    configuration: Configuration
    failure: str = ""
    receipt: Receipt | None = field(default=None, repr=False)
    export_s: float = 0.0
    proof_s: float = 0.0

    @property
    def member(self) -> dict[str, Any]:
        """The one member as the receipt keeps it."""
        return dict(self.receipt.members["model"]) if self.receipt else {}

    @property
    def unexplained(self) -> int:
        """Rows that differ without a cause; a proof that failed is at least one."""
        return self.member["proof"]["causes"]["unexplained"] if self.receipt else 1

    @property
    def explained(self) -> dict[str, int]:
        """Rows that differ where the original itself cannot tell, by cause."""
        causes = self.member["proof"]["causes"] if self.receipt else {}
        return {cause: count for cause, count in causes.items() if count and cause != "unexplained"}

    @property
    def worst(self) -> tuple[float, float]:
        """The difference and the tolerance of the output that is nearest to its own; zeros where all are labels."""
        assert self.receipt
        facts = [*self.member["proof"]["outputs"].values(), self.receipt.proof["model"]]
        pairs = [(fact["max_abs_delta"], fact["tolerance"]) for fact in facts if fact["tolerance"]]
        return max(pairs, key=lambda pair: pair[0] / pair[1], default=(0.0, 0.0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one configuration of each kind")
    parser.add_argument("--only", default="", help="those with this word in their name")
    parser.add_argument("--table", type=Path, help="write the rows there, as Markdown")
    asked = parser.parse_args()
    chosen = [one for one in ALL if asked.only in one.name and (one.quick or not asked.quick)]
    absent = [one for one in chosen if one.needs and not (BESIDE / one.needs).is_dir()]
    for one in absent:
        print(f"left out {one.name}: ../shared/data/{one.needs} is not here", file=sys.stderr)
    rows = list(tried([one for one in chosen if one not in absent]))
    if asked.table:
        asked.table.write_text(markdown(rows), encoding="utf-8")
    conclude(rows, whole=not (asked.quick or asked.only))


def tried(configurations: Sequence[Configuration]) -> Iterator[Row]:
    """One row after the other, each told as soon as it is there."""
    with tempfile.TemporaryDirectory(prefix="flavors-") as folder:
        workshop = Workshop(Path(folder))
        with workshop.triton() as (_, control):
            for configuration in configurations:
                row = attempt(workshop, configuration, control)
                tell(row)
                yield row


def attempt(workshop: Workshop, configuration: Configuration, control: Control) -> Row:
    """The whole way of one configuration; whatever goes wrong is a row, because it is a result."""
    narrator = Narrator(io.StringIO())
    begun = time.perf_counter()
    try:
        workshop.log(configuration)
        receipt = workshop.serve(configuration, control, narrator)
    except Exception as error:  # noqa: BLE001  a failure is what the table is there to show
        sentence = " ".join(str(error).split()) or type(error).__name__
        return Row(configuration=configuration, failure=sentence, export_s=time.perf_counter() - begun)
    seconds = narrator.seconds
    export = sum(seconds.get(step, 0.0) for step in ("resolve", "export", "calibrate", "stage"))
    take_away(receipt, control)
    return Row(configuration=configuration, receipt=receipt, export_s=export, proof_s=seconds["prove"])


def tell(row: Row) -> None:
    """The figures of one row."""
    name = f"flavors.{row.configuration.name}"
    if row.receipt is None:
        print(f"{row.configuration.name}: {row.failure}", file=sys.stderr)
        report(f"{name}.answered", 0, "1", target="1", ok=False)
        return
    report(f"{name}.converted", int(row.member["converted"]), "1")
    report(
        f"{name}.rows", row.member["proof"]["rows"], "rows", target=">= 1000", ok=row.member["proof"]["rows"] >= 1000
    )
    delta, allowed = row.worst
    report(f"{name}.max_abs_delta", delta, "answer's unit", target=f"<= {allowed:.2g}", ok=delta <= allowed)
    report(f"{name}.rows_on_an_edge", sum(row.explained.values()), "rows")
    report(f"{name}.unexplained", row.unexplained, "rows", target="0", ok=row.unexplained == 0)
    report(f"{name}.rounded_to_float32", row.member["proof"]["rounded_to_float32"]["differ"], "rows")
    report(f"{name}.export", round(row.export_s, 2), "s")
    report(f"{name}.served_proof", round(row.proof_s, 2), "s")


def conclude(rows: Sequence[Row], *, whole: bool) -> None:
    """What the table says; a *whole* one is to be long enough."""
    answered = [row for row in rows if row.receipt]
    given = {"target": ">= 25", "ok": len(rows) >= 25} if whole else {}
    report("flavors.configurations", len(rows), "configurations", **given)
    report("flavors.converted", sum(row.member["converted"] for row in answered), "configurations")
    share = len(answered) / max(len(rows), 1)
    report("flavors.answered", share, "share", target="1.0", ok=share == 1)
    unexplained = sum(row.unexplained for row in rows)
    report("flavors.unexplained", unexplained, "rows", target="0", ok=unexplained == 0)


def markdown(rows: Iterable[Row]) -> str:
    """The table as a page shows it."""
    lines = [HEADS, ["---"] * len(HEADS), *map(cells, rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def cells(row: Row) -> list[str]:
    """One line of the table."""
    one = row.configuration
    if row.receipt is None:
        return [one.flavor, one.data, one.model, f"not answered: {row.failure}", *[""] * 7]
    proof = row.member["proof"]
    loss = proof["rounded_to_float32"]
    rounded = f"{loss['differ']} of {loss['rows']}" if loss["rows"] else ""
    differ = ", ".join(f"{count} {cause}" for cause, count in row.explained.items()) or "0"
    why = row.member["refused"].values() if one.flavor != "python_function" else ()
    served = PLAIN[row.member["kind"]] + "".join(f": {said.partition(';')[0]}" for said in why)
    delta, allowed = (f"{value:.1e}" for value in row.worst) if row.worst[1] else ("labels alone", "0")
    figures = [f"{proof['rows']:,}", delta, allowed, differ, rounded]
    return [one.flavor, one.data, one.model, served, *figures, f"{row.export_s:.1f}", f"{row.proof_s:.2f}"]


if __name__ == "__main__":
    main()
