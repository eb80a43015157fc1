"""The original: a registered model's own predict, asked rows of tensors, answering arrays by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sextant.columns import tensor_names
from sextant.errors import RegistryError
from sextant.tensors import Tensor
from sextant_export.mlflow_calls import quiet_mlflow
from sextant_export.registry import Artifact
from sextant_export.signature import ANSWER, Arrays, Feed, Signature

Original: TypeAlias = Callable[[Feed], Arrays]


def pyfunc_original(artifact: Artifact) -> Original:
    """
    MLflow's ``python_function`` of *artifact*, loaded once.

    ``RegistryError`` where it cannot be loaded, or fails on what it is asked.  Loading runs what was saved with the
    model, so the registry must be trusted.
    """
    signature = require_signature(artifact)
    with quiet_mlflow() as mlflow:
        try:
            model = mlflow.pyfunc.load_model(str(artifact.path))
        except Exception as error:
            raise RegistryError(f"{artifact.version}: its own Python cannot be loaded: {first_line(error)}") from error

    def answer(feed: Feed) -> Arrays:
        with quiet_mlflow():
            try:
                return named(model.predict(signature.asked(feed)))
            except Exception as error:
                rows = len(next(iter(feed.values())))
                said = f"{artifact.version}: its own predict fails on {rows} rows: {first_line(error)}"
                raise RegistryError(said) from error

    return answer


def require_signature(artifact: Artifact) -> Signature:
    """The signature of *artifact*; RegistryError says how to log one."""
    if artifact.signature is None:
        raise RegistryError(
            f"{artifact.version}: it was logged without a signature: "
            "log the model with signature=mlflow.models.infer_signature(inputs, outputs)"
        )
    return artifact.signature


def named(answer: Any) -> dict[str, NDArray[Any]]:
    """
    An answer of any flavour, by the name of the output; what has no name is ``prediction``.

    >>> {name: array.tolist() for name, array in named([1.5, 2.5]).items()}
    {'prediction': [1.5, 2.5]}
    """
    if hasattr(answer, "columns"):
        columns = [answer[name].to_numpy() for name in answer.columns]
        return dict(zip(tensor_names(map(str, answer.columns)), map(_array, columns), strict=True))
    if hasattr(answer, "to_numpy"):
        answer = answer.to_numpy()
    pairs = dict(answer) if isinstance(answer, Mapping) else {ANSWER: answer}
    return dict(zip(tensor_names(map(str, pairs)), map(_array, pairs.values()), strict=True))


def fitted(answers: Arrays, outputs: Sequence[Tensor]) -> Arrays:
    """
    *answers* under the names of the *outputs* that a copy gives for them.

    A table of numbers is the columns of the one output that is as wide, and one answer is the one output, whatever
    each is called; all else keeps its names.
    """
    if answers.keys() & {tensor.name for tensor in outputs} or not answers:
        return answers
    if len(outputs) == 1 and len(answers) == 1:
        return {outputs[0].name: next(iter(answers.values()))}
    wide = len(answers)
    if len(outputs) == 1 and outputs[0].dims == (wide,):
        return {outputs[0].name: np.stack([array.reshape(-1) for array in answers.values()], axis=1)}
    return answers


def first_line(error: BaseException) -> str:
    """What an exception says first, or its kind where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def _array(values: Any) -> NDArray[Any]:
    """Text as objects of ``str``: pandas, MLflow and ONNX Runtime each have their own kind."""
    array = np.asarray(values)
    if array.dtype.kind not in "SUO":
        return array
    words = np.empty(array.size, dtype=object)
    words[:] = [item.decode() if isinstance(item, bytes) else item for item in array.reshape(-1)]
    return words.reshape(array.shape)
