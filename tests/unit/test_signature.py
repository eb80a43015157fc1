"""What a model takes: an array, tensors by name or a table, asked as MLflow's predict wants it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from mlflow.models import infer_signature
from mlflow.models.signature import ModelSignature
from mlflow.types import ColSpec, Schema, TensorSpec

from sextant.tensors import Tensor
from sextant_export.original import fitted, named
from sextant_export.signature import Signature

ARRAY = Signature.of(infer_signature(np.zeros((2, 3), np.float32), np.zeros(2)))
NUMBERS = Signature.of(
    ModelSignature(Schema([ColSpec("double", "a b"), ColSpec("long", "n"), ColSpec("boolean", "flag")]))
)
MIXED = Signature.of(ModelSignature(Schema([ColSpec("string", "city"), ColSpec("double", "area", required=False)])))
TENSORS = Signature.of(
    ModelSignature(Schema([TensorSpec(np.dtype("int64"), (-1, 4), "ids"), TensorSpec(np.dtype("float32"), (-1,), "w")]))
)


def test_an_array_is_one_matrix_called_features():
    assert ARRAY.form == "array"
    assert ARRAY.matrix == Tensor("features", "FP32", (3,))
    assert ARRAY.asked({"features": np.ones((2, 3), np.float64)}).dtype == np.float32


def test_a_table_of_numbers_is_a_matrix_and_its_columns_keep_their_types():
    asked = NUMBERS.asked({"features": np.array([[1.5, 2.0000001, 1]], np.float32)})

    assert NUMBERS.matrix == Tensor("features", "FP32", (3,))
    assert asked.columns.tolist() == ["a b", "n", "flag"]
    assert [str(dtype) for dtype in asked.dtypes] == ["float64", "int64", "bool"]
    assert asked.iloc[0].tolist() == [1.5, 2, True]


def test_a_table_with_text_is_a_tensor_a_column():
    asked = MIXED.asked({"city": np.array([[b"Pisa"]], object), "area": np.array([[1.5]])})

    assert MIXED.matrix is None
    assert MIXED.tensors == (Tensor("city", "BYTES", (1,)), Tensor("area", "FP64", (1,), optional=True))
    assert asked.to_dict("records") == [{"city": "Pisa", "area": 1.5}]


def test_a_column_that_may_be_missing_may_be_missing():
    assert MIXED.asked({"city": np.array([["Pisa"]], object)}).columns.tolist() == ["city"]


def test_tensors_go_by_the_models_own_names():
    asked = TENSORS.asked({"ids": np.ones((2, 4), np.int32), "w": np.ones(2)})

    assert asked["ids"].dtype == np.int64
    assert asked["w"].shape == (2,)


@pytest.mark.parametrize(
    ("signature", "example", "inputs"),
    [
        (ARRAY, np.arange(6).reshape(2, 3), [Tensor("features", "FP32", (3,))]),
        (NUMBERS, pd.DataFrame({"a b": [1.5], "n": [2], "flag": [True]}), [Tensor("features", "FP32", (3,))]),
        (NUMBERS, pd.DataFrame({"n": [2], "a b": [1.5], "flag": [True]}), NUMBERS.tensors),
        (MIXED, pd.DataFrame({"city": ["Pisa"], "area": [1.0]}), MIXED.tensors),
        (TENSORS, {"ids": [[1, 2, 3, 4]], "w": [0.5]}, TENSORS.tensors),
    ],
)
def test_a_logged_example_becomes_rows_of_the_copys_inputs(signature, example, inputs):
    feed = signature.feed(example, inputs)

    assert list(feed) == [tensor.name for tensor in inputs]
    assert all(feed[tensor.name].dtype == tensor.numpy_type for tensor in inputs)
    assert all(feed[tensor.name].shape[1:] == tensor.dims for tensor in inputs)


def test_an_example_in_another_order_means_the_same_matrix():
    shuffled = pd.DataFrame({"flag": [True], "n": [2], "a b": [1.5]})

    assert NUMBERS.feed(shuffled, [NUMBERS.matrix])["features"].tolist() == [[1.5, 2, 1]]


def test_no_signature_says_how_to_log_one():
    with pytest.raises(ValueError, match=r"without a signature: .*infer_signature"):
        Signature.of(None)


@pytest.mark.parametrize(
    ("answer", "arrays"),
    [
        ([1, 2], {"prediction": [1, 2]}),
        (np.array(["a", "b"]), {"prediction": ["a", "b"]}),
        (pd.Series([1.5]), {"prediction": [1.5]}),
        ({"mean y": [1], "sd": [2]}, {"mean_y": [1], "sd": [2]}),
        (pd.DataFrame({"lat": [1.0], "lon": [2.0]}), {"lat": [1.0], "lon": [2.0]}),
    ],
)
def test_an_answer_of_any_kind_is_arrays_by_name(answer, arrays):
    assert {name: array.tolist() for name, array in named(answer).items()} == arrays


def test_a_table_of_answers_is_the_one_output_that_is_as_wide():
    table = {"lat": np.array([1.0, 3]), "lon": np.array([2.0, 4])}

    assert fitted(table, [Tensor("prediction", "FP32", (2,))])["prediction"].tolist() == [[1, 2], [3, 4]]
    assert fitted(table, [Tensor("lat", "FP32", (1,)), Tensor("lon", "FP32", (1,))]) == table
    assert list(fitted({"prediction": np.ones(2)}, [Tensor("variable", "FP32", (1,))])) == ["variable"]
