"""
The dataset that was logged with the run of a registered version, as a file here.

``mlflow.log_input`` keeps where a dataset came from, not its rows; what can be read again is a source with a place.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sextant.errors import RegistryError
from sextant_export.calibration_problems import FILES
from sextant_export.mlflow_calls import mlflow_calls
from sextant_export.registry import Registry

CONTEXT = "mlflow.data.context"
TRAINING = "training"


def logged_dataset(registry: Registry, run_id: str | None, directory: Path, context: str | None = None) -> Path:
    """
    The file of the dataset that the run logged under *context*, brought to the folder *directory* where it is not here.

    Without a *context*, the only one that is not of training.  ``RegistryError`` says what was logged instead, and why
    a source cannot be read as a table.
    """
    if run_id is None:
        raise RegistryError("the version was registered without a run, so no dataset is logged with it: name a file")
    with mlflow_calls(registry.tracking_uri) as mlflow:
        run = mlflow.MlflowClient(registry.tracking_uri).get_run(run_id)
        logged = _chosen(run.inputs.dataset_inputs if run.inputs else [], run_id, context)
        path = _brought(mlflow, registry, logged.dataset, directory)
    if path is None or not path.is_file() or path.suffix not in FILES:
        raise RegistryError(_unreadable(logged.dataset, path))
    return path


def _chosen(inputs: Sequence[Any], run_id: str, context: str | None) -> Any:
    found = [each for each in inputs if (_context(each) == context if context else _context(each) != TRAINING)]
    if len(found) == 1:
        return found[0]
    wanted = f"of context {context!r}" if context else "that is not of training"
    there = ", ".join(f"{each.dataset.name} ({_context(each) or 'no context'})" for each in inputs) or "none"
    todo = "name its context" if found else "log one by mlflow.log_input(dataset, context='testing')"
    raise RegistryError(f"run {run_id}: expected one dataset {wanted}, found {len(found)}; logged are: {there}; {todo}")


def _context(logged: Any) -> str | None:
    return next((tag.value for tag in logged.tags if tag.key == CONTEXT), None)


def _brought(mlflow: Any, registry: Registry, dataset: Any, directory: Path) -> Path | None:
    """The dataset's source as a path here; None where it has no place, as rows made by a program have none."""
    source = mlflow.data.get_source(dataset)
    if hasattr(source, "uri"):
        uri, tracking_uri = str(source.uri), registry.tracking_uri
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, tracking_uri=tracking_uri))
    return Path(source.load(str(directory))) if hasattr(source, "url") else None


def _unreadable(dataset: Any, path: Path | None) -> str:
    came = f"its source is {dataset.source_type}" if path is None else f"its source is {path}"
    todo = "log it with a source that can be read again: mlflow.data.from_pandas(rows, source='held_back.parquet')"
    return f"dataset {dataset.name!r}: expected a file of {', '.join(FILES)}, but {came}; {todo}"
