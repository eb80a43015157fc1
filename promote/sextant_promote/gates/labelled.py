"""The labelled rows that gates are measured on: those under ``gate.data``, else those of the calibration."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from sextant.errors import PromoteError
from sextant_export.gate import GateData
from sextant_export.known_cases import KnownCases, read_known_cases
from sextant_export.logged_dataset import logged_dataset
from sextant_export.pipeline import Calibration, Pipeline
from sextant_export.receipt import Receipt
from sextant_export.registry import Registry


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """
    *cases*, and where they are from, *said* in words.

    *column* is the one whose words rows are calibrated apart by, None where there is none; *own* says that they are the
    calibration's own rows.
    """

    cases: KnownCases
    said: str
    column: str | None
    own: bool


def labelled_rows(pipeline: Pipeline, candidate: Receipt | None, registry: Registry) -> Labelled | None:
    """
    The rows that the spec of *pipeline* names; None where it names none.

    Those that were logged with the run of a member are found by *candidate*, a release of it.
    """
    data = pipeline.gate.data if pipeline.gate else None
    with tempfile.TemporaryDirectory(prefix="sextant-gate-") as directory:
        spec = pipeline.calibration
        if data is not None:
            spec = _named(data, pipeline.calibration, _file(data, candidate, registry, Path(directory)))
        if spec is None:
            return None
        cases = read_known_cases(spec)
    said = f"{len(cases)} known cases of {spec.data.name}, SHA-256 {cases.sha256[:12]}"
    return Labelled(cases=cases, said=said, column=spec.per_column, own=data is None)


def _file(data: GateData, candidate: Receipt | None, registry: Registry, directory: Path) -> Path:
    if data.file is not None:
        return data.file
    if candidate is None:
        raise PromoteError(f"gate.data.dataset: no release of it is here whose {data.dataset} was trained in a run")
    member = candidate.members[str(data.dataset)]
    return logged_dataset(registry, member["run_id"], directory, data.context)


def _named(data: GateData, calibration: Calibration | None, file: Path) -> Calibration:
    per = calibration.per if calibration else None
    return Calibration(data=file, truth=data.truth, group=data.group, per=per)
