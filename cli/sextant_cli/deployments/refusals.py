"""Our errors in MLflow's words: the same sentence, with the code that MLflow's callers look at."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import click
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import ErrorCode

from sextant import errors

_PAGE = "members.model."
"""Where an option stands in the page that is made of it, which nobody wrote."""
P = ParamSpec("P")
T = TypeVar("T")

CODES: tuple[tuple[type[errors.SextantError], str], ...] = (
    (errors.InputRefused, "INVALID_PARAMETER_VALUE"),
    (errors.ParametersError, "INVALID_PARAMETER_VALUE"),
    (errors.CalibrationError, "INVALID_PARAMETER_VALUE"),
    (errors.RequestRefused, "INVALID_PARAMETER_VALUE"),
    (errors.AddressRefused, "INVALID_PARAMETER_VALUE"),
    (errors.PipelineError, "INVALID_PARAMETER_VALUE"),
    (errors.ConversionError, "INVALID_PARAMETER_VALUE"),
    (errors.ModelStopped, "INVALID_PARAMETER_VALUE"),
    (errors.PickleRefused, "INVALID_PARAMETER_VALUE"),
    (errors.SettingsError, "INVALID_PARAMETER_VALUE"),
    (errors.LimitsError, "INVALID_PARAMETER_VALUE"),
    (errors.ModelNotReady, "RESOURCE_DOES_NOT_EXIST"),
    (errors.RegistryError, "RESOURCE_DOES_NOT_EXIST"),
    (errors.BreakingChange, "RESOURCE_CONFLICT"),
    (errors.ParityError, "INVALID_STATE"),
    (errors.GateFailed, "INVALID_STATE"),
    (errors.PromoteError, "INVALID_STATE"),
    (errors.ReceiptError, "DATA_LOSS"),
    (errors.StoreError, "IO_ERROR"),
    (errors.AccessDenied, "PERMISSION_DENIED"),
    (errors.SignatureError, "PERMISSION_DENIED"),
    (errors.DeadlineExceeded, "DEADLINE_EXCEEDED"),
    (errors.ServerBusy, "REQUEST_LIMIT_EXCEEDED"),
    (errors.ServerUnreachable, "TEMPORARILY_UNAVAILABLE"),
    (errors.RegistryUnreachable, "TEMPORARILY_UNAVAILABLE"),
    (errors.MissingExtra, "FEATURE_DISABLED"),
)
"""The first class of the table that an error is an instance of gives its code; all else is ``INTERNAL_ERROR``."""


class Refusal(MlflowException, click.ClickException):  # type: ignore[misc]  # MLflow has no types
    """MLflow's exception, of which ``mlflow deployments`` prints the sentence instead of a traceback."""


def refusal(code: str, sentence: str) -> Refusal:
    """A refusal with MLflow's *code*."""
    return Refusal(sentence, error_code=ErrorCode.Value(code))  # type: ignore[call-arg]  # as above


def code_of(error: errors.SextantError) -> str:
    """MLflow's code for *error*."""
    return next((code for kind, code in CODES if isinstance(error, kind)), "INTERNAL_ERROR")


def in_mlflow_words(call: Callable[P, T]) -> Callable[P, T]:
    """*call*, whose errors of Sextant's become MLflow's."""

    @functools.wraps(call)
    def said(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return call(*args, **kwargs)
        except errors.SextantError as error:
            raise refusal(code_of(error), str(error).replace(_PAGE, "")) from error

    return said
