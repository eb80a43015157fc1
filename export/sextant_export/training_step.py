"""The training step that a registered version is a checkpoint of, by whatever its training wrote down."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any

from sextant_export.mlflow_calls import mlflow_calls
from sextant_export.model_uri import ModelUri
from sextant_export.registry import Registry

NAMES = ("step", "checkpoint_step")


def training_step(registry: Registry, uri: str) -> int | None:
    """
    The step of the version ``models:/<name>/<version>``, None where nobody wrote one.

    In this order: a tag ``step`` or ``checkpoint_step`` of the version, a tag or parameter of that name of its run, the
    step with which MLflow 3 logged the model, the step of the run's newest metric. A registry that does not answer
    knows none.
    """
    try:
        return _asked(registry, uri)
    except Exception:  # noqa: BLE001  a step is a nicety: nothing may fail for want of it
        return None


@lru_cache(maxsize=1024)
def _asked(registry: Registry, uri: str) -> int | None:
    parsed = ModelUri.parse(uri)
    with mlflow_calls(registry.tracking_uri) as mlflow:
        client = mlflow.MlflowClient(registry.tracking_uri, registry_uri=registry.tracking_uri)
        version = client.get_model_version(parsed.name, str(parsed.version))
        return next(_steps(version, client.get_run(version.run_id) if version.run_id else None), None)


def _steps(version: Any, run: Any | None) -> Iterator[int]:
    """What there is, the most explicit first."""
    yield from _named(version.tags)
    if run is not None:
        yield from _named(run.data.tags)
        yield from _named(run.data.params)
        outputs = run.outputs.model_outputs if run.outputs else ()
        yield from (each.step for each in outputs if each.model_id == version.model_id and each.step)
        metrics = run.data._metric_objs  # noqa: SLF001  the public dict of metrics has no steps, their history is long
        yield from (metric.step for metric in sorted(metrics, key=lambda m: (m.timestamp, m.step), reverse=True))


def _named(words: Mapping[str, str]) -> Iterator[int]:
    for name in NAMES:
        with suppress(KeyError, ValueError):
            yield int(words[name])
