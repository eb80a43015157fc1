"""
Proof that a copy answers as its original: both are asked the same rows, and the worst difference is written down.

Another kind of value or another shape is a failure, not a tolerance; NaN is equal to NaN alone. A row that differs
is counted, with its cause, where the original itself cannot tell (:mod:`sextant_export.causes`), and more than one
such row in a hundred fails; rows that were put on an edge on purpose are counted apart. Any other row that differs
fails.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sextant.errors import ParityError
from sextant_export.causes import EXPLAINED, FLOAT32, TIE, UNEXPLAINED, Tolerances, beside_an_edge, tied
from sextant_export.difference import Tolerance, check, comparable, delta, excess, nan_pairs, real
from sextant_export.proof import EDGE_SHARE, OutputProof, Proof, WorstRow
from sextant_export.rows import BATCH, length, placed, taken
from sextant_export.signature import Arrays, Feed

WORST = 10
FEW = 8
# However many rows differ, no more are asked why.
CURIOSITY = 128

Answer: TypeAlias = Callable[[Feed], Arrays]
_Marks: TypeAlias = NDArray[np.bool_]


def prove(
    copy: Answer, original: Answer, feed: Feed, tolerance: float | None = None, *, batch: int = BATCH
) -> tuple[Proof, Arrays]:
    """
    The proof that *copy* answers *feed* as *original* does, and what *original* answered, *batch* rows at a time.

    ``ParityError`` names the worst row. The original is asked first, and again only about rows that differ; where it
    has a ``close()``, that is called before the copy is asked, so that both need not be in memory at once.
    """
    expected = asked(original, feed, batch)
    let_go(original)
    given = copy(feed)
    proof = examine(expected, given, feed, original, tolerance)
    let_go(original)
    return required(proof, expected, given), expected


def compare(expected: Arrays, given: Arrays, tolerance: float | Tolerances | None = None) -> Proof:
    """
    The proof that *given* is *expected*, without an original to ask again.

    ``ParityError`` names the worst row.
    """
    return required(examine(expected, given, {}, None, tolerance), expected, given)


def examine(
    expected: Arrays, given: Arrays, feed: Feed, original: Answer | None, tolerance: float | Tolerances | None = None
) -> Proof:
    """
    What the comparison comes to, proven or not: each row that differs is asked again beside itself.

    *tolerance* is one for all outputs, or one for each by name. ``ParityError`` only for what is no matter of it:
    :func:`~sextant_export.difference.check`.
    """
    check(expected, given)
    tolerances = tolerances_of(expected, tolerance)
    ratios = excess(tolerances, expected, given)
    on_purpose = placed(feed, len(ratios))
    causes = _causes(expected, given, feed, original, tolerances, np.flatnonzero(ratios > 1), on_purpose)
    return Proof(
        rows=len(ratios),
        outputs=_outputs(expected, given, tolerances, causes),
        causes={cause: tuple(map(int, rows)) for cause, rows in causes.items()},
        worst=_worst_rows(expected, given, tolerances, ratios, causes),
        placed=int(on_purpose.sum()),
        placed_edges=int(on_purpose[_explained(causes)].sum()),
        stated=None if isinstance(tolerance, Mapping) else tolerance,
    )


def required(proof: Proof, expected: Arrays, given: Arrays) -> Proof:
    """*proof*, where it is one; else ``ParityError`` says where the two differ most."""
    if proof.unexplained:
        raise _difference(proof, expected, given)
    if not proof.proven:
        raise _too_many_edges(proof)
    return proof


def asked(original: Answer, feed: Feed, batch: int = BATCH) -> Arrays:
    """What *original* answers to *feed*, asked *batch* rows at a time, as a server would."""
    parts = [original(taken(feed, slice(i, i + batch))) for i in range(0, length(feed), batch)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def tolerances_of(expected: Arrays, stated: float | Tolerances | None = None) -> Tolerances:
    """What is tolerated of each output: what was *stated*, else what answers like *expected* allow."""
    if isinstance(stated, Mapping):
        return stated
    return {name: _tolerance(array, stated) for name, array in expected.items()}


def let_go(original: Any) -> None:
    """Close what holds a model in memory only while it is asked."""
    if hasattr(original, "close"):
        original.close()


class Reopened:
    """An original that is opened when it is asked, and gone from memory once it is closed."""

    def __init__(self, opener: Callable[[], Answer]) -> None:
        self._opener = opener
        self._opened: Answer | None = None

    def __call__(self, feed: Feed) -> Arrays:
        """What it answers."""
        if self._opened is None:
            self._opened = self._opener()
        return self._opened(feed)

    def close(self) -> None:
        """Forget it."""
        self._opened = None


def _tolerance(expected: NDArray[Any], stated: float | None) -> Tolerance:
    if stated is None:
        return Tolerance.of(expected)
    return Tolerance(stated if real(comparable(expected)) else 0.0)


def _causes(
    expected: Arrays,
    given: Arrays,
    feed: Feed,
    original: Answer | None,
    tolerances: Tolerances,
    suspects: NDArray[np.int64],
    on_purpose: _Marks,
) -> dict[str, NDArray[np.int64]]:
    """The rows that differ, by cause."""
    ties = tied(expected, given, suspects, tolerances)
    left = suspects[~ties]
    edges = np.zeros(len(left), dtype=bool)
    if original is not None and left.size:
        worth = _worth_asking(left, on_purpose)
        edges[worth] = beside_an_edge(given, original, feed, left[worth], tolerances)
    return {FLOAT32: left[edges], TIE: suspects[ties], UNEXPLAINED: left[~edges]}


def _worth_asking(suspects: NDArray[np.int64], on_purpose: _Marks) -> _Marks:
    """All of them, but the first few where so many differ that no cause could save the proof."""
    natural = ~on_purpose[suspects]
    if natural.sum() <= max(CURIOSITY, len(on_purpose) * EDGE_SHARE):
        return np.ones(len(suspects), dtype=bool)
    return np.arange(len(suspects)) < CURIOSITY


def _explained(causes: dict[str, NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate([causes[cause] for cause in EXPLAINED])


def _outputs(
    expected: Arrays, given: Arrays, tolerances: Tolerances, causes: dict[str, NDArray[np.int64]]
) -> dict[str, OutputProof]:
    return {
        name: _output(comparable(expected[name]), comparable(given[name]), tolerance, _explained(causes))
        for name, tolerance in tolerances.items()
    }


def _output(wanted: NDArray[Any], came: NDArray[Any], tolerance: Tolerance, aside: NDArray[np.int64]) -> OutputProof:
    away, ratios = delta(wanted, came), tolerance.ratio(wanted, came)
    flips = 0 if real(wanted) else int(away.sum())
    away[aside], ratios[aside] = 0.0, -1.0
    row = int(ratios.argmax())
    return OutputProof(
        max_abs_delta=float(away[row]),
        tolerance=tolerance.value,
        worst_row=row,
        flips=flips,
        nan_pairs=nan_pairs(wanted, came),
    )


def _worst_rows(
    expected: Arrays,
    given: Arrays,
    tolerances: Tolerances,
    ratios: NDArray[np.float64],
    causes: dict[str, NDArray[np.int64]],
) -> tuple[WorstRow, ...]:
    why = {int(row): cause for cause, rows in causes.items() for row in rows}
    worst = [int(row) for row in np.argsort(-ratios, kind="stable")[:WORST] if ratios[row] > 0]
    return tuple(_worst_row(row, expected, given, tolerances, why.get(row)) for row in worst)


def _worst_row(row: int, expected: Arrays, given: Arrays, tolerances: Tolerances, cause: str | None) -> WorstRow:
    sides = {name: (comparable(expected[name])[[row]], comparable(given[name])[[row]]) for name in tolerances}
    ratios = {name: float(tolerance.ratio(*sides[name])[0]) for name, tolerance in tolerances.items()}
    output = max(ratios, key=lambda name: ratios[name])
    return WorstRow(
        row=row, output=output, abs_delta=float(delta(*sides[output])[0]), ratio=ratios[output], cause=cause
    )


def _difference(proof: Proof, expected: Arrays, given: Arrays) -> ParityError:
    output = proof.outputs[proof.worst_output]
    where = f"output {proof.worst_output!r}"
    wanted, came = (comparable(side[proof.worst_output])[output.worst_row] for side in (expected, given))
    if len(wanted) > FEW:
        worst = int(delta(wanted[:, None], came[:, None]).argmax())
        where, wanted, came = f"value {worst} of {where}", wanted[[worst]], came[[worst]]
    return ParityError(
        f"no proof: row {output.worst_row}, {where}: the original answers {_said(wanted)}, the copy {_said(came)}: "
        f"|delta| {output.max_abs_delta:.3g} is over {output.tolerance:.3g}; "
        f"{len(proof.unexplained):,} of {proof.rows:,} rows differ",
        worst=output.max_abs_delta,
        tolerance=output.tolerance,
    )


def _too_many_edges(proof: Proof) -> ParityError:
    causes = ", ".join(f"{cause} {len(rows)}" for cause, rows in proof.causes.items() if rows)
    aside = f", {proof.placed_edges} of them put there on purpose" if proof.placed_edges else ""
    worst = max((row.abs_delta for row in proof.worst), default=0.0)
    return ParityError(
        f"no proof: {len(proof.edges) - proof.placed_edges} of {proof.rows - proof.placed:,} rows stand where the "
        f"original itself cannot tell, and at most {proof.allowed} may ({causes}{aside})",
        worst=worst,
        tolerance=proof.tolerance,
    )


def _said(values: NDArray[Any]) -> str:
    """The values of a row, in words; real ones with seven digits, which are float32's."""
    return f"[{', '.join(f'{value:.7g}' if real(values) else repr(value) for value in values.tolist())}]"
