"""Home-made MLflow models for the tests of the fallback: one that takes and gives every type of column, and worse."""

from __future__ import annotations

import json
import logging
import sys
import warnings
from collections.abc import Callable
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd

with warnings.catch_warnings():  # about MLflow's own types
    warnings.simplefilter("ignore")
    import mlflow.pyfunc

from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from mlflow.types.schema import Array, Map, Object, Property

from sextant_export.registry import Artifact, RegisteredVersion
from sextant_export.signature import Signature

INPUTS = Schema(
    [
        ColSpec("boolean", "is member"),
        ColSpec("integer", "rooms"),
        ColSpec("long", "population"),
        ColSpec("float", "rate"),
        ColSpec("double", "income (k$)"),
        ColSpec("string", "town"),
        ColSpec("binary", "key"),
        ColSpec("datetime", "since"),
        ColSpec(Array(DataType.double), "readings"),
        ColSpec(Object([Property("city", DataType.string), Property("born", DataType.datetime)]), "address"),
        ColSpec(Map(DataType.long), "counts"),
        ColSpec("double", "bonus", required=False),
    ]
)
OUTPUTS = Schema(
    [
        ColSpec("boolean", "not member"),
        ColSpec("integer", "rooms"),
        ColSpec("long", "population"),
        ColSpec("float", "rate"),
        ColSpec("double", "total"),
        ColSpec("string", "TOWN"),
        ColSpec("binary", "key"),
        ColSpec("datetime", "next day"),
        ColSpec(Array(DataType.double), "readings"),
        ColSpec(Object([Property("born", DataType.string)]), "address"),
        ColSpec(Map(DataType.long), "counts"),
    ]
)


def count(table):
    """Answers every column of :data:`INPUTS` with something that can be told from it."""
    if (table["rooms"] == 13).any():
        raise KeyError("no house has 13 rooms")
    answer = pd.DataFrame(
        {
            "not member": ~table["is member"],
            "rooms": (table["rooms"] + np.int32(1)).astype("int32"),
            "population": table["population"] + 1,
            "rate": table["rate"] * np.float32(2),
            "total": table["income (k$)"] + table.get("bonus", 0.0),
            "TOWN": table["town"].str.upper(),
            "key": [key[::-1] for key in table["key"]],
            "next day": table["since"] + pd.Timedelta(days=1),
            "readings": [[2 * float(value) for value in values] for values in table["readings"]],
            "address": [{"born": str(np.datetime64(one["born"], "D"))} for one in table["address"]],
            "counts": [{key: value + 1 for key, value in one.items()} for one in table["counts"]],
        }
    )
    return answer[table["rooms"] != -1]


def lengths(table):
    """A table of text in, and a bare array out that no signature speaks of."""
    return np.array([len(word) for word in table["word"]], dtype=np.int64)


def python_model(function: Callable[[Any], Any]) -> Any:
    """A model whose predict is *function*; its class is made here, so MLflow saves it whole."""

    class Answering(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input: pd.DataFrame, params=None):  # without the hint MLflow warns
            return function(model_input)

    return Answering()


def people(rows: int = 4) -> pd.DataFrame:
    """Rows for :func:`count`, no two alike, under an index that is not 0, 1, 2."""
    number = np.arange(rows)
    return pd.DataFrame(
        {
            "is member": number % 2 == 0,
            "rooms": (number % 5).astype(np.int32),
            "population": number + 2**40,
            "rate": (number / 3).astype(np.float32),
            "income (k$)": number / 7,
            "town": [f"Zürich {i}" for i in number],
            "key": [bytes([i % 256, 0, 255]) for i in number],
            "since": np.datetime64("2026-01-31T12:00:00.000000001", "ns") + number,
            "readings": [[i / 3, i + 1.0] for i in number],
            "address": [{"city": "東京", "born": np.datetime64("1999-12-31", "ns") + i} for i in number],
            "counts": [{"a": int(i), "b": 2} for i in number],
        },
        index=[f"row {i}" for i in number],
    )


def save(folder: Any, function: Any, signature: Any = None, example: Any = None, requirements: Any = ()) -> Artifact:
    """The model of *function* as MLflow saves it in *folder*, as if it had been fetched from a registry."""
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # no server has this file
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.pyfunc.save_model(
            str(folder),
            python_model=python_model(function),
            signature=signature,
            input_example=example,
            pip_requirements=list(requirements),
        )
        described = mlflow.models.Model.load(str(folder))
    return fetched(folder, described)


def fetched(folder: Any, described: Any) -> Artifact:
    """The MLflow model in *folder* as a registry would hand it over."""
    version = RegisteredVersion(
        name=folder.name,
        version=1,
        run_id=None,
        source=str(folder),
        flavors=described.flavors,
        signature=Signature.of(described.signature) if described.signature else None,
    )
    return Artifact(version=version, path=folder, digest="")


def census(folder: Any, **facts: Any) -> Artifact:
    """:func:`count`, saved in *folder* with its signature."""
    return save(folder, count, ModelSignature(inputs=INPUTS, outputs=OUTPUTS), **facts)


def local(artifact: Artifact, table: Any) -> pd.DataFrame:
    """What MLflow's own predict answers here."""
    return mlflow.pyfunc.load_model(str(artifact.path)).predict(table)


def description(copy: Any) -> dict[str, Any]:
    """The columns as the configuration of *copy* describes them to a client."""
    from sextant_export.pipeline import Serving

    text = copy.configs("model", Serving(), [1]).main.parameters["columns"].string_value
    return dict(json.loads(text))
