"""The report of a proof: what was asked, of which copies, what came, and the worst rows in full; as JSON, as a page."""

from __future__ import annotations

import datetime as dt
import platform
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sextant.columns import Column
from sextant.errors import ParityError
from sextant_export.difference import Tolerance, comparable, excess, real
from sextant_export.parity import examine, required
from sextant_export.proof import Proof, WorstRow
from sextant_export.rows import Rows
from sextant_export.signature import Arrays, Feed

VALUES = 16
"""So many values of a row are shown, each with the digits of its own type; a wider one says how many there are."""
DECADES = (0.0, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
"""The histogram counts rows whose worst |delta| is at most so many times what is tolerated, and those beyond."""
TOOLS = ("triton-sextant", "mlflow", "onnx", "onnxruntime", "skl2onnx", "scikit-learn", "numpy")


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """
    The original against one copy, asked *by* a runtime.

    *refusal* says why it proves nothing, *proof* is None where the answers could not even be compared.  *histogram*
    counts rows by :data:`DECADES`; *worst* are the ten worst rows in full.
    """

    by: str
    proof: Proof | None
    refusal: str | None
    histogram: tuple[int, ...] = ()
    worst: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Comparison:
        """The comparison of which *plain* is what ``dataclasses.asdict`` gives, perhaps by way of JSON."""
        proof = plain["proof"] and Proof.of(plain["proof"])
        lists = {"histogram": tuple(plain["histogram"]), "worst": tuple(plain["worst"])}
        return cls(**{**plain, **lists, "proof": proof})

    @property
    def proven(self) -> bool:
        """Whether the copy is one."""
        return self.refusal is None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "by": self.by,
            "proven": self.proven,
            "refusal": self.refusal,
            "proof": self.proof and finite(self.proof.to_dict()),
            "histogram": {"at_most": list(DECADES), "rows": list(self.histogram)},
            "worst": finite(self.worst),
        }


@dataclass(frozen=True, kw_only=True)
class ProofReport:
    """
    Everything there is to know of whether a registered version's copies answer as it does.

    *refused* says of flavours that were tried before why they could not be converted, *skipped* why no Triton was
    asked.
    """

    uri: str
    model: str
    version: int
    flavor: str
    flavors: Sequence[str]
    kind: str
    converted: bool
    refused: Mapping[str, str]
    digests: Mapping[str, str]
    parts: Sequence[tuple[str, int]]
    comparisons: Sequence[Comparison]
    skipped: str | None = None
    created: str = field(default_factory=lambda: dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"))
    tools: Mapping[str, str] = field(default_factory=lambda: installed(TOOLS))

    @property
    def proven(self) -> bool:
        """Whether every copy that was asked is one."""
        return all(comparison.proven for comparison in self.comparisons)

    @property
    def rows(self) -> int:
        """How many rows each was asked."""
        return sum(count for _, count in self.parts)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; what JSON has no number for is a word."""
        return {
            "uri": self.uri,
            "proven": self.proven,
            "model": self.model,
            "version": self.version,
            "flavor": self.flavor,
            "flavors": list(self.flavors),
            "kind": self.kind,
            "converted": self.converted,
            "refused": dict(self.refused),
            "digests": dict(self.digests),
            "rows": self.rows,
            "asked": dict(self.parts),
            "comparisons": [comparison.to_dict() for comparison in self.comparisons],
            "skipped": self.skipped,
            "created": self.created,
            "tools": dict(self.tools),
        }


def compared(
    by: str,
    expected: Arrays,
    given: Arrays,
    feed: Rows,
    original: Any,
    tolerance: float | None,
    columns: Sequence[Column] = (),
) -> Comparison:
    """What *given*, asked by *by*, comes to beside *expected*; nothing is raised, a refusal is part of the answer."""
    try:
        proof = examine(expected, given, feed, original, tolerance)
    except ParityError as error:
        return Comparison(by=by, proof=None, refusal=str(error))
    refusal = None
    try:
        required(proof, expected, given)
    except ParityError as error:
        refusal = str(error)
    worst = tuple(_in_full(row, expected, given, feed, columns) for row in proof.worst)
    return Comparison(by=by, proof=proof, refusal=refusal, histogram=_histogram(proof, expected, given), worst=worst)


def installed(distributions: Sequence[str]) -> dict[str, str]:
    """The version of Python, and of each of *distributions* that is here."""
    found = {"python": platform.python_version()}
    for name in distributions:
        with suppress(PackageNotFoundError):
            found[name] = installed_version(name)
    return found


def finite(value: Any) -> Any:
    """
    *value* with what JSON has no number for as a word.

    >>> finite({"a": [1.5, float("nan"), float("-inf")]})
    {'a': [1.5, 'NaN', '-Infinity']}
    """
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return "NaN" if np.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _histogram(proof: Proof, expected: Arrays, given: Arrays) -> tuple[int, ...]:
    tolerances = {
        name: Tolerance.of(array) if proof.stated is None else Tolerance(proof.outputs[name].tolerance)
        for name, array in expected.items()
    }
    places = np.searchsorted(DECADES, excess(tolerances, expected, given), side="left")
    return tuple(int(count) for count in np.bincount(places, minlength=len(DECADES) + 1))


def _in_full(row: WorstRow, expected: Arrays, given: Arrays, feed: Rows, columns: Sequence[Column]) -> dict[str, Any]:
    """A worst row with where it comes from, what was asked, and both answers."""
    return {
        "row": row.row,
        "origin": feed.origin(row.row),
        "output": row.output,
        "abs_delta": row.abs_delta,
        "ratio": row.ratio,
        "cause": row.cause,
        "inputs": _inputs(feed, row.row, columns),
        "original": {name: _values(array[row.row]) for name, array in expected.items()},
        "copy": {name: _values(array[row.row]) for name, array in given.items()},
    }


def _inputs(feed: Feed, row: int, columns: Sequence[Column]) -> dict[str, Any]:
    """By column where one tensor holds them all, by tensor else."""
    if len(feed) == 1 and len(columns) > 1:
        (matrix,) = feed.values()
        values = matrix[row].reshape(-1)
        if len(values) == len(columns):
            shown = {column.name: _values(value) for column, value in zip(columns[:VALUES], values, strict=False)}
            return shown | ({"…": f"{len(values)} columns"} if len(values) > VALUES else {})
    return {name: _values(array[row]) for name, array in feed.items()}


def _values(array: Any) -> Any:
    flat: NDArray[Any] = comparable(np.asarray(array)[None])[0]
    shown = [float(str(value)) for value in flat[:VALUES]] if real(flat) else flat[:VALUES].tolist()
    if len(flat) == 1:
        return shown[0]
    return shown + ([f"… {len(flat)} values"] if len(flat) > VALUES else [])
