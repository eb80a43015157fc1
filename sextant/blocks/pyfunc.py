"""Any model that MLflow can load, as a block: its own Python behind tensors."""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sextant.columns import Column
from sextant.environment import Wanted, difference
from sextant.errors import InputRefused, MissingExtra, ModelFailed, ParametersError, RequestRefused, SextantError
from sextant.nested import revived
from sextant.parameters import one_of, refuse_unknown
from sextant.predictions import FORMS, answered, asked, served, split
from sextant.tensors import Tensor

MATRIX = "features"
THREADS = "intra_op_thread_count"
_CALLERS_FAULT = {"INVALID_PARAMETER_VALUE", "BAD_REQUEST"}
_SETTINGS = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}


class Pyfunc:
    """
    The MLflow model in the folder *artifact*: one tensor a column, or an array, in; what its ``predict`` gives out.

    The environment must be the one it was logged with: a package that is missing or of another major version stops
    the load, and *warn* is told what else is different.  What MLflow's signature refuses is ``RequestRefused`` or
    ``InputRefused`` with the column's name; what breaks in the model, or is not what it promised, ``ModelFailed``.
    With *abstain*, as a voter has it, a row that breaks it gets no answer (NaN, empty, the least whole number) instead,
    and *warn* is told.
    """

    member: ClassVar[bool] = True
    parameters: ClassVar[tuple[str, ...]] = ("form", "inputs", "outputs", "matrix", "abstain", "requirements", "python")

    def __init__(self, artifact: Path, warn: Callable[[str], None], parameters: Mapping[str, Any]) -> None:
        refuse_unknown(parameters, self.parameters)
        self._form = one_of(parameters, "form", FORMS)
        self._asked, self._given = _columns(parameters, "inputs"), _columns(parameters, "outputs")
        self._matrix = bool(parameters.get("matrix", False))
        self._abstains, self._warn = bool(parameters.get("abstain", False)), warn
        _check_environment(parameters, warn)
        self.model = _load(artifact)
        self._specs = _specs(self.model) if self._form == "columns" else {}

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """A tensor for each column, or the one that holds them all."""
        if not self._matrix:
            return tuple(map(served, self._asked))
        if self._form == "columns":
            return (Tensor(MATRIX, "FP32", (len(self._asked),)),)
        return tuple(served(column)._replace(dtype="FP32") for column in self._asked)

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """A tensor for each column or array that it promises."""
        return tuple(map(served, self._given))

    def promising(self, outputs: Sequence[Column]) -> Pyfunc:
        """The same model with other *outputs*."""
        other = copy(self)
        other._given = tuple(outputs)  # noqa: SLF001 - our own
        return other

    def __call__(self, **arrays: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """The output columns for the input columns, rows first."""
        rows = len(next(iter(arrays.values())))
        try:
            return answered(self.predict(arrays), self._given, rows)
        except ModelFailed as error:
            if not self._abstains:
                raise
            if rows == 1:
                self._warn(f"abstained: {error}")
                return {tensor.name: _nothing(tensor) for tensor in self.outputs}
        apart = [self(**{name: array[i : i + 1] for name, array in arrays.items()}) for i in range(rows)]
        return {tensor.name: np.concatenate([one[tensor.name] for one in apart]) for tensor in self.outputs}

    def predict(self, arrays: Mapping[str, NDArray[Any]]) -> Any:
        """What the model's own ``predict`` gives for the tensors *arrays*."""
        feed = split(arrays[MATRIX], self._asked) if self._matrix and self._form == "columns" else arrays
        if not feed:
            raise RequestRefused(f"expected one of {', '.join(tensor.name for tensor in self.inputs)}, got no tensor")
        question = self._question(feed)
        try:
            return self.model.predict(question)
        except Exception as error:
            raise self._failure(feed, error) from error

    def _question(self, feed: Mapping[str, NDArray[Any]]) -> Any:
        """What predict is asked; JSON columns hold the datetimes and bytes that their type in the signature says."""
        question = asked(self._form, self._asked, feed)
        for column in self._asked:
            spec = self._specs.get(column.name)
            if spec is not None and column.type == "json" and column.name in question:
                cells = [revived(cell, spec.type, column.name) for cell in question[column.name]]
                question[column.name] = np.fromiter(cells, dtype=object, count=len(cells))
        return question

    def _failure(self, feed: Mapping[str, NDArray[Any]], error: Exception) -> SextantError:
        """The caller's fault or the model's, in a sentence."""
        if getattr(error, "error_code", None) not in _CALLERS_FAULT:
            return ModelFailed(f"its predict raised {type(error).__name__}: {_first_line(error)}")
        if getattr(error, "error_class", None) == "SCHEMA_ENFORCEMENT_FAILED":
            return self._violation(self._question(feed)) or RequestRefused(_reason(error))
        return RequestRefused(_reason(error))

    def _violation(self, table: Any) -> InputRefused | None:
        """The column of *table* that the signature refuses by itself; the table is fresh, for MLflow changes it."""
        for name in (name for name in self._specs if name in table):
            spec = self._specs[name]
            if reason := _refused(table[[name]], spec):
                return InputRefused(str(name), str(getattr(spec.type, "name", spec.type)), reason)
        return None


def _nothing(tensor: Tensor) -> NDArray[Any]:
    """One row without an answer: what no class is called."""
    kind = tensor.numpy_type.kind
    value: Any = {"O": b"", "f": np.nan}.get(kind, np.iinfo(np.int64).min if kind == "i" else 0)
    return np.full((1, *(abs(size) for size in tensor.dims)), value, tensor.numpy_type)


def share_cores(model_config: str) -> None:
    """
    Let the libraries that are loaded from here on compute in as many threads as *model_config*, in JSON, gives a copy.

    Left alone, those that compute with OpenMP take every core for each copy, and the copies wait for one another:
    XGBoost answered a tenth of the requests. What the environment says already holds.
    """
    given = json.loads(model_config).get("parameters", {}).get(THREADS, {})
    os.environ.setdefault("OMP_NUM_THREADS", given.get("string_value", "1"))


def _refused(column: Any, spec: Any) -> str:
    """Why MLflow refuses a table of one *column*, or nothing."""
    from mlflow.exceptions import MlflowException
    from mlflow.models import validate_schema
    from mlflow.types import Schema

    try:
        validate_schema(column, Schema([spec]))
    except MlflowException as error:
        return _reason(error)
    return ""


def _columns(parameters: Mapping[str, Any], side: str) -> tuple[Column, ...]:
    try:
        columns = tuple(Column.from_dict(values) for values in parameters[side])
    except (KeyError, TypeError) as error:
        raise ParametersError(f"{side}: expected a list of columns, got {error!r}") from error
    if not columns and side == "inputs":
        raise ParametersError("inputs: expected a column, got none")
    return columns


def _specs(model: Any) -> dict[Any, Any]:
    """What the model's own signature says of each input column."""
    signature = model.metadata.signature
    return {spec.name: spec for spec in signature.inputs.inputs} if signature and signature.inputs else {}


def _check_environment(parameters: Mapping[str, Any], warn: Callable[[str], None]) -> None:
    wanted = Wanted(requirements=tuple(parameters.get("requirements", ())), python=parameters.get("python"))
    try:
        found = difference(wanted)
    except ImportError as error:
        raise MissingExtra("export", "serving a model by its own Python") from error
    if found.refusal:
        raise ParametersError(f"this Python is not the model's own: {found}; install what it was logged with")
    if found.remark:
        warn(f"this Python differs from the model's own: {found.remark}")


def _load(artifact: Path) -> Any:
    """The model; loading runs what was saved with it, so the registry must be trusted."""
    for key, value in _SETTINGS.items():
        os.environ.setdefault(key, value)
    with _quiet():
        mlflow = _mlflow()
        try:
            return mlflow.pyfunc.load_model(str(artifact))
        except Exception as error:
            said = f"{type(error).__name__}: {_first_line(error)}".replace(f"{artifact}{os.sep}", "")
            raise ParametersError(f"the model cannot be loaded: {said}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Not a word of MLflow's about the environment, which was compared already; afterwards it may speak again."""
    logger = logging.getLogger("mlflow")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _mlflow() -> Any:
    try:
        import mlflow.pyfunc
    except ImportError as error:
        raise MissingExtra("export", "serving a model by its own Python") from error
    return mlflow


def _reason(error: BaseException) -> str:
    """MLflow's reason, without the data and the schema it repeats before it."""
    return _first_line(Exception(str(error).rpartition("Error: ")[2]))


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
