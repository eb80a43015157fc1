"""The one door to MLflow: imported late, quiet, impatient, and with its errors in our words."""

from __future__ import annotations

import errno
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sextant.errors import MissingExtra, RegistryError, RegistryUnreachable

# MLflow's own patience is seven tries of two minutes; what the user has set holds.
_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
_REFUSALS = {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "NOT_FOUND"}
_NO_ROOM = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EROFS)
_GONE = "No such artifact"
_LOGGERS = ("mlflow", "alembic")


@contextmanager
def mlflow_calls(tracking_uri: str) -> Iterator[Any]:
    """
    MLflow, for the calls of one ``with``: RegistryError where it refuses, RegistryUnreachable where it is
    away.
    """
    if (database := missing_database(tracking_uri)) is not None:
        advice = "name the registry by --registry or MLFLOW_TRACKING_URI"
        raise RegistryUnreachable(f"no MLflow registry at {tracking_uri}: there is no file {database}; {advice}")
    shown = without_password(tracking_uri)
    with quiet_mlflow() as mlflow:
        try:
            yield mlflow
        except (mlflow.exceptions.MlflowException, OSError) as error:
            raise _translated(error, shown) from error
        except ModuleNotFoundError as error:
            raise RegistryUnreachable(f"{shown} needs the Python package {error.name}") from error
        except _damaged() as error:
            raise _of_what_is_there(error, shown) from error


@contextmanager
def quiet_mlflow() -> Iterator[Any]:
    """MLflow, saying nothing but errors; MissingExtra where it is not installed."""
    with _settings(), quiet(*_LOGGERS):
        yield _mlflow()


@contextmanager
def quiet(*names: str) -> Iterator[None]:
    """No warnings, and of the loggers *names* nothing but errors."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def missing_database(tracking_uri: str) -> Path | None:
    """
    The file of an SQLite registry where it is not there, else None: MLflow itself would make an empty one.

    >>> str(missing_database("sqlite:///nowhere/mlflow.db"))
    'nowhere/mlflow.db'
    """
    prefix, _, path = tracking_uri.partition(":///")
    file = Path(path.partition("?")[0])
    return file if prefix == "sqlite" and path and not file.is_file() else None


def without_password(uri: str) -> str:
    """
    *uri* as it may be shown.

    >>> without_password("postgresql://sextant:secret@db:5432/mlflow")
    'postgresql://***@db:5432/mlflow'
    >>> without_password("http://mlflow.example")
    'http://mlflow.example'
    """
    scheme, found, rest = uri.partition("://")
    login, at, place = rest.rpartition("@")
    return f"{scheme}://***@{place}" if found and at and "/" not in login else uri


def _mlflow() -> Any:
    try:
        import mlflow
        import mlflow.pyfunc
    except ImportError as error:
        raise MissingExtra("export", "reading an MLflow registry") from error
    return mlflow


def _translated(error: Exception, tracking_uri: str) -> Exception:
    said = " ".join(str(error).split())[:500]
    if any(f"[Errno {number}]" in said for number in _NO_ROOM):
        return RegistryError(
            f"what {tracking_uri} holds cannot be brought to {tempfile.gettempdir()}: make room there, or name another "
            f"folder by TMPDIR: {said}"
        )
    if getattr(error, "error_code", "") in _REFUSALS or _GONE in said:
        return RegistryError(said)
    if isinstance(error, OSError) and not isinstance(error, _away()):
        return RegistryError(f"an artifact of {tracking_uri} cannot be brought here: {said}")
    return RegistryUnreachable(f"the MLflow registry {tracking_uri} does not answer: {_system_word(error) or said}")


def _damaged() -> tuple[type[Exception], ...]:
    """What MLflow passes on of its database and of its YAML files."""
    from sqlalchemy.exc import SQLAlchemyError
    from yaml import YAMLError

    return SQLAlchemyError, YAMLError


def _of_what_is_there(error: Exception, tracking_uri: str) -> Exception:
    """A database that does not answer, or a file of a model that is none."""
    said = " ".join(str(getattr(error, "orig", error)).split())
    if hasattr(error, "orig"):
        return RegistryUnreachable(f"the MLflow registry {tracking_uri} cannot be read: {said}")
    return RegistryError(f"the MLmodel file of a model in {tracking_uri} is no YAML: {said}; log that model again")


def _system_word(error: BaseException | None) -> str | None:
    """What the system said, like "Connection refused", of all that the libraries above it say about it."""
    word = None
    while error is not None:
        word = getattr(error, "strerror", None) or word
        error = error.__cause__ or error.__context__
    return word


def _away() -> tuple[type[Exception], ...]:
    """What it looks like when nobody answers; every other OSError is about a file."""
    from requests.exceptions import RequestException

    return ConnectionError, TimeoutError, RequestException


@contextmanager
def _settings() -> Iterator[None]:
    added = {key: value for key, value in _SETTINGS.items() if key not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for key in added:
            os.environ.pop(key, None)
