"""
Registers what was trained under the alias ``champion``, and knows what is still valid.

A version bears the fingerprint of all that it follows from in a tag; while that is the same, nothing is trained twice.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.models.model import ModelInfo

ALIAS = "champion"
FINGERPRINT = "sextant.fingerprint"


@dataclass(frozen=True)
class Registered:
    """A registered member: *seconds* to make and log it, 0 where the version *was_valid* already."""

    name: str
    version: int
    seconds: float
    was_valid: bool

    def __str__(self) -> str:
        return f"{self.name} {'still valid' if self.was_valid else f'{self.seconds:.1f} s'}"


def registered(name: str, mark: str, made: Callable[[], ModelInfo]) -> Registered:
    """The version of *name* that bears the fingerprint *mark*: the one that is there, or what *made* logs for it."""
    valid = _still_valid(name, mark)
    if valid is not None:
        return Registered(name, valid, 0.0, was_valid=True)
    began = time.monotonic()
    version = _publish(name, made(), mark)
    return Registered(name, version, time.monotonic() - began, was_valid=False)


def _still_valid(name: str, mark: str) -> int | None:
    """The version under the alias ``champion`` if it bears this fingerprint and its files are still there."""
    client = MlflowClient()
    try:
        version = client.get_model_version_by_alias(name, ALIAS)
    except MlflowException:
        return None
    folder = Path(url2pathname(urlsplit(client.get_model_version_download_uri(name, version.version)).path))
    valid = version.tags.get(FINGERPRINT) == mark and (folder / "MLmodel").is_file()
    return int(version.version) if valid else None


def _publish(name: str, logged: ModelInfo, mark: str) -> int:
    """A new version that bears its fingerprint; the alias moves last, so half a training is never served."""
    client = MlflowClient()
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    version = client.create_model_version(
        name, logged.model_uri, logged.run_id, tags={FINGERPRINT: mark}, model_id=logged.model_id
    ).version
    client.set_registered_model_alias(name, ALIAS, str(version))
    return int(version)


@contextmanager
def experiment(name: str, tracking_uri: str, artifacts: Path, *loggers: str) -> Iterator[str]:
    """
    The experiment *name*, made where it is not there, whose files go to *artifacts*.

    MLflow's own state is left as it was found, and its commentary, and that of *loggers*, is off.
    """
    artifacts.mkdir(parents=True, exist_ok=True)
    before = mlflow.get_tracking_uri()
    with quiet(*loggers):
        mlflow.set_tracking_uri(tracking_uri)
        try:
            known: Any = mlflow.get_experiment_by_name(name)
            location = artifacts.resolve().as_uri()
            yield known.experiment_id if known else mlflow.create_experiment(name, artifact_location=location)
        finally:
            mlflow.set_tracking_uri(before)


@contextmanager
def quiet(*others: str) -> Iterator[None]:
    """MLflow's running commentary off, and its libraries' warnings: the demo has its own voice."""
    loggers = [logging.getLogger(name) for name in ("mlflow", "alembic", *others)]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for category in (UserWarning, FutureWarning, DeprecationWarning):
                warnings.simplefilter("ignore", category)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
